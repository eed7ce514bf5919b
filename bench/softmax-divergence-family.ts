// All divergences of softmaxDivergence on the CPU beside each other, at the size that a step of distillation has.
import { loadAddon } from "../lib/backend/load.js";
import { softmaxDivergence, type SoftmaxDivergenceOptions } from "../lib/index.js";
import { inTurns, type Contender } from "./measure.js";
import { logits } from "./problem.js";
import { line, percent, time } from "./cells.js";

const choices: Record<string, SoftmaxDivergenceOptions> = {
  forwardKl: {},
  reverseKl: { divergence: "reverseKl" },
  crossEntropy: { divergence: "crossEntropy" },
  jeffreys: { divergence: "jeffreys" },
  "jensenShannon 0.5": { divergence: "jensenShannon" },
  totalVariation: { divergence: "totalVariation" },
  squaredHellinger: { divergence: "squaredHellinger" },
  chiSquared: { divergence: "chiSquared" },
  reverseChiSquared: { divergence: "reverseChiSquared" },
  "alpha 1.5": { divergence: "alpha", alpha: 1.5 },
  "renyi 2": { divergence: "renyi", alpha: 2 },
  "skewForwardKl 0.1": { divergence: "skewForwardKl", lambda: 0.1 },
  "skewReverseKl 0.1": { divergence: "skewReverseKl", lambda: 0.1 },
};

/** Forward KL from a teacher of so many columns. */
const slots = 64;
const sparseChoices: Record<string, SoftmaxDivergenceOptions> = {
  [`forwardKl, top ${slots}, tailBucket`]: { teacher: "topK", tail: "tailBucket" },
  [`forwardKl, top ${slots}, renormalize`]: { teacher: "topK", tail: "renormalize" },
};

/** One divergence's median milliseconds. */
export interface FamilyMember {
  divergence: string;
  value: number;
  /** Value and the student's gradient; likewise with both gradients, where there are two. */
  student: number;
  both?: number;
}

/** What a run found of all of them. */
export interface Family {
  rows: number;
  columns: number;
  /** Milliseconds of reading two arrays and writing one, in the same rounds. */
  twoReadsOneWrite: number;
  members: FamilyMember[];
}

/** Measures every divergence, in the same rounds. */
export async function benchFamily(quick: boolean): Promise<Family> {
  const [rows, columns] = [quick ? 64 : 512, 32000];
  const { student, teacher } = logits(rows * columns);
  const shape = [rows, columns];
  const out = { student: new Float32Array(rows * columns), teacher: new Float32Array(rows * columns) };
  const sparse = {
    data: new Float32Array(rows * slots).fill(-Math.log(2 * slots)),
    ids: Int32Array.from(
      { length: rows * slots },
      (_, i) => ((i * 977) % (columns / slots)) * slots + (i % slots),
    ),
    shape: [rows, slots],
  };
  const call = (options: SoftmaxDivergenceOptions) => (): unknown =>
    softmaxDivergence(
      { data: student, shape },
      options.teacher === "topK" ? sparse : { data: teacher, shape },
      { ...options, backend: "cpu" },
    );
  const contenders: Record<string, Contender> = {
    limit: () => loadAddon().addon!.memoryLimit(student.length, student, teacher, out.student),
  };
  const all = { ...choices, ...sparseChoices };
  for (const [name, options] of Object.entries(all)) {
    contenders[`${name} value`] = call(options);
    contenders[`${name} student`] = call({
      ...options,
      gradients: ["student"],
      out: { student: out.student },
    });
    if (name in choices)
      contenders[`${name} both`] = call({ ...options, gradients: ["student", "teacher"], out });
  }
  const times = (await inTurns(contenders, quick ? 3 : 7, quick ? 15 : 60)) as Record<string, number>;
  const members = Object.keys(all).map((divergence) => ({
    divergence,
    value: times[`${divergence} value`]!,
    student: times[`${divergence} student`]!,
    ...(divergence in choices && { both: times[`${divergence} both`]! }),
  }));
  return { rows, columns, twoReadsOneWrite: times.limit!, members };
}

export const familyHead = [
  "divergence",
  "value",
  "value + student's gradient",
  "beside forwardKl",
  "% of 2 reads + 1 write",
  "both gradients",
] as const;

/** The family as rows of a table. */
export function familyRows({ twoReadsOneWrite, members }: Family): string[][] {
  const [first] = members;
  return members.map(({ divergence, value, student, both }) => [
    divergence,
    time(value),
    time(student),
    `${(student / first!.student).toFixed(2)}x`,
    percent((100 * twoReadsOneWrite) / student),
    both === undefined ? "" : time(both),
  ]);
}

/** Its part of docs/benchmarks.md. */
export function familySection(family: Family): string {
  return `## All divergences, ${family.rows} x ${family.columns}, float32

In the same run and on the same machine.

${[familyHead, familyHead.map(() => "---"), ...familyRows(family)].map(line).join("")}`;
}
