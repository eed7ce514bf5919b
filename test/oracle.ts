// The softmax divergences in 40 decimal digits: what float64 results are measured against, by a second program.
import { Decimal } from "decimal.js";
import type { SoftmaxDivergenceName } from "../lib/index.js";

export const Exact = Decimal.clone({ precision: 40 });

/** The number itself: new Decimal(0.1) would be the decimal 0.1, which is half an ulp away from the float64. */
export function exactly(x: number): Decimal {
  let doublings = 0;
  let integer = x;
  for (; !Number.isInteger(integer); doublings++) integer *= 2;
  return new Exact(integer).div(new Exact(2).pow(doublings));
}

/** One row, rounded once, at the end. */
export interface ExactRow {
  value: number;
  studentGradient: number[];
  teacherGradient: number[];
  studentLogSumExp: number;
  teacherLogSumExp: number;
  studentEntropy: number;
  teacherEntropy: number;
}

interface ExactSoftmax {
  logSumExp: Decimal;
  probabilities: Decimal[];
  logProbabilities: Decimal[];
}

function softmax(logits: ArrayLike<number>, temperature: number): ExactSoftmax {
  const scaled = Array.from(logits, (x) => exactly(x).div(exactly(temperature)));
  const logSumExp = sum(scaled.map((x) => x.exp())).ln();
  const logProbabilities = scaled.map((x) => x.sub(logSumExp));
  return { logSumExp, logProbabilities, probabilities: logProbabilities.map((x) => x.exp()) };
}

function sum(terms: Decimal[]): Decimal {
  return terms.reduce((total, term) => total.add(term), new Exact(0));
}

function expectation(weights: Decimal[], scores: Decimal[]): Decimal {
  return sum(weights.map((weight, i) => weight.mul(scores[i] as Decimal)));
}

/** The definition, with nothing rearranged: 40 digits leave 30 even where 9 cancel. Finite logits only. */
export function exactDivergence(
  divergence: SoftmaxDivergenceName,
  student: ArrayLike<number>,
  teacher: ArrayLike<number>,
  studentTemperature = 1,
  teacherTemperature = 1,
): ExactRow {
  const q = softmax(student, studentTemperature);
  const p = softmax(teacher, teacherTemperature);
  const [weigher, other] = divergence === "reverseKl" ? [q, p] : [p, q];
  const scores = weigher.logProbabilities.map((logA, i) => {
    const logB = other.logProbabilities[i] as Decimal;
    return divergence === "crossEntropy" ? logB.neg() : logA.sub(logB);
  });
  const value = expectation(weigher.probabilities, scores);
  const centred = weigher.probabilities.map((a, i) => a.mul((scores[i] as Decimal).sub(value)));
  const pulled = other.probabilities.map((b, i) => b.sub(weigher.probabilities[i] as Decimal));
  const [studentSlope, teacherSlope] = divergence === "reverseKl" ? [centred, pulled] : [pulled, centred];
  return {
    value: value.toNumber(),
    studentGradient: studentSlope.map((x) => x.div(exactly(studentTemperature)).toNumber()),
    teacherGradient: teacherSlope.map((x) => x.div(exactly(teacherTemperature)).toNumber()),
    studentLogSumExp: q.logSumExp.toNumber(),
    teacherLogSumExp: p.logSumExp.toNumber(),
    studentEntropy: expectation(q.probabilities, q.logProbabilities).neg().toNumber(),
    teacherEntropy: expectation(p.probabilities, p.logProbabilities).neg().toNumber(),
  };
}
