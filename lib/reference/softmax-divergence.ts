// softmaxDivergence in float64, as the textbook has it: the specification, the tests' oracle, the last resort.
import type { HostSoftmaxDivergenceRequest, HostSoftmaxSide } from "../backend/table.js";
import { decode, decodeRange, encode } from "./elements.js";
import {
  argmax,
  at,
  divergenceOf,
  expectation,
  logSumExp,
  softmax,
  type Comparison,
  type Softmax,
} from "./softmax-divergence-row.js";
import { topKDivergenceOf } from "./softmax-divergence-top-k.js";

/** Returns a function that writes one row's outputs and returns its weighted divergence. */
export function prepareSoftmaxDivergence(request: HostSoftmaxDivergenceRequest): (row: number) => number {
  const { student, teacher } = request;
  return (row) => {
    if (request.rowMask?.[row] === 0) return leaveOut(request, row);
    const { q, p, divergence } = comparisonOf(request, row);
    writeStatistics(request, row, q, p);
    const scale = (request.rowWeights?.[row] ?? 1) * request.scale;
    const slope = scale === 0 ? 0 : scale * (request.gradOutputs?.[row] ?? request.gradOutput);
    const { value, studentGradient, teacherGradient } = divergence;
    writeGradient(request, student, row, slope, studentGradient);
    writeGradient(request, teacher, row, slope, teacherGradient);
    if (request.divergences) request.divergences[row] = value;
    const weighted = scale === 0 ? 0 : scale * value;
    if (request.values) request.values[row] = weighted;
    return weighted;
  };
}

/** What is compared in a row, and how far apart it is. */
function comparisonOf(request: HostSoftmaxDivergenceRequest, row: number): Comparison {
  const { student, teacher, topK } = request;
  const studentLogits = logitsOf(request, student, row);
  if (topK !== undefined) return topKDivergenceOf(request, topK, row, studentLogits);
  const q = softmax(studentLogits, student.temperature);
  const p = softmax(logitsOf(request, teacher, row), teacher.temperature);
  return { q, p, divergence: divergenceOf(request, q, p) };
}

/** A row of a side as logits. */
function logitsOf(request: HostSoftmaxDivergenceRequest, side: HostSoftmaxSide, row: number): Float64Array {
  const isTeacher = side === request.teacher;
  const begin = isTeacher && request.oneTeacher === true ? 0 : row * side.stride;
  const numbers = decodeRange(request.dtype, side.logits, begin, request.columns);
  const logits = isTeacher && request.teacherInProbabilities === true ? numbers.map(Math.log) : numbers;
  const { logPrior, temperature } = side;
  return logPrior === undefined ? logits : logits.map((x, i) => x + temperature * at(logPrior, i));
}

function writeGradient(
  request: HostSoftmaxDivergenceRequest,
  side: HostSoftmaxSide,
  row: number,
  slope: number,
  gradient: (column: number) => number,
): void {
  const { dtype, columns, accumulate = false } = request;
  const target = side.gradient;
  if (target === undefined) return;
  const begin = row * side.stride;
  if (!accumulate) target.fill(0, begin, begin + side.stride);
  if (slope === 0) return;
  for (let i = 0; i < columns; i++) {
    const before = accumulate ? decode(dtype, target[begin + i] as number) : 0;
    target[begin + i] = encode(dtype, before + (slope * gradient(i)) / side.temperature);
  }
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
    if (request.accumulate !== true) side.gradient?.fill(0, row * side.stride, (row + 1) * side.stride);
    if (side.logSumExp) side.logSumExp[row] = 0;
    if (side.entropy) side.entropy[row] = 0;
  }
  if (request.values) request.values[row] = 0;
  if (request.divergences) request.divergences[row] = 0;
  if (request.argmaxAgreement) request.argmaxAgreement[row] = 0;
  return 0;
}
