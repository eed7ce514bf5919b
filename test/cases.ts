// The inputs of the operation tests: seeded, and with probabilities so large that a tolerance bites.
import { randomLcg, randomNormal } from "d3-random";
import { backendInfo, type BackendName, type Dtype, type NumericArray, type Rows } from "../lib/index.js";

/** What this run tests: all backends that can run here, or the one that KULLBACK_TEST_BACKEND names. */
export const backends: readonly BackendName[] = backendInfo()
  .backends.filter(({ name, available }) => available && (process.env.KULLBACK_TEST_BACKEND ?? name) === name)
  .map(({ name }) => name);
if (backends.length === 0) throw new Error(`no backend ${process.env.KULLBACK_TEST_BACKEND} can run here`);

/** Those of them whose float32 is computed in float32. */
export const nativeBackends = backends.filter((name) => name !== "reference");

export const dtypes = ["float32", "float64"] as const;
export const divergences = ["forwardKl", "reverseKl", "crossEntropy"] as const;
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
