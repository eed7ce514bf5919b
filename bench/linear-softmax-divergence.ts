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

async function measureSize(
  [rows, width, columns]: readonly [number, number, number],
  torch: Torch | undefined,
  quick: boolean,
): Promise<LinearTime> {
  const { student: hiddenNumbers } = logits(rows * width);
  const { student: weightNumbers } = logits(columns * width);
  const { teacher: teacherLogits } = logits(rows * columns);
  const hidden = { data: hiddenNumbers, shape: [rows, width] };
  // Logits of some size, whatever the width.
  const weights = { data: weightNumbers.map((x) => x / (3 * Math.sqrt(width))), shape: [columns, width] };
  const teacher = { data: teacherLogits, shape: [rows, columns] };
  const labels = Int32Array.from({ length: rows }, (_, row) => (row * 7919) % columns);
  // Written to before, so that their memory is there before a call is looked at.
  const out = {
    hidden: new Float32Array(rows * width).fill(1),
    weights: new Float32Array(columns * width).fill(1),
  };
  const product = new Float32Array(rows * columns).fill(1);
  const { addon } = loadAddon();
  const gradients = ["hidden", "weights"] as const;
  const memoryBudget = quick ? 32 * megabyte : 128 * megabyte;
  const options = { gradients, out, memoryBudget, backend: "cpu" } as const;
  const divergence = () => linearSoftmaxDivergence({ hidden, weights }, teacher, options);
  const crossEntropy = () => linearCrossEntropy({ hidden, weights }, labels, options);
  const used = peakOf(divergence);
  const large = linearCrossEntropy({ hidden, weights }, labels, {
    memoryBudget: 1024 * megabyte,
    backend: "cpu",
  });
  requireAgreement({ kullback: crossEntropy().value, "with a larger budget": large.value });
  const milliseconds = await inTurns<"products" | "divergence" | "crossEntropy" | "torch">(
    {
      products: once(() => {
        addon!.matrixProduct(
          undefined,
          0,
          0,
          0,
          1,
          1,
          rows,
          columns,
          width,
          hidden.data,
          weights.data,
          product,
        );
        addon!.matrixProduct(
          undefined,
          0,
          1,
          0,
          0,
          0,
          columns,
          width,
          rows,
          product,
          hidden.data,
          out.weights,
        );
        addon!.matrixProduct(
          undefined,
          0,
          0,
          0,
          1,
          0,
          rows,
          width,
          columns,
          product,
          weights.data,
          out.hidden,
        );
      }),
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
  return { rows, width, columns, milliseconds, memory: { budget: memoryBudget, used } };
}

/** Measures every size. */
export async function benchLinearSoftmaxDivergence(quick: boolean): Promise<LinearTime[]> {
  const torch = await startTorch(["cpu", String(threadCount())]);
  const results: LinearTime[] = [];
  const sizes = quick
    ? ([[128, 256, 8000]] as const)
    : ([
        [1024, 1024, 32000],
        [256, 2048, 128256],
      ] as const);
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
