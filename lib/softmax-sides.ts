// The two sides of a softmax divergence: what student and teacher may be, and the options that say how they are read.
import {
  describe,
  requirePerRow,
  requireRows,
  rowsFields,
  type CheckedRows,
  type PerRow,
  type RowData,
  type Rows,
} from "./arrays.js";
import type { SoftmaxRequestSide, TailName } from "./backend/table.js";
import { DtypeError, OptionError, ShapeError } from "./errors.js";
import { requireNumber, requireOneOf, requireOptions } from "./options.js";

export type Side = "student" | "teacher";

export const sides = ["student", "teacher"] as const satisfies readonly Side[];
const teacherKinds = ["logits", "logProbs", "probabilities", "topK"] as const;

/** The options that say how student and teacher are read. */
export interface SideOptions {
  /**
   * What the teacher's numbers are:
   * - `"logits"` (default)
   * - `"logProbs"`: their logarithms of probabilities, which are logits too: they need not be normalised
   * - `"probabilities"`: each row must sum to 1 within 1e-3 (16-bit types: 1e-2), else the call throws OptionError, and is
   *   divided by its sum. Such a teacher has no gradient: ask for it with `"logProbs"`.
   * - `"topK"`: log-probabilities of the K columns in each row that `teacher.ids` names; of shape `[..., K]`. None may be
   *   above 0, nor may a row's probabilities sum to more than 1, both within 1e-3 (16-bit types: 1e-2), else the call
   *   throws OptionError. `tail` must say what is done about all other columns. Such a teacher has no gradient.
   */
  teacher?: "logits" | "logProbs" | "probabilities" | "topK";
  /**
   * With teacher `"topK"`, and then without default: what the columns are worth that its row does not name. S: those that
   * it names; p: its probabilities as given; q: the student's softmax.
   * - `"renormalize"`: both sides are compared on S alone, each normalised there. Other columns are not read.
   * - `"zeroOutside"`: p is normalised on S, and 0 elsewhere; q is the whole softmax.
   * - `"tailBucket"`: all other columns are one more outcome, of probability 1 − Σ p on the one side and the rest of q on
   *   the other; p is normalised where no other column is left.
   * - `"truncate"`: the terms of S alone, p and q as they are; may be negative. For forward and reverse KL and the
   *   cross-entropy.
   */
  tail?: TailName;
  /**
   * What both sides' logits are divided by, or each side's own: from 1e-30 to 1e30. Log-probabilities of teacher `"topK"`
   * are logits here, and normalised anew; with tail `"tailBucket"` and `"truncate"` theirs must be 1. Default 1.
   */
  temperature?: number | { student: number; teacher: number };
  /**
   * Added to a side's logits / temperature, one number a column, finite or −Infinity: the logarithm of class
   * frequencies, say, or −Infinity where a column must not count. Default: nothing.
   */
  logPrior?: { student?: PerRow; teacher?: PerRow };
  /** The teacher is one row, of shape `[vocabulary]`, for all rows of the student. It has no gradient. Default false. */
  broadcast?: boolean;
  /**
   * How many columns are the vocabulary, where rows are padded: the rest of each row is not read, and gets gradient 0.
   * Student and teacher may be padded differently. Default: the last axis, which then must agree.
   */
  vocabSize?: number;
}

/** The names of these options. */
export const sideOptionNames = [
  "teacher",
  "tail",
  "temperature",
  "logPrior",
  "broadcast",
  "vocabSize",
] as const satisfies readonly (keyof SideOptions)[];

/** Both sides, checked. */
export interface CheckedSides {
  dtype: CheckedRows["dtype"];
  rows: number;
  columns: number;
  student: SoftmaxRequestSide;
  teacher: SoftmaxRequestSide;
  oneTeacher: boolean;
  teacherInProbabilities: boolean;
}

const teacherFields = [...rowsFields, "ids"];

