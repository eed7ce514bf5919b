// linearSoftmaxDivergence: what users import. Types, documentation and checks; the arithmetic is the backends'.
import type { NumericArray, Rows } from "./arrays.js";
import type { LinearSoftmaxDivergenceRequest, StoredArray } from "./backend/table.js";
import { divergenceOptionNames, resolveDivergence, type DivergenceOptions } from "./divergence.js";
import { DtypeError, ShapeError } from "./errors.js";
import {
  arraysOf,
  linearOptionNames,
  requireHostRows,
  requireLinear,
  requireMemoryBudget,
  toCall,
  toResult,
  writeInto,
  type CheckedLinear,
  type LinearCall,
  type LinearLogits,
  type LinearOptions,
  type LinearResult,
} from "./linear.js";
import { callLater, callNow, type Steps } from "./operation.js";
import {
  reductionOptionNames,
  requireFactors,
  requireFiniteWeights,
  scaleOf,
  type ReductionOptions,
} from "./reduction.js";
import { temperaturesOf } from "./softmax-sides.js";

/** Options of {@link linearSoftmaxDivergence}. */
export interface LinearSoftmaxDivergenceOptions extends DivergenceOptions, ReductionOptions, LinearOptions {
  /** What both sides' logits are divided by, or each side's own: from 1e-30 to 1e30. Default 1. */
  temperature?: number | { student: number; teacher: number };
}

/** Options of {@link linearSoftmaxDivergenceAsync}. */
export interface LinearSoftmaxDivergenceAsyncOptions extends LinearSoftmaxDivergenceOptions {
  /** Stops the computation; the promise is then rejected with the signal's reason, and nothing is written. */
  signal?: AbortSignal;
}

/** What {@link linearSoftmaxDivergence} returns, and under `gradients` exactly what was asked for. */
export type LinearSoftmaxDivergenceResult<
  A extends NumericArray = NumericArray,
  O extends LinearSoftmaxDivergenceOptions = LinearSoftmaxDivergenceOptions,
> = LinearResult<A, O>;

const optionNames = [
  ...divergenceOptionNames,
  ...reductionOptionNames,
  ...linearOptionNames,
  "temperature",
] as const satisfies readonly (keyof LinearSoftmaxDivergenceOptions)[];

/**
 * `softmaxDivergence` from hidden states and output matrices, and its gradients for the student's, in one call that
 * holds the logits of some rows at a time only: as many as `memoryBudget` has room for.
 *
 * With z = hidden · weightsᵀ + bias and S the derivatives for z, the gradients are S · weights for hidden, Sᵀ · hidden for
 * weights, and the sum of the rows of S for bias. The teacher has none. Values and edges are those of softmaxDivergence:
 * a row that is masked, or whose weight is 0, is not read; one that is NaN makes its own value and hidden gradient NaN,
 * and with them what is summed over rows: `value`, and the gradients of weights and bias.
 *
 * @param student Hidden states `[..., width]`, weights `[vocabulary, width]`, and maybe a bias.
 * @param teacher The same with a width of its own, or logits `[..., vocabulary]`.
 * @throws ShapeError, DtypeError, OptionError, BackendUnavailableError
 * @example
 * const { value, gradients } = linearSoftmaxDivergence(
 *   { hidden: { data: hidden, shape: [tokens, 1024] }, weights: { data: weights, shape: [32000, 1024] } },
 *   { data: teacherLogits, shape: [tokens, 32000] },
 *   { temperature: 2, gradients: ["hidden", "weights"], memoryBudget: 64 * 2 ** 20 },
 * );
 */
export function linearSoftmaxDivergence<
  A extends NumericArray,
  const O extends LinearSoftmaxDivergenceOptions = object,
>(
  student: LinearLogits<A>,
  teacher: LinearLogits<A> | Rows<A>,
  options: O = {} as O,
): LinearSoftmaxDivergenceResult<A, O> {
  return callNow(stepsOf(student, teacher), options, (call) =>
    toResult<A, O>(call, call.backend.linearSoftmaxDivergence(call.request)),
  );
}

