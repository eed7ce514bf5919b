// tokenLogProbs on the CPU against the memory limit and against loops in JavaScript, at the sizes of a policy's step.
import { loadAddon } from "../lib/backend/load.js";
import { tokenLogProbs } from "../lib/index.js";
import { percent, ratio, time } from "./cells.js";
import { inTurns } from "./measure.js";
import { logits, requireAgreement } from "./problem.js";

/** One size's median milliseconds. */
export interface TokenLogProbsTime {
  rows: number;
  columns: number;
  logProbs: number;
  /** With the gradient; with the gradient of the entropy too. */
  gradient: number;
  entropyGradient: number;
  /** Two arrays read; two read and one written: twice and one and a half times what must be moved. */
  twoReads: number;
  twoReadsOneWrite: number;
  /** Log-probability and gradient as a loop in JavaScript. */
  javascript: number;
}

/** Σ log-probability and its gradient as one writes them by hand. */
function plain(data: Float32Array, tokens: Int32Array, columns: number, gradient: Float32Array): number {
  let total = 0;
  tokens.forEach((token, row) => {
    const begin = row * columns;
    let maximum = -Infinity;
    for (let i = begin; i < begin + columns; i++) if (data[i]! > maximum) maximum = data[i]!;
    let sum = 0;
    for (let i = begin; i < begin + columns; i++) sum += Math.exp(data[i]! - maximum);
    for (let i = begin; i < begin + columns; i++) gradient[i] = -Math.exp(data[i]! - maximum) / sum;
    gradient[begin + token]! += 1;
    total += data[begin + token]! - maximum - Math.log(sum);
  });
  return total;
}

async function measureSize(rows: number, columns: number, quick: boolean): Promise<TokenLogProbsTime> {
  const { student, teacher } = logits(rows * columns);
  const problem = { data: student, shape: [rows, columns] };
  const tokens = Int32Array.from({ length: rows }, (_, row) => (row * 7919) % columns);
  const out = { logits: new Float32Array(rows * columns) };
  const backend = "cpu";
  const { addon } = loadAddon();
  const { logProbs } = tokenLogProbs(problem, tokens, { backend });
  requireAgreement({
    kullback: logProbs.reduce((sum, x) => sum + x, 0),
    javascript: plain(student, tokens, columns, out.logits),
  });
  const gradients = ["logits"] as const;
  const times = await inTurns(
    {
      twoReadsOneWrite: () => addon!.memoryLimit(student.length, student, teacher, out.logits),
      gradient: () => tokenLogProbs(problem, tokens, { gradients, out, backend }),
      entropyGradient: () =>
        tokenLogProbs(problem, tokens, { gradients, out, backend, entropyGradOutput: -0.01 }),
      twoReads: () => addon!.memoryLimit(student.length, student, teacher, undefined),
      logProbs: () => tokenLogProbs(problem, tokens, { backend }),
      javascript: () => plain(student, tokens, columns, out.logits),
    },
    quick ? 3 : 7,
    quick ? 30 : 100,
  );
  return { rows, columns, ...(times as Omit<TokenLogProbsTime, "rows" | "columns">) };
}

/** Measures every size. */
export async function benchTokenLogProbs(quick: boolean): Promise<TokenLogProbsTime[]> {
  const results: TokenLogProbsTime[] = [];
  for (const [rows, columns] of quick
    ? [[64, 32000]]
    : [
        [512, 32000],
        [64, 128256],
        [4096, 1000],
        [1, 151936],
      ]) {
    results.push(await measureSize(rows!, columns!, quick));
  }
  return results;
}

export const tokenLogProbsHead = [
  "rows x columns",
  "logProbs",
  "% of 1 read",
  "with gradient",
  "% of 1 read + 1 write",
  "with entropy's gradient",
  "JavaScript",
] as const;

/** One size as cells of {@link tokenLogProbsHead}. */
export function tokenLogProbsRow(size: TokenLogProbsTime): string[] {
  const { rows, columns, logProbs, gradient, entropyGradient, twoReads, twoReadsOneWrite, javascript } = size;
  return [
    `${rows} x ${columns}`,
    time(logProbs),
    percent((50 * twoReads) / logProbs),
    time(gradient),
    percent((200 / 3) * (twoReadsOneWrite / gradient)),
    time(entropyGradient),
    ratio(javascript / gradient),
  ];
}