/** Checks student and teacher and how they go together. */
export function requireSides(
  studentRows: Rows<RowData>,
  teacherRows: Rows<RowData>,
  options: SideOptions,
): CheckedSides {
  const student = requireRows("student", studentRows);
  const teacher = requireRows("teacher", teacherRows, { fields: teacherFields });
  const { teacher: kind = "logits", broadcast = false, temperature = 1, logPrior = {} } = options;
  requireOneOf("options.teacher", kind, teacherKinds);
  if (typeof broadcast !== "boolean") {
    throw new OptionError(`options.broadcast is ${describe(broadcast)}; it must be true or false`);
  }
  if (student.dtype !== teacher.dtype) {
    throw new DtypeError(
      `teacher is ${teacher.dtype}, student ${student.dtype}; both must have one element type`,
    );
  }
  requireSameRows(student, teacher, broadcast);
  const teacherColumns = kind === "topK" ? student.columns : teacher.columns;
  const columns = columnsOf(student.columns, teacherColumns, options.vocabSize);
  const [studentTemperature, teacherTemperature] = temperaturesOf(temperature);
  requireOptions("options.logPrior", logPrior, sides);
  return {
    dtype: student.dtype,
    rows: student.rows,
    columns,
    student: {
      logits: student.data,
      stride: student.columns,
      temperature: studentTemperature,
      logPrior: priorOf("options.logPrior.student", logPrior.student, columns),
    },
    teacher: {
      logits: teacher.data,
      stride: teacher.columns,
      temperature: teacherTemperature,
      logPrior: priorOf("options.logPrior.teacher", logPrior.teacher, columns),
    },
    oneTeacher: broadcast,
    teacherInProbabilities: kind === "probabilities",
  };
}

function requireSameRows(student: CheckedRows, teacher: CheckedRows, broadcast: boolean): void {
  if (broadcast) {
    if (teacher.rows === 1) return;
    throw new ShapeError(`teacher has ${teacher.rows} rows; with options.broadcast it must have one`);
  }
  if (student.rows !== teacher.rows) {
    throw new ShapeError(
      `teacher has ${teacher.rows} rows, student ${student.rows}; they must have the same` +
        (teacher.rows === 1 ? ", unless options.broadcast is true" : ""),
    );
  }
  if (
    student.leading.length !== teacher.leading.length ||
    student.leading.some((n, i) => n !== teacher.leading[i])
  ) {
    throw new ShapeError(
      `teacher's leading axes are [${teacher.leading.join(", ")}], student's [${student.leading.join(", ")}]; they ` +
        "must be the same",
    );
  }
}

function columnsOf(student: number, teacher: number, vocabSize: number | undefined): number {
  if (vocabSize === undefined) {
    if (student === teacher) return student;
    throw new ShapeError(
      `teacher's last axis is ${teacher}, student's ${student}; they must agree, unless options.vocabSize says how ` +
        "much of each is the vocabulary",
    );
  }
  const limit = Math.min(student, teacher);
  if (!Number.isSafeInteger(vocabSize) || vocabSize < 1 || vocabSize > limit) {
    throw new OptionError(
      `options.vocabSize is ${describe(vocabSize)}; it must be an integer from 1 to ${limit}, the shorter last axis`,
    );
  }
  return vocabSize;
}

/** The student's and the teacher's temperature, checked. */
export function temperaturesOf(temperature: number | { student: number; teacher: number }): [number, number] {
  if (typeof temperature !== "object" || temperature === null) {
    requireTemperature("options.temperature", temperature);
    return [temperature, temperature];
  }
  const { student, teacher } = requireOptions("options.temperature", temperature, sides);
  requireTemperature("options.temperature.student", student);
  requireTemperature("options.temperature.teacher", teacher);
  return [student, teacher];
}

/** Checks a temperature. */
export function requireTemperature(name: string, temperature: number): void {
  requireNumber(name, temperature, true);
  // The reciprocal must be a number of either element type, with room for the logits that it multiplies.
  if (temperature < 1e-30 || temperature > 1e30) {
    throw new OptionError(`${name} is ${temperature}; it must be from 1e-30 to 1e30`);
  }
}

function priorOf(name: string, prior: PerRow | undefined, columns: number): Float64Array | undefined {
  if (prior === undefined) return undefined;
  const checked = requirePerRow(name, prior, columns, { finite: false, unit: "column" });
  const wrong = checked.findIndex((x) => !(x < Infinity));
  if (wrong < 0) return checked;
  throw new OptionError(`${name}[${wrong}] is ${checked[wrong]}; it must be finite or -Infinity`);
}
