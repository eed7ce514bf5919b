// One row of softmaxDivergence in float64, as the textbook has it: two softmaxes, their divergence and its gradients.
import type { SoftmaxDivergenceRequest } from "../backend/table.js";
import { generators, type Generator } from "./softmax-divergence-generators.js";
import { sum } from "./sum.js";

/** softmax(logits / temperature + log-prior) of one row, and what its logarithm is made of. */
export interface Softmax {
  /** With the log-prior times the temperature in them. */
  logits: Float64Array;
  temperature: number;
  probabilities: Float64Array;
  logProbabilities: Float64Array;
  /** The largest logit. */
  maximum: number;
  /** log Σ exp((logits − maximum) / temperature) */
  logSum: number;
}

export function softmax(logits: Float64Array, temperature: number): Softmax {
  const maximum = logits.reduce((largest, x) => Math.max(largest, x), -Infinity);
  const belowMaximum = logits.map((x) => (x - maximum) / temperature);
  const logSum = Math.log(sum(belowMaximum.map(Math.exp)));
  const logProbabilities = belowMaximum.map((x) => x - logSum);
  return {
    logits,
    temperature,
    probabilities: logProbabilities.map(Math.exp),
    logProbabilities,
    maximum,
    logSum,
  };
}

export function logSumExp({ maximum, temperature, logSum }: Softmax): number {
  return maximum / temperature + logSum;
}

/** The first column with the largest logit, or -1 where there is no softmax. */
export function argmax({ logits, maximum, logSum }: Softmax): number {
  return Number.isNaN(logSum) ? -1 : logits.indexOf(maximum);
}

export interface Divergence {
  value: number;
  /** With respect to logits / temperature, at a column. */
  studentGradient: (column: number) => number;
  teacherGradient: (column: number) => number;
}

/** What is compared in a row, and how far apart it is. */
export interface Comparison {
  q: Softmax;
  p: Softmax;
  divergence: Divergence;
}

export function divergenceOf(
  { divergence, parameter }: Pick<SoftmaxDivergenceRequest, "divergence" | "parameter">,
  q: Softmax,
  p: Softmax,
): Divergence {
  if (divergence === "renyi") return renyi(q, p, parameter);
  return summed(generators[divergence](parameter), q, p);
}

/**
 * Σ over the columns, and its gradients: with g the derivative for log q at each column, as if all were free, the
 * gradient for the logits of q is g − q Σ g, since the logarithm of the softmax's denominator falls by q.
 */
function summed(term: Generator, q: Softmax, p: Softmax): Divergence {
  const u = logRatio(q, p);
  const columns = q.logits.length;
  const values = new Float64Array(columns);
  const [forQ, forP] = [new Float64Array(columns), new Float64Array(columns)];
  for (let i = 0; i < forQ.length; i++) {
    const column = {
      p: at(p.probabilities, i),
      q: at(q.probabilities, i),
      logP: at(p.logProbabilities, i),
      logQ: at(q.logProbabilities, i),
      u: u(i),
    };
    // 0 on both sides counts nothing; but where they are only too small to be numbers, a power of their ratio may.
    if (column.p === 0 && column.q === 0 && !Number.isFinite(column.u)) continue;
    const terms = term(column);
    values[i] = terms.value;
    forQ[i] = terms.forQ;
    forP[i] = terms.forP;
  }
  const [sumQ, sumP] = [sum(forQ), sum(forP)];
  return {
    value: sum(values),
    studentGradient: (i) => centred(at(forQ, i), at(q.probabilities, i), sumQ),
    teacherGradient: (i) => centred(at(forP, i), at(p.probabilities, i), sumP),
  };
}

function centred(slope: number, probability: number, sum: number): number {
  return probability === 0 ? slope : slope - probability * sum;
}

/**
 * log(Σ p^α q^(1 − α)) / (α − 1). Where the sum is near 1 it is known best as 1 + α (α − 1) D, D the alpha divergence,
 * which keeps the digits of a small one; elsewhere by its logarithm, which stays finite wherever that is.
 */
function renyi(q: Softmax, p: Softmax, alpha: number): Divergence {
  const near = summed(generators.alpha(alpha), q, p);
  const excess = alpha * (alpha - 1) * near.value;
  if (excess > -0.5 && excess < 1) {
    const slope = alpha / (1 + excess);
    return {
      value: Math.log1p(excess) / (alpha - 1),
      studentGradient: (i) => slope * near.studentGradient(i),
      teacherGradient: (i) => slope * near.teacherGradient(i),
    };
  }
  const u = logRatio(q, p);
  const logs = q.logits.map((_, i) => {
    const logP = at(p.logProbabilities, i);
    return logP === -Infinity ? -Infinity : logP + (1 - alpha) * u(i);
  });
  const maximum = logs.reduce((largest, x) => Math.max(largest, x), -Infinity);
  // Infinite where alpha is above 1 and some p is above 0 where q is 0, or where no column is above 0 in both.
  const infinite = Math.abs(maximum) === Infinity;
  const logSum = infinite ? maximum : maximum + Math.log(sum(logs.map((x) => Math.exp(x - maximum))));
  const weight = (i: number): number => Math.exp(at(logs, i) - logSum);
  return {
    value: logSum / (alpha - 1),
    studentGradient: (i) => at(q.probabilities, i) - weight(i),
    teacherGradient: (i) => (alpha / (alpha - 1)) * (weight(i) - at(p.probabilities, i)),
  };
}

/**
 * log(a / b) at a column. Where the sides lie close to each other their logits are subtracted first, which keeps the
 * digits of a small ratio; where they lie apart, each is first taken down from its own maximum.
 */
function logRatio(a: Softmax, b: Softmax): (column: number) => number {
  const maxima = (a.maximum - b.maximum) / a.temperature;
  if (a.temperature === b.temperature && Math.abs(maxima) <= 2) {
    const offset = maxima + (a.logSum - b.logSum);
    return (i) => (at(a.logits, i) - at(b.logits, i)) / a.temperature - offset;
  }
  return (i) => at(a.logProbabilities, i) - at(b.logProbabilities, i);
}

/** Σ a f, where a probability of 0 counts nothing, whatever f is there. */
export function expectation(a: Softmax, f: (column: number) => number): number {
  return sum(a.probabilities.map((weight, i) => (weight === 0 ? 0 : weight * f(i))));
}

export function at(array: Float64Array | Int32Array, index: number): number {
  return array[index] as number;
}
