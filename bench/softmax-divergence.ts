// softmaxDivergence on the CPU against the memory limit and against its peers, at the sizes that people have.
import { loadAddon } from "../lib/backend/load.js";
import { backendInfo, softmaxDivergence, softmaxDivergenceAsync } from "../lib/index.js";
import { compared, inTurns, type Comparison, type Contender, type Milliseconds } from "./measure.js";
import { plainForwardKl } from "./peers/plain-javascript.js";
import { prepareTfjs, tfjsForwardKl } from "./peers/tfjs.js";
import { startTorch, type Torch, type TorchTimes } from "./peers/torch.js";
import { logits, requireAgreement } from "./problem.js";

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
const peerNames = ["javascript", "tfjs", "torch"] as const;
type Peer = (typeof peerNames)[number];

/** One size's outcome. */
export interface SizeResult extends Comparison<Peer> {
  rows: number;
  columns: number;
  /** Median milliseconds of one call. */
  milliseconds: Partial<Milliseconds<Name>>;
}

export interface BenchOptions {
  quick: boolean;
  onSize: (result: SizeResult) => void;
  onPeers: (peers: string[]) => void;
}

// A quick look takes fewer rows of what is still far too large for any cache.
const rowsFor = (quick: boolean, rows: number, columns: number): number =>
  quick && rows * columns > 1 << 23 ? rows / 4 : rows;

/** Measures every size. */
export async function bench({ quick, onSize, onPeers }: BenchOptions): Promise<SizeResult[]> {
  const tfjs = await prepareTfjs();
  const torch = await startTorch(["cpu", String(backendInfo().cpu?.threads ?? 1)]);
  onPeers([
    "plain typed-array JavaScript",
    tfjs ? "TensorFlow.js operations (wasm)" : "TensorFlow.js: its wasm backend does not start here",
    torch ? `torch ${torch.introduction.version}` : "torch: not measured, no Python here has it",
  ]);
  const results: SizeResult[] = [];
  for (const [rows, columns] of sizes) {
    const result = await measureSize(rowsFor(quick, rows, columns), columns, quick, tfjs, torch);
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
  const backend = "cpu";
  const plainGradient = new Float32Array(rows * columns);
  const addon = loadAddon().addon!;
  const operations = tfjs ? tfjsForwardKl(student, teacher, rows, columns) : undefined;

  requireAgreement({
    kullback: softmaxDivergence(...arrays, { backend }).value,
    javascript: plainForwardKl(student, teacher, rows, columns, undefined),
    tfjs: operations?.run(),
  });
  // In pairs with their limits, which is what the percentages compare.
  const own = await inTurns<Name>(
    {
      twoReadsOneWrite: () => addon.memoryLimit(student.length, student, teacher, out.student),
      valueAndGradient: () => softmaxDivergence(...arrays, { backend, gradients: ["student"], out }),
      twoReads: () => addon.memoryLimit(student.length, student, teacher, undefined),
      value: () => softmaxDivergence(...arrays, { backend }),
      fresh: () => softmaxDivergence(...arrays, { backend, gradients: ["student"] }),
      async: () => softmaxDivergenceAsync(...arrays, { backend, gradients: ["student"], out }),
    },
    quick ? 3 : 11,
    quick ? 60 : 150,
  );
  const peers: Partial<Record<Name, Contender>> = {
    javascript: () => plainForwardKl(student, teacher, rows, columns, plainGradient),
    ...(operations && { tfjs: operations.run }),
    ...(torch && {
      torch: { milliseconds: () => torch.measure(rows, columns, quick ? 3 : 7).then(eagerTime) },
    }),
  };
  const others = await inTurns<Name>(peers, quick ? 1 : 3, quick ? 60 : 150);
  operations?.dispose();
  const milliseconds = { ...own, ...others };
  return { rows, columns, milliseconds, ...compared(milliseconds, peerNames) };
}

function eagerTime({ milliseconds: { eager }, failed }: TorchTimes): number {
  if (eager === undefined) throw new Error(`torch failed: ${JSON.stringify(failed)}`);
  return eager;
}
