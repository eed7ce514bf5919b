// The inputs of the operation tests: seeded, and with probabilities so large that a tolerance bites.
import { randomLcg, randomNormal } from "d3-random";
import type { DivergenceOptions } from "../lib/divergence.js";
import {
  backendInfo,
  softmaxDivergence,
  softmaxDivergenceAsync,
  type BackendName,
  type NumericArray,
  type Rows,
} from "../lib/index.js";

/** What this run tests: all backends that can run here, or the one that KULLBACK_TEST_BACKEND names. */
export const backends: readonly BackendName[] = backendInfo()
  .backends.filter(({ name, available }) => available && (process.env.KULLBACK_TEST_BACKEND ?? name) === name)
  .map(({ name }) => name);
if (backends.length === 0) throw new Error(`no backend ${process.env.KULLBACK_TEST_BACKEND} can run here`);

/** Those of them whose float32 is computed in float32. */
export const nativeBackends = backends.filter((name) => name !== "reference");

/** The element types that are computed in; what comes in others is test/softmax-divergence.element-types.test.ts's. */
export const dtypes = ["float32", "float64"] as const;
export type Dtype = (typeof dtypes)[number];
/** KL and what differs from it by an entropy: some tests are about these alone. */
export const divergences = ["forwardKl", "reverseKl", "crossEntropy"] as const;

/** A divergence with its parameter. */
export type Choice = DivergenceOptions & Required<Pick<DivergenceOptions, "divergence">>;

/** All divergences, those with a parameter on both sides of where their formulas change. */
export const choices: readonly Choice[] = [
  ...divergences.map((divergence) => ({ divergence })),
  { divergence: "jeffreys" },
  { divergence: "jensenShannon" },
  { divergence: "jensenShannon", beta: 0.1 },
  { divergence: "jensenShannon", beta: 0.75, normalized: true },
  { divergence: "totalVariation" },
  { divergence: "squaredHellinger" },
  { divergence: "chiSquared" },
  { divergence: "reverseChiSquared" },
  { divergence: "alpha", alpha: 1.5 },
  { divergence: "alpha", alpha: 0.3 },
  { divergence: "alpha", alpha: -0.5 },
  { divergence: "renyi", alpha: 2 },
  { divergence: "renyi", alpha: 0.5 },
  { divergence: "skewForwardKl", lambda: 0.1 },
  { divergence: "skewForwardKl", lambda: 0.5 },
  { divergence: "skewReverseKl", lambda: 0.1 },
  { divergence: "skewReverseKl", lambda: 0.5 },
];

/** Of these numbers of columns those that a backend is tested at: the reference needs no segments, and is slow. */
export const lengthsFor = <L extends number | readonly [rows: number, columns: number]>(
  backend: string,
  lengths: readonly L[],
): readonly L[] =>
  backend === "reference"
    ? lengths.filter((length) => (typeof length === "number" ? length : length[1]) <= 2000)
    : lengths;

/** For the tests that name the cpu backend: where another one is to be tested, as many as that may need. */
export const cpuChoices = backends.includes("cpu")
  ? choices
  : divergences.map((divergence): Choice => ({ divergence }));

/** What to call it in a test's title. */
export function named({ divergence, alpha, beta, lambda, normalized }: Choice): string {
  return [divergence, alpha, beta, lambda, normalized && "normalized"].filter(Boolean).join(" ");
}

/** Those that are 0 where both sides are equal, and grow with the square of the distance from there. */
export const quadratic = choices.filter(
  ({ divergence }) => divergence !== "crossEntropy" && divergence !== "totalVariation",
);

/** Which side's probability of 0, where the other's is above 0, makes a divergence Infinity. */
export function infiniteAt({ divergence, alpha = 0.5 }: Choice): readonly ("student" | "teacher")[] {
  switch (divergence) {
    case "forwardKl":
    case "crossEntropy":
    case "chiSquared":
      return ["student"];
    case "reverseKl":
    case "reverseChiSquared":
      return ["teacher"];
    case "jeffreys":
      return ["student", "teacher"];
    case "alpha":
    case "renyi":
      return alpha >= 1 ? ["student"] : alpha <= 0 ? ["teacher"] : [];
    case "jensenShannon":
    case "totalVariation":
    case "squaredHellinger":
    case "skewForwardKl":
    case "skewReverseKl":
      return [];
    default:
      return divergence satisfies never;
  }
}

