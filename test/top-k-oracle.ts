// Teachers of K columns for tests, and divergences from them as they are defined, over probabilities in plain arrays: slow, blind to small
// divergences, and nobody's kernel.
import { resolveDivergence } from "../lib/divergence.js";
import type { NumericArray, Rows, SideOptions, TopKRows } from "../lib/index.js";
import { arrayOf, logitPair, normals, type Choice, type Dtype } from "./cases.js";

export type Tail = NonNullable<SideOptions["tail"]>;
export const tails = ["truncate", "renormalize", "tailBucket", "zeroOutside"] as const satisfies Tail[];

/** The choices that a policy is defined for. */
export function defined(tail: Tail, { divergence }: Choice): boolean {
  return tail !== "truncate" || ["forwardKl", "reverseKl", "crossEntropy"].includes(divergence);
}

export interface SparseTeacher {
  /** -1 for none. */
  ids: readonly number[];
  logProbs: readonly number[];
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, x) => total + x, 0);
const log0 = (weight: number, ratio: number): number => (weight === 0 ? 0 : weight * Math.log(ratio));
const kl = (p: readonly number[], q: readonly number[]): number =>
  sum(p.map((x, i) => log0(x, x / (q[i] as number))));
const mixed = (w: number, p: readonly number[], q: readonly number[]): number[] =>
  p.map((x, i) => w * x + (1 - w) * (q[i] as number));
const powers = (a: number, p: readonly number[], q: readonly number[]): number =>
  sum(
    p.map((x, i) => {
      const y = q[i] as number;
      return x === 0 && y === 0 ? 0 : x ** a * y ** (1 - a);
    }),
  );

/** D(p, q), by the formulas of docs/softmax-divergence.md. */
export function divergenceOf(choice: Choice, p: readonly number[], q: readonly number[]): number {
  const { divergence, parameter: a, factor } = resolveDivergence(choice);
  switch (divergence) {
    case "forwardKl":
      return kl(p, q);
    case "reverseKl":
      return kl(q, p);
    case "crossEntropy":
      return -sum(p.map((x, i) => log0(x, q[i] as number)));
    case "jeffreys":
      return kl(p, q) + kl(q, p);
    case "jensenShannon":
      return factor * (a * kl(p, mixed(a, p, q)) + (1 - a) * kl(q, mixed(a, p, q)));
    case "totalVariation":
      return sum(p.map((x, i) => Math.abs(x - (q[i] as number)))) / 2;
    case "squaredHellinger":
      return 1 - powers(0.5, p, q);
    case "chiSquared":
      return powers(2, p, q) - 1;
    case "reverseChiSquared":
      return powers(-1, p, q) - 1;
    case "alpha":
      return (powers(a, p, q) - 1) / (a * (a - 1));
    case "renyi":
      return Math.log(powers(a, p, q)) / (a - 1);
    case "skewForwardKl":
      return kl(p, mixed(a, p, q));
    case "skewReverseKl":
      return kl(q, mixed(a, q, p));
    default:
      return divergence satisfies never;
  }
}

function softmax(logits: readonly number[], temperature: number): number[] {
  const largest = Math.max(...logits);
  const weights = logits.map((x) => Math.exp((x - largest) / temperature));
  return weights.map((x) => x / sum(weights));
}

/** One row's divergence under a policy. */
export function topKDivergence(
  choice: Choice,
  tail: Tail,
  student: readonly number[],
  { ids, logProbs }: SparseTeacher,
  temperature: { student: number; teacher: number },
): number {
  const slots = [...ids.keys()].filter((slot) => (ids[slot] as number) >= 0);
  const named = slots.map((slot) => ids[slot] as number);
  const logs = slots.map((slot) => logProbs[slot] as number);
  const q = softmax(student, temperature.student);
  const onSupport = named.map((id) => q[id] as number);
  const outside = q.filter((_, column) => !named.includes(column));
  switch (tail) {
    case "renormalize":
      return divergenceOf(
        choice,
        softmax(logs, temperature.teacher),
        onSupport.map((x) => x / sum(onSupport)),
      );
    case "zeroOutside": {
      const dense = q.map(() => 0);
      softmax(logs, temperature.teacher).forEach((x, i) => (dense[named[i] as number] = x));
      return divergenceOf(choice, dense, q);
    }
    case "tailBucket": {
      const p = logs.map(Math.exp);
      if (outside.length === 0) return divergenceOf(choice, softmax(logs, 1), onSupport);
      return divergenceOf(choice, [...p, 1 - sum(p)], [...onSupport, sum(outside)]);
    }
    case "truncate":
      return divergenceOf(choice, logs.map(Math.exp), onSupport);
    default:
      return tail satisfies never;
  }
}

/** Its derivatives for the student's logits: central differences. */
export function topKGradient(
  ...[choice, tail, student, ...rest]: Parameters<typeof topKDivergence>
): number[] {
  const step = 1e-5;
  return student.map((_, column) => {
    const at = (shift: number): number =>
      topKDivergence(choice, tail, student.with(column, (student[column] as number) + shift), ...rest);
    return (at(step) - at(-step)) / (2 * step);
  });
}

export interface SparseCase {
  student: Rows;
  teacher: TopKRows<NumericArray>;
}

/**
 * Students, and teachers that name `slots` columns a row, shuffled, every seventh slot empty where `holes`. What the
 * teacher's log-probabilities leave out is what its whole softmax has elsewhere.
 */
export function sparse(
  spec: { rows: number; columns: number; slots: number; holes?: boolean; dtype: Dtype },
  teachers = spec.rows,
): SparseCase {
  const { rows, columns, slots, holes = false, dtype } = spec;
  const { student, teacher } = logitPair({ rows, columns, dtype });
  const normal = normals(columns + slots);
  const ids = new Int32Array(teachers * slots);
  const logProbs = new Float64Array(teachers * slots);
  for (let row = 0; row < teachers; row++) {
    const logits = Float64Array.from(teacher.data.subarray(row * columns, (row + 1) * columns));
    const logSum = Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0));
    // The largest first, so that something is captured; then in any order.
    const order = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]!);
    const chosen = order.slice(0, slots).map((id) => [id, normal()] as const);
    chosen.sort(([, a], [, b]) => a - b);
    chosen.forEach(([id], slot) => {
      const empty = holes && slot % 7 === 6;
      ids[row * slots + slot] = empty ? -1 : id;
      logProbs[row * slots + slot] = empty ? NaN : Math.min(0, logits[id]! - logSum);
    });
  }
  const shape = teachers === 1 && rows > 1 ? [slots] : [teachers, slots];
  return { student, teacher: { data: arrayOf(dtype, logProbs), ids, shape } };
}
