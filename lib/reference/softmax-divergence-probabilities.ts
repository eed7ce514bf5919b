// Whether a teacher that is given in probabilities, or in some log-probabilities, is one.
import type { HostSoftmaxDivergenceRequest } from "../backend/table.js";
import { decodeRange } from "./elements.js";
import { improperLogProbs } from "./softmax-divergence-top-k.js";

/** KULLBACK_PROBABILITY_TOLERANCE of native/abi/kullback_backend.h. */
const tolerance = 1e-3;

/**
 * Says what is wrong unless each row of the teacher's that counts has no number below 0, and sums to 1 as nearly as it
 * must.
 */
export function improperProbabilities(request: HostSoftmaxDivergenceRequest): string | undefined {
  const { teacher, columns, dtype, oneTeacher, rowMask, topK } = request;
  const allowed = dtype === "float16" || dtype === "bfloat16" ? 10 * tolerance : tolerance;
  if (topK !== undefined) return improperLogProbs(request, topK, allowed);
  if (request.teacherInProbabilities !== true) return undefined;
  const rows = oneTeacher === true ? Math.min(1, request.rows) : request.rows;
  for (let row = 0; row < rows; row++) {
    if (oneTeacher !== true && rowMask?.[row] === 0) continue;
    const numbers = decodeRange(dtype, teacher.logits, row * teacher.stride, columns);
    const wrong = numbers.findIndex((x) => !(x >= 0));
    if (wrong >= 0) {
      return `teacher's row ${row} holds ${numbers[wrong]} in column ${wrong}; probabilities must be at least 0`;
    }
    const sum = numbers.reduce((partial, x) => partial + x, 0);
    if (!(Math.abs(sum - 1) <= allowed)) {
      return `teacher's row ${row} sums to ${sum}; a row of probabilities must sum to 1 within ${allowed}`;
    }
  }
  return undefined;
}