export const sides = ["student", "teacher"] as const;
export const statistics = [
  "studentLogSumExp",
  "teacherLogSumExp",
  "studentEntropy",
  "teacherEntropy",
  "argmaxAgreement",
] as const;

/** All outputs that there are, one value a row. */
export const everything = { reduction: "none", gradients: sides, statistics } as const;

/** Every backend with every element type, and what to call the two in a test's title. */
export const implementations = backends.flatMap((backend) =>
  dtypes.map((dtype) => ({ backend, dtype, title: `${backend} ${dtype}` })),
);

/**
 * What two ways to the same number may differ by, relative to the largest of the numbers compared. A few roundings:
 * the bounds that users are promised are measured in softmax-divergence.error-bound.test.ts.
 */
export const agreement = { float32: 3e-6, float64: 1e-13 } as const;

/** The same for any divergence: a power of p / q multiplies the roundings of its logarithm. */
export function agreementOf({ divergence }: Choice, dtype: Dtype): number {
  return (divergences as readonly string[]).includes(divergence)
    ? agreement[dtype]
    : { float32: 1e-5, float64: 1e-12 }[dtype];
}

/** One vector (8 or 16 lanes), one block (1024) and one segment (8192), each with one less and one more. */
export const columnCounts = [
  1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 127, 1023, 1024, 1025, 8191, 8192, 8193,
] as const;

/** Rows beyond two segments, as long as vocabularies are. */
export const longColumnCounts = [32000, 128256] as const;

/** The same standard normal numbers on every run. */
export function normals(seed: number): () => number {
  return randomNormal.source(randomLcg(seed))();
}

export function arrayOf(dtype: Dtype, values: ArrayLike<number>): NumericArray {
  return dtype === "float32" ? Float32Array.from(values) : Float64Array.from(values);
}

/** The array argument of an operation. */
export function rowsOf(dtype: Dtype, columns: number, values: ArrayLike<number>): Rows {
  return { data: arrayOf(dtype, values), shape: [values.length / columns, columns] };
}

/** Now and later: what must not differ. */
export const bothWays = [
  ((student, teacher, options) =>
    new Promise((resolve) => {
      resolve(softmaxDivergence(student, teacher, options));
    })) as typeof softmaxDivergenceAsync,
  softmaxDivergenceAsync,
];

/** The same numbers, not rounded again by what is computed from them. */
export function inFloat64(rows: Rows): Rows<Float64Array> {
  return { data: Float64Array.from(rows.data), shape: rows.shape };
}

export interface LogitPair {
  student: Rows;
  teacher: Rows;
}

export interface LogitPairSpec {
  rows: number;
  columns: number;
  dtype: Dtype;
  /** student = teacher + distance * noise; KL is about distance^2 / 3. Default 1. */
  distance?: number;
  seed?: number;
}

/**
 * Normal logits, with one column of each row raised until it holds about half of the probability: among thousands of
 * equals every probability, and with it every gradient, would lie below any tolerance.
 */
export function logitPair({ rows, columns, dtype, distance = 1, seed = 1 }: LogitPairSpec): LogitPair {
  const normal = normals(seed * 1000003 + columns);
  const teacher = Float64Array.from({ length: rows * columns }, () => 2 * normal());
  for (let row = 0; row < rows; row++) {
    teacher[row * columns + ((row * 5 + 3) % columns)] = Math.log(columns) + 2;
  }
  const rounded = arrayOf(dtype, teacher);
  const student = rounded.map((x) => x + distance * normal());
  return { student: rowsOf(dtype, columns, student), teacher: rowsOf(dtype, columns, rounded) };
}
