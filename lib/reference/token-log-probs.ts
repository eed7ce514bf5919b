// tokenLogProbs in float64, as the textbook has it: the specification, the tests' oracle, the last resort.
import type { Estimator, HostTokenLogProbsRequest } from "../backend/table.js";
import { sum } from "./sum.js";

/** Returns a function that writes one row's outputs. */
export function prepareTokenLogProbs(request: HostTokenLogProbsRequest): (row: number) => number {
  const { columns, stride, temperature, estimator } = request;
  return (row) => {
    const begin = row * stride;
    request.logitsGradient?.fill(0, begin, begin + stride);
    if (request.rowMask?.[row] === 0) {
      write(request, row, { logProb: 0, entropy: 0, logSumExp: 0, estimate: 0 });
      return 0;
    }
    const logits = Float64Array.from(request.logits.subarray(begin, begin + columns));
    const maximum = logits.reduce((largest, x) => Math.max(largest, x), -Infinity);
    const logSum = Math.log(sum(logits.map((x) => Math.exp((x - maximum) / temperature))));
    const logQ = logits.map((x) => (x - maximum) / temperature - logSum);
    // Probability 0 carries no entropy, even where its logarithm is −Infinity.
    const entropy = sum(logQ.map((x) => (Math.exp(x) === 0 ? 0 : -Math.exp(x) * x)));
    const token = request.tokens[row] as number;
    const logProb = logQ[token] as number;
    const d = (request.referenceLogProbs?.[row] ?? 0) - logProb;
    const [estimate, derivative] = estimator === undefined ? [0, 0] : estimates[estimator](d);
    write(request, row, { logProb, entropy, logSumExp: maximum / temperature + logSum, estimate });
    writeGradient(request, row, logQ, entropy, derivative);
    return 0;
  };
}

/** `derivative` is the estimate's, for the log-probability. */
function writeGradient(
  request: HostTokenLogProbsRequest,
  row: number,
  logQ: Float64Array,
  entropy: number,
  derivative: number,
): void {
  if (!request.logitsGradient) return;
  const ofEstimate = request.estimateGradOutputs?.[row] ?? request.estimateGradOutput;
  const slope =
    (request.gradOutputs?.[row] ?? request.gradOutput) + (ofEstimate === 0 ? 0 : ofEstimate * derivative);
  const entropySlope = request.entropyGradOutputs?.[row] ?? request.entropyGradOutput;
  if (slope === 0 && entropySlope === 0) return;
  for (let i = 0; i < logQ.length; i++) {
    const log = logQ[i] as number;
    const q = Math.exp(log);
    const ofLogProb = slope === 0 ? 0 : slope * (i === request.tokens[row] ? -Math.expm1(log) : -q);
    const ofEntropy = entropySlope === 0 || q === 0 ? 0 : entropySlope * -q * (log + entropy);
    request.logitsGradient[row * request.stride + i] = (ofLogProb + ofEntropy) / request.temperature;
  }
}

/** An estimate of KL(policy ‖ reference) and its derivative for the policy's log-probability; d = log ρ − log π. */
const estimates: Record<Estimator, (d: number) => [estimate: number, derivative: number]> = {
  k1: (d) => [-d, 1],
  k2: (d) => [(d * d) / 2, -d],
  k3: (d) => [secondOrder(d), -Math.expm1(d)],
};

/** e^d − 1 − d: its Taylor series where that is short. */
function secondOrder(d: number): number {
  if (!(Math.abs(d) < 0.5)) return Math.expm1(d) - d;
  let [sum, term] = [0, d];
  for (let k = 2; k < 20; k++) sum += term *= d / k;
  return sum;
}

function write(
  request: HostTokenLogProbsRequest,
  row: number,
  found: { logProb: number; entropy: number; logSumExp: number; estimate: number },
): void {
  request.logProbs[row] = found.logProb;
  if (request.entropy) request.entropy[row] = found.entropy;
  if (request.logSumExp) request.logSumExp[row] = found.logSumExp;
  if (request.estimates) request.estimates[row] = found.estimate;
}