/**
 * {@link linearSoftmaxDivergence} on Kullback's own threads: inputs are copied before it returns, which `memoryBudget`
 * does not count, outputs are written before the promise resolves. Bad arguments reject the promise.
 */
export async function linearSoftmaxDivergenceAsync<
  A extends NumericArray,
  const O extends LinearSoftmaxDivergenceAsyncOptions = object,
>(
  student: LinearLogits<A>,
  teacher: LinearLogits<A> | Rows<A>,
  options: O = {} as O,
): Promise<LinearSoftmaxDivergenceResult<A, O>> {
  return callLater(stepsOf(student, teacher), options, async (call, signal) =>
    toResult<A, O>(call, await call.backend.linearSoftmaxDivergenceAsync(call.request, signal)),
  );
}

const stepsOf = (
  student: LinearLogits,
  teacher: LinearLogits | Rows,
): Steps<LinearSoftmaxDivergenceOptions, LinearCall> => ({
  optionNames,
  toCall: (options) => checked(student, teacher, options),
  outputsOf: () => [], // arrays of the host alone
});

function checked(
  studentLogits: LinearLogits,
  teacherLogits: LinearLogits | Rows,
  options: LinearSoftmaxDivergenceOptions,
): LinearCall {
  const student = requireLinear("student", studentLogits);
  const { teacher, arrays } = requireTeacher(teacherLogits, student);
  const { dtype, rows, columns } = student;
  const { divergence, parameter, factor } = resolveDivergence(options);
  const [studentTemperature, teacherTemperature] = temperaturesOf(options.temperature ?? 1);
  const factors = requireFactors(options, rows);
  const squared = studentTemperature * teacherTemperature;
  const request: LinearSoftmaxDivergenceRequest = {
    divergence,
    parameter,
    dtype,
    rows,
    columns,
    student: student.side,
    teacher,
    studentTemperature,
    teacherTemperature,
    ...factors,
    scale: factor * scaleOf({ rows, rowMask: factors.rowMask }, options, squared),
    memoryBudget: requireMemoryBudget(options.memoryBudget),
  };
  requireFiniteWeights(factors.rowWeights, request.scale);
  const { reduction = "mean" } = options;
  writeInto(request, options, reduction, [...arraysOf("student", student.side), ...arrays]);
  return toCall(request, options, reduction);
}

/** The teacher, and its arrays by the caller's names. */
function requireTeacher(
  given: LinearLogits | Rows,
  student: CheckedLinear,
): { teacher: LinearSoftmaxDivergenceRequest["teacher"]; arrays: [string, StoredArray][] } {
  const isLinear = typeof given === "object" && given !== null && "hidden" in given;
  if (isLinear) {
    const teacher = requireLinear("teacher", given);
    requireAlike(teacher, student);
    return { teacher: teacher.side, arrays: arraysOf("teacher", teacher.side) };
  }
  const logits = requireHostRows("teacher", given);
  requireAlike(logits, student);
  return { teacher: { logits: logits.data }, arrays: [["teacher.data", logits.data]] };
}

function requireAlike(
  teacher: Pick<CheckedLinear, "dtype" | "rows" | "columns" | "leading">,
  student: CheckedLinear,
): void {
  if (teacher.dtype !== student.dtype) {
    throw new DtypeError(
      `teacher is ${teacher.dtype}, student ${student.dtype}; both must have one element type`,
    );
  }
  if (teacher.columns !== student.columns) {
    throw new ShapeError(
      `teacher's vocabulary has ${teacher.columns} columns, student's ${student.columns}; they must be the same`,
    );
  }
  const same =
    teacher.leading.length === student.leading.length &&
    teacher.leading.every((n, i) => n === student.leading[i]);
  if (!same) {
    throw new ShapeError(
      `teacher's leading axes are [${teacher.leading.join(", ")}], student's [${student.leading.join(", ")}]; they ` +
        "must be the same",
    );
  }
}
