// softmaxDivergence from a teacher that names some columns: each tail policy as it is defined, and what such a teacher
// may hold.
import type { HostSoftmaxDivergenceRequest, SoftmaxTopK } from "../backend/table.js";
import { decodeRange } from "./elements.js";
import {
  at,
  divergenceOf,
  logSumExp,
  softmax,
  type Comparison,
  type Divergence,
} from "./softmax-divergence-row.js";

/** A row's sparse teacher beside the student's logits. */
interface SparseRow {
  /** The column of each slot, or -1. */
  ids: Int32Array;
  /** The slot of each column that has one. */
  slots: ReadonlyMap<number, number>;
  /** By slot; −Infinity where it is empty. */
  logProbs: Float64Array;
  /** Of the whole vocabulary. */
  studentLogits: Float64Array;
  studentTemperature: number;
  teacherTemperature: number;
}

/** The student's logits as a row of its own, by slot; -1 becomes −Infinity. */
const namedLogits = ({ ids, studentLogits }: SparseRow): Float64Array =>
  Float64Array.from(ids, (id) => (id < 0 ? -Infinity : at(studentLogits, id)));

/** log Σ exp(logits / temperature) over the columns that no slot names. */
function studentTail({ slots, studentLogits, studentTemperature }: SparseRow): number {
  const outside = studentLogits.filter((x, column) => !slots.has(column) && x !== -Infinity);
  return outside.length === 0 ? -Infinity : logSumExp(softmax(outside, studentTemperature));
}

/** log(1 − Σ p), and nothing at all where every column is named. */
function teacherTail({ slots, logProbs, studentLogits }: SparseRow): number {
  if (slots.size === studentLogits.length) return -Infinity;
  if (logProbs.every((x) => x === -Infinity)) return 0;
  const captured = logSumExp(softmax(logProbs, 1));
  return captured < 0 ? Math.log(-Math.expm1(captured)) : -Infinity;
}

/** The row's divergence under the request's policy, with the softmaxes that statistics are told of. */
export function topKDivergenceOf(
  request: HostSoftmaxDivergenceRequest,
  { tail, ids }: SoftmaxTopK,
  row: number,
  studentLogits: Float64Array,
): Comparison {
  const { stride: slots } = request.teacher;
  const begin = request.oneTeacher === true ? 0 : row * slots;
  const rowIds = ids.subarray(begin, begin + slots);
  const sparse: SparseRow = {
    ids: rowIds,
    slots: new Map(Array.from(rowIds, (id, slot) => [id, slot] as const).filter(([id]) => id >= 0)),
    logProbs: decodeRange(request.dtype, request.teacher.logits, begin, slots).map((x, slot) =>
      at(rowIds, slot) < 0 ? -Infinity : x,
    ),
    studentLogits,
    studentTemperature: request.student.temperature,
    teacherTemperature: request.teacher.temperature,
  };
  switch (tail) {
    case "renormalize":
      return renormalized(request, sparse);
    case "truncate":
      return { ...renormalized(request, sparse), divergence: truncated(request, sparse) };
    case "tailBucket":
      return bucketed(request, sparse, teacherTail(sparse));
    case "zeroOutside":
      return {
        ...bucketed(request, sparse, -Infinity),
        divergence: zeroOutside(request, sparse),
      };
    default:
      return tail satisfies never;
  }
}

type Definition = HostSoftmaxDivergenceRequest;

/** Both sides on the named columns alone. */
function renormalized(definition: Definition, sparse: SparseRow): Comparison {
  const q = softmax(namedLogits(sparse), sparse.studentTemperature);
  const p = softmax(sparse.logProbs, sparse.teacherTemperature);
  const bySlot = divergenceOf(definition, q, p);
  return {
    q,
    p,
    divergence: ofStudent(bySlot.value, (column) => {
      const slot = sparse.slots.get(column);
      return slot === undefined ? 0 : bySlot.studentGradient(slot);
    }),
  };
}

/** The named columns, and all others as one, which each of them has its share of. */
function bucketed(definition: Definition, sparse: SparseRow, logTail: number): Comparison {
  const { ids, slots, logProbs, studentLogits, studentTemperature, teacherTemperature } = sparse;
  const studentLogTail = studentTail(sparse);
  const q = softmax(followedBy(namedLogits(sparse), studentTemperature * studentLogTail), studentTemperature);
  const p = softmax(followedBy(logProbs, logTail), teacherTemperature);
  const bySlot = divergenceOf(definition, q, p);
  return {
    q,
    p,
    divergence: ofStudent(bySlot.value, (column) => {
      const slot = slots.get(column);
      if (slot !== undefined) return bySlot.studentGradient(slot);
      const share = Math.exp(at(studentLogits, column) / studentTemperature - studentLogTail);
      return at(studentLogits, column) === -Infinity ? 0 : share * bySlot.studentGradient(ids.length);
    }),
  };
}

