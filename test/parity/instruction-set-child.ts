// Prints, as JSON, what the CPU backend computes in this process: which instruction set, and its results' bits.
import { createHash } from "node:crypto";
import { backendInfo, softmaxDivergence } from "../../lib/index.js";
import { cpuChoices, dtypes, everything, logitPair, named, statistics, type Choice } from "../cases.js";

/** What a child has to say about one call. */
export interface ChildCase {
  what: string;
  divergence: Choice["divergence"];
  values: number[];
  /** A few numbers of each gradient, which another instruction set's must be close to. */
  student: number[];
  teacher: number[];
  /** Of the bits of everything. */
  digest: string;
}

export interface ChildReport {
  instructionSet: string | undefined;
  cases: ChildCase[];
}

const shapes = [
  { rows: 5, columns: 2 },
  { rows: 7, columns: 37 },
  { rows: 3, columns: 1025 },
  { rows: 2, columns: 20001 },
];

/** The first columns, among them the first row's peak, and the last. */
function sample(gradient: Float32Array | Float64Array): number[] {
  return [...gradient.slice(0, 8), ...gradient.slice(-8)];
}

function* cases(): Generator<ChildCase> {
  for (const dtype of dtypes) {
    for (const { rows, columns } of shapes) {
      const { student, teacher } = logitPair({ rows, columns, dtype });
      for (const choice of cpuChoices) {
        for (const temperature of [1, 3, { student: 2, teacher: 1.5 }]) {
          const options = { ...choice, temperature, backend: "cpu" } as const;
          const all = softmaxDivergence(student, teacher, { ...everything, ...options });
          const alone = softmaxDivergence(student, teacher, { ...options, reduction: "none" });
          const arrays = [
            all.values,
            alone.values,
            all.gradients.student,
            all.gradients.teacher,
            ...statistics.map((name) => all.statistics[name]),
          ];
          const hash = createHash("sha256");
          for (const { buffer, byteOffset, byteLength } of arrays)
            hash.update(new Uint8Array(buffer, byteOffset, byteLength));
          yield {
            what: `${dtype} ${named(choice)}, ${rows} rows of ${columns}, T ${JSON.stringify(temperature)}`,
            divergence: choice.divergence,
            values: [...all.values, ...alone.values],
            student: sample(all.gradients.student),
            teacher: sample(all.gradients.teacher),
            digest: hash.digest("hex"),
          };
        }
      }
    }
  }
}

const report: ChildReport = { instructionSet: backendInfo().cpu?.instructionSet, cases: [...cases()] };
process.stdout.write(JSON.stringify(report));
