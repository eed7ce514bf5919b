// Small divergences, where the usual float32 formulas lose their digits: what everyone says beside what is true.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { softmaxDivergence } from "../lib/index.js";
import { line } from "./cells.js";
import { plainForwardKl } from "./peers/plain-javascript.js";
import { prepareTfjs, tfjsForwardKl } from "./peers/tfjs.js";
import { startTorch } from "./peers/torch.js";
import { logits } from "./problem.js";

/** What each says of one distance between student and teacher. */
export interface SmallAnswers {
  /** KL of the same float32 logits in float64. */
  exact: number;
  kullback: number;
  javascript: number;
  tfjs?: number | undefined;
  torch?: number | undefined;
}

const [rows, columns] = [64, 1000];
/** The student's logits less the teacher's, in standard deviations of 1. */
const distances = [1e-1, 1e-2, 1e-3, 1e-4];

/** Asks everyone. */
export async function askSmall(): Promise<SmallAnswers[]> {
  const tfjs = await prepareTfjs();
  const torch = await startTorch(["cpu", "1"]);
  const folder = mkdtempSync(join(tmpdir(), "kullback-small-"));
  const shape = [rows, columns];
  const answers: SmallAnswers[] = [];
  for (const distance of distances) {
    const { student: far, teacher } = logits(rows * columns);
    const student = teacher.map((x, i) => x + distance * (far[i]! - x));
    const wide = (data: Float32Array): { data: Float64Array; shape: number[] } => ({
      data: Float64Array.from(data),
      shape,
    });
    const operations = tfjs ? tfjsForwardKl(student, teacher, rows, columns) : undefined;
    const file = join(folder, "logits");
    writeFileSync(file, Buffer.concat([student, teacher].map((side) => new Uint8Array(side.buffer))));
    answers.push({
      exact: softmaxDivergence(wide(student), wide(teacher), { backend: "reference" }).value,
      kullback: softmaxDivergence({ data: student, shape }, { data: teacher, shape }, { backend: "cpu" })
        .value,
      javascript: plainForwardKl(student, teacher, rows, columns, undefined),
      tfjs: operations?.run(),
      torch: await torch?.value(file, rows, columns),
    });
    operations?.dispose();
  }
  torch?.stop();
  rmSync(folder, { recursive: true });
  return answers;
}

export const smallHead = ["KL", "kullback", "JavaScript in float64", "tfjs", "torch"] as const;

/** The relative errors, as rows of a table. */
export function smallRows(answers: readonly SmallAnswers[]): string[][] {
  return answers.map(({ exact, kullback, javascript, tfjs, torch }) => {
    const error = (value: number | undefined): string => {
      if (value === undefined) return "not measured";
      return `${Math.abs(value / exact - 1).toExponential(1)}${value < 0 ? ", negative" : ""}`;
    };
    return [exact.toExponential(2), error(kullback), error(javascript), error(tfjs), error(torch)];
  });
}

/** Its part of docs/benchmarks.md. */
export function smallSection(answers: readonly SmallAnswers[]): string {
  return `## Small divergences

Forward KL of ${rows} x ${columns} float32 logits whose sides come ever closer: relative errors against float64 of the same
logits. The peers are the loss as their users write it; torch's and tfjs' are in float32, as Kullback's is.

${[smallHead, smallHead.map(() => "---"), ...smallRows(answers)].map(line).join("")}`;
}