function followedBy(numbers: Float64Array, last: number): Float64Array {
  const result = new Float64Array(numbers.length + 1).fill(last);
  result.set(numbers);
  return result;
}

/** The whole vocabulary, of which the teacher has probability 0 outside. */
function zeroOutside(definition: Definition, sparse: SparseRow): Divergence {
  const dense = new Float64Array(sparse.studentLogits.length).fill(-Infinity);
  for (const [column, slot] of sparse.slots) dense[column] = at(sparse.logProbs, slot);
  const q = softmax(sparse.studentLogits, sparse.studentTemperature);
  return divergenceOf(definition, q, softmax(dense, sparse.teacherTemperature));
}

/** The terms of the named columns, as they are. */
function truncated({ divergence }: Definition, sparse: SparseRow): Divergence {
  const { ids, slots, logProbs, studentLogits, studentTemperature } = sparse;
  const { logProbabilities, probabilities } = softmax(studentLogits, studentTemperature);
  const named = Array.from(slots.values());
  const q = (slot: number): number => at(probabilities, at(ids, slot));
  const logQ = (slot: number): number => at(logProbabilities, at(ids, slot));
  const sumOver = (term: (slot: number) => number): number =>
    named.reduce((sum, slot) => sum + term(slot), 0);
  // Without any probability there is nothing to compare.
  const empty = !named.some((slot) => at(logProbs, slot) > -Infinity) || !(sumOver(q) > 0);
  if (empty) return ofStudent(NaN, () => NaN);

  if (divergence === "reverseKl") {
    const logRatio = (slot: number): number => (q(slot) === 0 ? 0 : logQ(slot) - at(logProbs, slot));
    const value = sumOver((slot) => q(slot) * logRatio(slot));
    const captured = sumOver(q);
    return ofStudent(value, (column) => {
      const slot = slots.get(column);
      const own = slot === undefined ? 0 : logRatio(slot) + 1;
      return at(probabilities, column) * (own - value - captured);
    });
  }
  const p = (slot: number): number => Math.exp(at(logProbs, slot));
  const captured = sumOver(p);
  const ofEntropy = divergence === "crossEntropy" ? 0 : 1;
  const value = sumOver((slot) =>
    p(slot) === 0 ? 0 : p(slot) * (ofEntropy * at(logProbs, slot) - logQ(slot)),
  );
  return ofStudent(value, (column) => {
    const slot = slots.get(column);
    return captured * at(probabilities, column) - (slot === undefined ? 0 : p(slot));
  });
}

/** Such a teacher has no gradient. */
function ofStudent(value: number, studentGradient: (column: number) => number): Divergence {
  return { value, studentGradient, teacherGradient: () => NaN };
}

/**
 * Says what is wrong unless each row of the teacher's that counts has no log-probability above 0, and probabilities that
 * sum to no more than 1, as nearly as they must.
 */
export function improperLogProbs(
  { teacher, dtype, oneTeacher, rowMask, rows }: HostSoftmaxDivergenceRequest,
  { ids }: SoftmaxTopK,
  allowed: number,
): string | undefined {
  for (let row = 0; row < (oneTeacher === true ? Math.min(1, rows) : rows); row++) {
    if (oneTeacher !== true && rowMask?.[row] === 0) continue;
    const begin = row * teacher.stride;
    const numbers = decodeRange(dtype, teacher.logits, begin, teacher.stride);
    const named = (slot: number): boolean => at(ids, begin + slot) >= 0;
    const wrong = numbers.findIndex((x, slot) => named(slot) && !(x <= allowed));
    if (wrong >= 0) {
      return (
        `teacher's row ${row} holds ${numbers[wrong]} in column ${wrong}; log-probabilities must be at most 0, ` +
        `within ${allowed}`
      );
    }
    const sum = numbers.reduce((partial, x, slot) => partial + (named(slot) ? Math.exp(x) : 0), 0);
    if (!(sum <= 1 + allowed)) {
      return (
        `teacher's row ${row} holds log-probabilities whose probabilities sum to ${sum}; they must sum to at most 1, ` +
        `within ${allowed}`
      );
    }
  }
  return undefined;
}
