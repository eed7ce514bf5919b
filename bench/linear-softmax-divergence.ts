// linearSoftmaxDivergence and linearCrossEntropy on the CPU against their matrix products alone and against torch, with
// the memory that they take beside the budget that they are given.
import { readFileSync, writeFileSync } from "node:fs";
import { loadAddon } from "../lib/backend/load.js";
import { linearCrossEntropy, linearSoftmaxDivergence, threadCount } from "../lib/index.js";
import { ratio, time } from "./cells.js";
import { inTurns, type Contender, type Milliseconds } from "./measure.js";
import { startTorch, type Torch } from "./peers/torch.js";
import { logits, requireAgreement } from "./problem.js";

/** One size's median milliseconds, each with the gradients of hidden states and weights. */
export interface LinearTime {
  rows: number;
  width: number;
  columns: number;
  milliseconds: Partial<Milliseconds<"products" | "divergence" | "crossEntropy" | "torch">>;
  memory: { budget: number; used: number | undefined };
}

const megabyte = 2 ** 20;

/** Timed once a round: calls of seconds need no more. */
const once = (call: () => unknown): Contender => ({
  milliseconds: () => {
    const started = performance.now();
    call();
    return Promise.resolve(performance.now() - started);
  },
});

/** The bytes by which a call raises the process's memory at its peak, where Linux says so. */
function peakOf(call: () => unknown): number | undefined {
  const field = (name: string): number =>
    1024 *
    Number(new RegExp(`^${name}:\\s*(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
  try {
    // Sets the peak back to what there is now.
    writeFileSync("/proc/self/clear_refs", "5");
    const before = field("VmRSS");
    call();
    return field("VmHWM") - before;
  } catch {
    return undefined;
  }
}

type Size = readonly [rows: number, width: number, columns: number];

/** The arguments of a size. */
function problemOf([rows, width, columns]: Size) {
  const hidden = { data: logits(rows * width).student, shape: [rows, width] };
  // Logits of some size, whatever the width.
  const numbers = logits(columns * width).student.map((x) => x / (3 * Math.sqrt(width)));
  return {
    student: { hidden, weights: { data: numbers, shape: [columns, width] } },
    teacher: { data: logits(rows * columns).teacher, shape: [rows, columns] },
    labels: Int32Array.from({ length: rows }, (_, row) => (row * 7919) % columns),
    // Written to before, so that their memory is there before a call is looked at.
    out: {
      hidden: new Float32Array(rows * width).fill(1),
      weights: new Float32Array(columns * width).fill(1),
    },
  };
}

/** The three products of a call, of all rows at once. */
function productsOf(
  [rows, width, columns]: Size,
  { student, out }: ReturnType<typeof problemOf>,
): () => void {
  const addon = loadAddon().addon!;
  const [hidden, weights] = [student.hidden.data, student.weights.data];
  const product = new Float32Array(rows * columns).fill(1);
  return () => {
    addon.matrixProduct(undefined, 0, 0, 0, 1, 1, rows, columns, width, hidden, weights, product);
    addon.matrixProduct(undefined, 0, 1, 0, 0, 0, columns, width, rows, product, hidden, out.weights);
    addon.matrixProduct(undefined, 0, 0, 0, 1, 0, rows, width, columns, product, weights, out.hidden);
  };
}

async function measureSize(size: Size, torch: Torch | undefined, quick: boolean): Promise<LinearTime> {
  const [rows, width, columns] = size;
  const problem = problemOf(size);
  const { student, teacher, labels, out } = problem;
  const budget = quick ? 32 * megabyte : 128 * megabyte;
  const options = { gradients: ["hidden", "weights"], out, memoryBudget: budget, backend: "cpu" } as const;
  const divergence = () => linearSoftmaxDivergence(student, teacher, options);
  const crossEntropy = () => linearCrossEntropy(student, labels, options);
  const used = peakOf(divergence);
  requireAgreement({
    kullback: crossEntropy().value,
    "in a larger budget": linearCrossEntropy(student, labels, { memoryBudget: 8 * budget, backend: "cpu" })
      .value,
  });
  const milliseconds = await inTurns<"products" | "divergence" | "crossEntropy" | "torch">(
    {
      products: once(productsOf(size, problem)),
      divergence: once(divergence),
      crossEntropy: once(crossEntropy),
      ...(torch && {
        torch: {
          milliseconds: async () => (await torch.measure(rows, columns, 1, width)).milliseconds.eager!,
        },
      }),
    },
    quick ? 3 : 5,
    0,
  );
  return { rows, width, columns, milliseconds, memory: { budget, used } };
}

/** Measures every size. */
export async function benchLinearSoftmaxDivergence(quick: boolean): Promise<LinearTime[]> {
  const torch = await startTorch(["cpu", String(threadCount())]);
  const results: LinearTime[] = [];
  const sizes: Size[] = quick
    ? [[128, 256, 8000]]
    : [
        [1024, 1024, 32000],
        [256, 2048, 128256],
      ];
  for (const size of sizes) results.push(await measureSize(size, torch, quick));
  torch?.stop();
  return results;
}

export const linearHead = [
  "rows x width x columns",
  "products alone",
  "forward KL",
  "of products",
  "cross-entropy",
  "of products",
  "torch",
  "memory of budget",
] as const;

/** One size as cells of {@link linearHead}. */
export function linearRow({ rows, width, columns, milliseconds, memory }: LinearTime): string[] {
  const { products, divergence, crossEntropy, torch } = milliseconds;
  const times = (value: number): string => `${(value / products!).toFixed(2)}x`;
  const megabytes = (bytes: number): string => (bytes / megabyte).toFixed(0);
  return [
    `${rows} x ${width} x ${columns}`,
    time(products),
    time(divergence),
    times(divergence!),
    time(crossEntropy),
    times(crossEntropy!),
    ratio(torch === undefined ? undefined : torch / divergence!),
    `${memory.used === undefined ? "not measured" : megabytes(memory.used)} of ${megabytes(memory.budget)} MiB`,
  ];
}
