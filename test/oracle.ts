// The softmax divergences in 40 decimal digits: what float64 results are measured against, by a second program.
import { Decimal } from "decimal.js";
import { resolveDivergence, type DivergenceOptions, type ResolvedDivergence } from "../lib/divergence.js";
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
  return sum(weights.map((weight, i) => weight.mul(scores[i]!)));
}

/** A divergence as a sum over columns: a column's term, and its derivatives for log q and log p, as if both were free. */
interface ExactTerm {
  value: Decimal;
  forQ: Decimal;
  forP: Decimal;
}
interface ExactColumn {
  p: Decimal;
  q: Decimal;
  logP: Decimal;
  logQ: Decimal;
}
type ExactGenerator = (column: ExactColumn, parameter: Decimal) => ExactTerm;

const one = new Exact(1);

const kullbackLeibler: ExactGenerator = ({ p, logP, logQ }) => {
  const value = p.mul(logP.sub(logQ));
  return { value, forQ: p.neg(), forP: value.add(p) };
};

/** p^a q^(1 - a) / scale, of which the constant that the sum lacks is added by exactSum. */
function power({ logP, logQ }: ExactColumn, alpha: Decimal, scale: Decimal): ExactTerm {
  const value = alpha.mul(logP).add(one.sub(alpha).mul(logQ)).exp().div(scale);
  return { value, forQ: value.mul(one.sub(alpha)), forP: value.mul(alpha) };
}

const skewed: ExactGenerator = ({ p, q, logP }, lambda) => {
  const other = one.sub(lambda).mul(q);
  const m = lambda.mul(p).add(other);
  const value = p.mul(logP.sub(m.ln()));
  const forQ = p.mul(other).div(m).neg();
  return { value, forQ, forP: value.sub(forQ) };
};

const exchanged =
  (term: ExactGenerator): ExactGenerator =>
  ({ p, q, logP, logQ }, parameter) => {
    const { value, forQ, forP } = term({ p: q, q: p, logP: logQ, logQ: logP }, parameter);
    return { value, forQ: forP, forP: forQ };
  };

/** Each as the textbook defines it. */
const generators: Record<Exclude<SoftmaxDivergenceName, "renyi">, ExactGenerator> = {
  forwardKl: kullbackLeibler,
  reverseKl: exchanged(kullbackLeibler),
  crossEntropy: ({ p, logQ }) => {
    const value = p.mul(logQ).neg();
    return { value, forQ: p.neg(), forP: value };
  },
  jeffreys: ({ p, q, logP, logQ }) => {
    const [gap, ratio] = [p.sub(q), logP.sub(logQ)];
    return {
      value: gap.mul(ratio),
      forQ: q.mul(ratio).neg().sub(gap),
      forP: p.mul(ratio).add(gap),
    };
  },
  jensenShannon: ({ p, q, logP, logQ }, beta) => {
    const m = beta.mul(p).add(one.sub(beta).mul(q));
    const forP = beta.mul(p).mul(logP.sub(m.ln()));
    const forQ = one.sub(beta).mul(q).mul(logQ.sub(m.ln()));
    return { value: forP.add(forQ), forQ, forP };
  },
  totalVariation: ({ p, q }) => {
    const sign = Decimal.sign(q.sub(p)) / 2;
    return { value: q.sub(p).mul(sign), forQ: q.mul(sign), forP: p.mul(-sign) };
  },
  squaredHellinger: (column) => power(column, one.div(2), one.neg()),
  chiSquared: (column) => power(column, one.mul(2), one),
  reverseChiSquared: (column) => power(column, one.neg(), one),
  alpha: (column, alpha) => power(column, alpha, alpha.mul(alpha.sub(1))),
  skewForwardKl: skewed,
  skewReverseKl: exchanged(skewed),
};

/** What a sum of powers is compared with: its own value where p = q. */
function withoutDivergence(divergence: SoftmaxDivergenceName, parameter: Decimal): Decimal {
  if (divergence === "squaredHellinger") return one.neg();
  if (divergence === "chiSquared" || divergence === "reverseChiSquared") return one;
  if (divergence === "alpha") return one.div(parameter.mul(parameter.sub(1)));
  return new Exact(0);
}

interface ExactSlopes {
  value: Decimal;
  forQ: Decimal[];
  forP: Decimal[];
}

function slopesOf(
  { divergence, parameter, factor }: ResolvedDivergence,
  columns: ExactColumn[],
): ExactSlopes {
  const number = exactly(parameter);
  const scale = exactly(factor);
  if (divergence === "renyi") {
    const terms = columns.map((column) => power(column, number, one));
    const total = sum(terms.map(({ value }) => value));
    const slope = scale.div(number.sub(1));
    return {
      value: total.ln().mul(slope),
      forQ: terms.map(({ forQ }) => forQ.div(total).mul(slope)),
      forP: terms.map(({ forP }) => forP.div(total).mul(slope)),
    };
  }
  const terms = columns.map((column) => generators[divergence](column, number));
  return {
    value: sum(terms.map(({ value }) => value))
      .sub(withoutDivergence(divergence, number))
      .mul(scale),
    forQ: terms.map(({ forQ }) => forQ.mul(scale)),
    forP: terms.map(({ forP }) => forP.mul(scale)),
  };
}

/** The gradient for the logits of a softmax, from the derivatives for its logarithm. */
function forLogits(slopes: Decimal[], probabilities: Decimal[], temperature: number): number[] {
  const total = sum(slopes);
  return slopes.map((slope, i) =>
    slope.sub(probabilities[i]!.mul(total)).div(exactly(temperature)).toNumber(),
  );
}

/** The definition, with nothing rearranged: 40 digits leave 30 even where 9 cancel. Finite logits only. */
export function exactDivergence(
  options: DivergenceOptions,
  student: ArrayLike<number>,
  teacher: ArrayLike<number>,
  studentTemperature = 1,
  teacherTemperature = 1,
): ExactRow {
  const q = softmax(student, studentTemperature);
  const p = softmax(teacher, teacherTemperature);
  const columns = q.probabilities.map((probability, i) => ({
    p: p.probabilities[i]!,
    q: probability,
    logP: p.logProbabilities[i]!,
    logQ: q.logProbabilities[i]!,
  }));
  const { value, forQ, forP } = slopesOf(resolveDivergence(options), columns);
  return {
    value: value.toNumber(),
    studentGradient: forLogits(forQ, q.probabilities, studentTemperature),
    teacherGradient: forLogits(forP, p.probabilities, teacherTemperature),
    studentLogSumExp: q.logSumExp.toNumber(),
    teacherLogSumExp: p.logSumExp.toNumber(),
    studentEntropy: expectation(q.probabilities, q.logProbabilities).neg().toNumber(),
    teacherEntropy: expectation(p.probabilities, p.logProbabilities).neg().toNumber(),
  };
}
