// softmaxDivergence in float64, as the textbook has it: the specification, the tests' oracle, the last resort.
import type {
  SoftmaxDivergenceName,
  HostSoftmaxDivergenceRequest,
  HostSoftmaxSide,
} from "../backend/table.js";

/** softmax(logits / temperature) of one row, and what its logarithm is made of. */
interface Softmax {
  logits: Float64Array;
  temperature: number;
  probabilities: Float64Array;
  logProbabilities: Float64Array;
  /** The largest logit. */
  maximum: number;
  /** log Σ exp((logits − maximum) / temperature) */
  logSum: number;
}

/** Returns a function that writes one row's outputs and returns its weighted divergence. */
export function prepareSoftmaxDivergence(request: HostSoftmaxDivergenceRequest): (row: number) => number {
  const { student, teacher, columns } = request;
  return (row) => {
    if (request.rowMask?.[row] === 0) return leaveOut(request, row);
    const q = softmax(student, row, columns);
    const p = softmax(teacher, row, columns);
    writeStatistics(request, row, q, p);
    const scale = (request.rowWeights?.[row] ?? 1) * request.scale;
    const slope = scale === 0 ? 0 : scale * (request.gradOutputs?.[row] ?? request.gradOutput);
    const { value, studentGradient, teacherGradient } = divergences[request.divergence](q, p);
    writeGradient(student, row, slope, studentGradient, columns);
    writeGradient(teacher, row, slope, teacherGradient, columns);
    const weighted = scale === 0 ? 0 : scale * value;
    if (request.values) request.values[row] = weighted;
    return weighted;
  };
}

function softmax(side: HostSoftmaxSide, row: number, columns: number): Softmax {
  const begin = row * side.stride;
  const { temperature } = side;
  const logits = Float64Array.from(side.logits.subarray(begin, begin + columns));
  const maximum = logits.reduce((largest, x) => Math.max(largest, x), -Infinity);
  const belowMaximum = logits.map((x) => (x - maximum) / temperature);
  const logSum = Math.log(belowMaximum.reduce((sum, x) => sum + Math.exp(x), 0));
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

function logSumExp({ maximum, temperature, logSum }: Softmax): number {
  return maximum / temperature + logSum;
}

/** The first column with the largest logit, or -1 where there is no softmax. */
function argmax({ logits, maximum, logSum }: Softmax): number {
  return Number.isNaN(logSum) ? -1 : logits.indexOf(maximum);
}

interface Divergence {
  value: number;
  /** With respect to logits / temperature, at a column. */
  studentGradient: (column: number) => number;
  teacherGradient: (column: number) => number;
}

const divergences: Record<SoftmaxDivergenceName, (q: Softmax, p: Softmax) => Divergence> = {
  forwardKl(q, p) {
    const value = kullbackLeibler(p, q);
    return { value, studentGradient: difference(q, p), teacherGradient: centred(p, logRatio(p, q), value) };
  },
  reverseKl(q, p) {
    const value = kullbackLeibler(q, p);
    return { value, studentGradient: centred(q, logRatio(q, p), value), teacherGradient: difference(p, q) };
  },
  crossEntropy(q, p) {
    const value = expectation(p, (i) => -at(q.logProbabilities, i));
    return {
      value,
      studentGradient: difference(q, p),
      teacherGradient: centred(p, (i) => -at(q.logProbabilities, i), value),
    };
  },
};

/** KL(a ‖ b) = Σ a (e^u − 1 − u), u = log b − log a; a column without weight a adds b, e^u a in the limit. */
function kullbackLeibler(a: Softmax, b: Softmax): number {
  const u = logRatio(b, a);
  return a.probabilities.reduce(
    (sum, weight, i) => sum + (weight === 0 ? at(b.probabilities, i) : weight * expm1Minus(u(i))),
    0,
  );
}

/** e^u − 1 − u without cancellation: its Taylor series where that is short. */
function expm1Minus(u: number): number {
  if (!(Math.abs(u) < 0.5)) return Math.expm1(u) - u;
  let sum = 0;
  let term = u;
  for (let k = 2; k < 20; k++) {
    term *= u / k;
    sum += term;
  }
  return sum;
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
function expectation(a: Softmax, f: (column: number) => number): number {
  return a.probabilities.reduce((sum, weight, i) => sum + (weight === 0 ? 0 : weight * f(i)), 0);
}

function difference(b: Softmax, a: Softmax): (column: number) => number {
  return (i) => at(b.probabilities, i) - at(a.probabilities, i);
}

/** a (f − mean): the gradient of Σ a f for the logits of a, where f's own change adds nothing. */
function centred(a: Softmax, f: (column: number) => number, mean: number): (column: number) => number {
  return (i) => (at(a.probabilities, i) === 0 ? 0 : at(a.probabilities, i) * (f(i) - mean));
}

function writeGradient(
  side: HostSoftmaxSide,
  row: number,
  slope: number,
  gradient: (column: number) => number,
  columns: number,
): void {
  if (!side.gradient) return;
  const begin = row * side.stride;
  side.gradient.fill(0, begin, begin + side.stride);
  if (slope === 0) return;
  for (let i = 0; i < columns; i++) side.gradient[begin + i] = (slope * gradient(i)) / side.temperature;
}

function writeStatistics(request: HostSoftmaxDivergenceRequest, row: number, q: Softmax, p: Softmax): void {
  for (const [side, softmaxed] of [
    [request.student, q],
    [request.teacher, p],
  ] as const) {
    if (side.logSumExp) side.logSumExp[row] = logSumExp(softmaxed);
    if (side.entropy) side.entropy[row] = expectation(softmaxed, (i) => -at(softmaxed.logProbabilities, i));
  }
  if (request.argmaxAgreement)
    request.argmaxAgreement[row] = argmax(q) >= 0 && argmax(q) === argmax(p) ? 1 : 0;
}

function leaveOut(request: HostSoftmaxDivergenceRequest, row: number): number {
  for (const side of [request.student, request.teacher]) {
    side.gradient?.fill(0, row * side.stride, (row + 1) * side.stride);
    if (side.logSumExp) side.logSumExp[row] = 0;
    if (side.entropy) side.entropy[row] = 0;
  }
  if (request.values) request.values[row] = 0;
  if (request.argmaxAgreement) request.argmaxAgreement[row] = 0;
  return 0;
}

function at(array: Float64Array, index: number): number {
  return array[index] as number;
}
