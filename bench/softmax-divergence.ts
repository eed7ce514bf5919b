// softmaxDivergence against the memory limit and against its peers, at the sizes that people have.
import { loadAddon } from "../lib/backend/load.js";
import { backendInfo, softmaxDivergence, softmaxDivergenceAsync } from "../lib/index.js";
import { randomLcg, randomNormal } from "d3-random";
import { inTurns, type Contender, type Milliseconds } from "./measure.js";
import { plainForwardKl } from "./peers/plain-javascript.js";
import { prepareTfjs, tfjsForwardKl } from "./peers/tfjs.js";
import { startTorch, type Torch } from "./peers/torch.js";

/** Rows and columns: a batch of tokens of a language model, few long rows, ImageNet, many short rows, one token. */
const sizes = [
  [512, 32000],
  [64, 128256],
  [4096, 1000],
  [8192, 128],
  [1, 151936],
  [1, 10],
] as const;

type Name = "valueAndGradient" | "value" | "fresh" | "async" | "twoReads" | "twoReadsOneWrite" | Peer;
type Peer = "javascript" | "tfjs" | "torch";

/** One size's outcome. */
export interface SizeResult {
  rows: number;
  columns: number;
  /** Median milliseconds of one call. */
  milliseconds: Partial<Milliseconds<Name>>;
  /** How many times as long each peer takes for value and gradient. */
  ratios: Partial<Record<Peer, number>>;
  /** Percent of the memory limit that the same run measured: 100 would be as fast as reading and writing alone. */
  percentOfLimit: { valueAndGradient: number; value: number };
}

export interface BenchOptions {
  quick: boolean;
  onSize: (result: SizeResult) => void;
  onPeers: (peers: string[]) => void;
}

/** Measures every size. */
export async function bench({ quick, onSize, onPeers }: BenchOptions): Promise<SizeResult[]> {
  const tfjs = await prepareTfjs();
  const torch = await startTorch(backendInfo().cpu?.threads ?? 1);
  onPeers([
    "plain typed-array JavaScript",
    tfjs ? "TensorFlow.js operations (wasm)" : "TensorFlow.js: its wasm backend does not start here",
    torch ? `torch ${torch.version}` : "torch: not measured, no Python here has it",
  ]);
  const results: SizeResult[] = [];
  for (const [rows, columns] of sizes) {
    const result = await measureSize(rows, columns, quick, tfjs, torch);
    results.push(result);
    onSize(result);
  }
  torch?.stop();
  return results;
}

async function measureSize(
  rows: number,
  columns: number,
  quick: boolean,
  tfjs: boolean,
  torch: Torch | undefined,
): Promise<SizeResult> {
  const { student, teacher } = logits(rows * columns);
  const shape = [rows, columns];
  const arrays = [
    { data: student, shape },
    { data: teacher, shape },
  ] as const;
  const out = { student: new Float32Array(rows * columns) };
  const plainGradient = new Float32Array(rows * columns);
  const addon = loadAddon().addon!;
  const operations = tfjs ? tfjsForwardKl(student, teacher, rows, columns) : undefined;

  requireAgreement({
    kullback: softmaxDivergence(...arrays).value,
    javascript: plainForwardKl(student, teacher, rows, columns, undefined),
    tfjs: operations?.run(),
  });
  // In pairs with their limits, which is what the percentages compare.
  const own = await inTurns<Name>(
    {
      twoReadsOneWrite: () => addon.memoryLimit(student.length, student, teacher, out.student),
      valueAndGradient: () => softmaxDivergence(...arrays, { gradients: ["student"], out }),
      twoReads: () => addon.memoryLimit(student.length, student, teacher, undefined),
      value: () => softmaxDivergence(...arrays),
      fresh: () => softmaxDivergence(...arrays, { gradients: ["student"] }),
      async: () => softmaxDivergenceAsync(...arrays, { gradients: ["student"], out }),
    },
    quick ? 5 : 11,
    quick ? 60 : 150,
  );
  const peers: Partial<Record<Name, Contender>> = {
    javascript: () => plainForwardKl(student, teacher, rows, columns, plainGradient),
    ...(operations && { tfjs: operations.run }),
    ...(torch && {
      torch: { milliseconds: async () => 1000 * (await torch.measure(rows, columns, quick ? 3 : 7)) },
    }),
  };
  const others = await inTurns<Name>(peers, quick ? 1 : 3, quick ? 60 : 150);
  operations?.dispose();
  return summary(rows, columns, { ...own, ...others });
}

function summary(rows: number, columns: number, milliseconds: Partial<Milliseconds<Name>>): SizeResult {
  const { valueAndGradient, value, twoReads, twoReadsOneWrite } = milliseconds as Milliseconds<Name>;
  const ratios = Object.fromEntries(
    (["javascript", "tfjs", "torch"] as const).flatMap((peer) =>
      milliseconds[peer] === undefined ? [] : [[peer, milliseconds[peer] / valueAndGradient]],
    ),
  );
  return {
    rows,
    columns,
    milliseconds,
    ratios,
    percentOfLimit: {
      valueAndGradient: (100 * twoReadsOneWrite) / valueAndGradient,
      value: (100 * twoReads) / value,
    },
  };
}

// Normal logits: a million draws, repeated with the two sides out of step, since drawing all takes longer than timing.
function logits(count: number): { student: Float32Array; teacher: Float32Array } {
  const draw = randomNormal.source(randomLcg(1))(0, 1);
  const pool = Float32Array.from({ length: Math.min(count, 1 << 20) }, draw);
  const teacher = Float32Array.from({ length: count }, (_, i) => 3 * pool[i % pool.length]!);
  const student = teacher.map((x, i) => x + pool[(i + 12345) % pool.length]!);
  return { student, teacher };
}

function requireAgreement(values: Record<string, number | undefined>): void {
  const [expected] = Object.values(values) as [number];
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && !(Math.abs(value - expected) <= 1e-4 * Math.abs(expected))) {
      throw new Error(`the contenders disagree: ${name} says ${value}, kullback ${expected}`);
    }
  }
}
