// Teachers of which only some columns are known, and the policies for all others.
import { types } from "node:util";
import { describe, requireAttached, type RowData, type Rows } from "./arrays.js";
import { tailNames, type SoftmaxDivergenceName, type SoftmaxTopK, type TailName } from "./backend/table.js";
import { OptionError, ShapeError } from "./errors.js";
import { requireOneOf } from "./options.js";
import type { CheckedSides, SideOptions } from "./softmax-sides.js";

/** The K columns of each row that a teacher's log-probabilities are known for. */
export interface TopKRows<A extends RowData> extends Rows<A> {
  /** Log-probabilities, at most 0, `[..., K]`. */
  data: A;
  /** The column of each, as long as `data`: no column twice in a row, and -1 where a slot is empty and not read. */
  ids: Int32Array;
}

const truncated: readonly SoftmaxDivergenceName[] = ["forwardKl", "reverseKl", "crossEntropy"];

/** Throws where ids or a policy are given to a teacher that has all columns. */
export function requireNoTopK(teacher: Rows<RowData>, { teacher: kind = "logits", tail }: SideOptions): void {
  if (tail !== undefined) {
    throw new OptionError(
      `options.tail is ${describe(tail)}, which goes with teacher "topK"; the teacher is ${describe(kind)}`,
    );
  }
  if ((teacher as Partial<TopKRows<RowData>>).ids !== undefined) {
    throw new OptionError(`teacher.ids goes with options.teacher "topK"; the teacher is ${describe(kind)}`);
  }
}

/** Checks a teacher of some columns. Its ids are copied, so that what was checked is what is used. */
export function requireTopK(
  teacher: Rows<RowData>,
  options: SideOptions,
  divergence: SoftmaxDivergenceName,
  sides: CheckedSides,
  rowMask: Uint8Array | undefined,
): SoftmaxTopK {
  const tail = requireOneOf("options.tail", options.tail as TailName, tailNames);
  if (tail === "truncate" && !truncated.includes(divergence)) {
    throw new OptionError(
      `options.tail is "truncate", which is defined for divergence "forwardKl", "reverseKl" and "crossEntropy"; the ` +
        `divergence is ${JSON.stringify(divergence)}`,
    );
  }
  requireTemperature(tail, options.temperature, sides);
  if (options.logPrior?.teacher !== undefined) {
    throw new OptionError(
      `options.logPrior.teacher is given, but a teacher of K columns has none: add it to the log-probabilities`,
    );
  }
  const { ids } = teacher as Partial<TopKRows<RowData>>;
  return { tail, ids: idsOf(ids, sides, rowMask) };
}

// What lies outside is one number, and not the many that a temperature would change each by itself.
function requireTemperature(
  tail: TailName,
  temperature: SideOptions["temperature"],
  { student, teacher }: CheckedSides,
): void {
  if (tail === "renormalize" || tail === "zeroOutside" || teacher.temperature === 1) return;
  throw new OptionError(
    `options.temperature${typeof temperature === "number" ? "" : ".teacher"} is ${teacher.temperature}; with tail ` +
      `"${tail}" the teacher's must be 1, since what it leaves out cannot take a temperature: give ` +
      `{ student: ${student.temperature}, teacher: 1 }`,
  );
}

function idsOf(given: unknown, sides: CheckedSides, rowMask: Uint8Array | undefined): Int32Array {
  const { columns, oneTeacher } = sides;
  const { stride: slots } = sides.teacher;
  if (!types.isInt32Array(given)) {
    throw new OptionError(
      `teacher.ids is ${describe(given)}; it must be an Int32Array, as long as teacher.data`,
    );
  }
  const rows = oneTeacher ? 1 : sides.rows;
  if (given.length !== rows * slots) {
    requireAttached("teacher.ids", given);
    throw new ShapeError(
      `teacher.ids has ${given.length} elements; it must have ${rows * slots}, as teacher.data`,
    );
  }
  const ids = given.slice();
  // In which slot of the rows so far a column was seen last.
  const seen = new Int32Array(columns).fill(-1);
  for (let row = 0; row < rows; row++) {
    const begin = row * slots;
    if (!oneTeacher && rowMask?.[row] === 0) {
      ids.fill(-1, begin, begin + slots);
      continue;
    }
    for (let slot = begin; slot < begin + slots; slot++) {
      const id = ids[slot] as number;
      if (id === -1) continue;
      if (id < 0 || id >= columns) {
        throw new OptionError(
          `teacher.ids holds ${id} in row ${row}, column ${slot - begin}; it must be from 0 to ${columns - 1}, a column of the student's, or -1 ` +
            "for none",
        );
      }
      const before = seen[id] as number;
      if (before >= begin) {
        throw new OptionError(
          `teacher.ids holds ${id} in row ${row}, column ${slot - begin}, as in column ${before - begin}; a row must name each column once at most`,
        );
      }
      seen[id] = slot;
    }
  }
  return ids;
}
