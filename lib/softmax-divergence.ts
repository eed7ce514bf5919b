// softmaxDivergence: what users import. Types, documentation and checks; the arithmetic is the backends'.
import { requireNotAddedTo, whileAddingTo } from "./adding.js";
import {
  bitsOf,
  describe,
  numbersLike,
  outputArray,
  requireDisjoint,
  type NumericArray,
  type StoredArray,
  type RowData,
  type Rows,
} from "./arrays.js";
import type { Asked, Fresh, Reduced } from "./asked.js";
import {
  isDeviceTensor,
  type Backend,
  type BackendChoice,
  type BackendName,
  type SoftmaxDivergenceRequest,
  type Tensor,
} from "./backend/table.js";
import type { DeviceArray } from "./device-array.js";
import { divergenceOptionNames, resolveDivergence, type DivergenceOptions } from "./divergence.js";
import { OptionError } from "./errors.js";
import { callLater, callNow, type Steps } from "./operation.js";
import { requireOptions, requireSubset } from "./options.js";
import {
  reductionOptionNames,
  requireFactors,
  requireFiniteWeights,
  scaleOf,
  type Reduction,
  type ReductionOptions,
} from "./reduction.js";
import { requireSides, sideOptionNames, sides, type Side, type SideOptions } from "./softmax-sides.js";
import { requireNoTopK, requireTopK, type TopKRows } from "./softmax-top-k.js";
import { chooseForPlace, disposeFresh, outputTensor, requireOnePlace } from "./tensors.js";

export type { Side, SideOptions } from "./softmax-sides.js";
export type { TopKRows } from "./softmax-top-k.js";

const outNames = ["student", "teacher", "values"] as const;
const statisticNames = [
  "divergence",
  "studentLogSumExp",
  "teacherLogSumExp",
  "studentEntropy",
  "teacherEntropy",
  "argmaxAgreement",
] as const satisfies readonly (keyof SoftmaxStatistics)[];

/**
 * By-products of the softmaxes, one number a row. A masked row has 0 in each. With teacher `"topK"` they are those of what
 * is compared: the columns that the row names, and with tails `"tailBucket"` and `"zeroOutside"` all others as one more,
 * the last. So `studentLogSumExp` is the whole row's with these two.
 */
export interface SoftmaxStatistics {
  /** Of the row, whatever its weight, the scale and the reduction. */
  divergence: Float64Array<ArrayBuffer>;
  /** log sum exp(student / temperature + log-prior) */
  studentLogSumExp: Float64Array<ArrayBuffer>;
  /** log sum exp(teacher / temperature + log-prior) */
  teacherLogSumExp: Float64Array<ArrayBuffer>;
  /** Of the student's softmax, in nats. */
  studentEntropy: Float64Array<ArrayBuffer>;
  /** Of the teacher's softmax, in nats. */
  teacherEntropy: Float64Array<ArrayBuffer>;
  /** 1 where student and teacher have their (first) maximum in the same column, else 0. */
  argmaxAgreement: Uint8Array<ArrayBuffer>;
}

/** Options of {@link softmaxDivergence}. */
export interface SoftmaxDivergenceOptions extends DivergenceOptions, SideOptions, ReductionOptions {
  /** Which arguments' gradients to compute. Default: none. */
  gradients?: readonly Side[];
  /**
   * Adds the gradients to what `out.student` and `out.teacher` hold, rounded once; what is masked, padding or has weight
   * 0 stays as it is, to the bit. An asynchronous call adds to what they hold as it is called: until it has ended, leave
   * them alone. Another call that would add to them meanwhile is an error. Default false.
   */
  accumulate?: boolean;
  /** By-products to return, each costing at most one more look at the row. Default: none. */
  statistics?: readonly (keyof SoftmaxStatistics)[];
  /**
   * Arrays of the caller's to write into, instead of new ones: `student` and `teacher` for gradients, `values` for
   * reduction `"none"`. Each must have been asked for, and share no memory with another array of the call; but a gradient
   * may be written over its own argument: `out: { student: student.data }`.
   */
  out?: {
    student?: RowData;
    teacher?: RowData;
    values?: Float64Array;
  };
  /** Who computes. Default `"auto"`: KULLBACK_BACKEND, or else the first of cuda, cpu, reference that runs here. */
  backend?: BackendChoice;
  /**
   * Which of CUDA's devices computes, by its index; only with the cuda backend. Default: the one that has the arrays, or
   * 0 for arrays of the host.
   */
  device?: number;
}

/** Options of {@link softmaxDivergenceAsync}. */
export interface SoftmaxDivergenceAsyncOptions extends SoftmaxDivergenceOptions {
  /**
   * Stops the computation; the promise is then rejected with the signal's reason, and nothing is written: at once, but for
   * device arrays, which may be half written, when the device has let go of them.
   */
  signal?: AbortSignal;
}

/**
 * What {@link softmaxDivergence} returns: `value` or `values`, and under `gradients` and `statistics` exactly what was
 * asked for. Gradients have the length and the element type of their argument's `data`.
 */
export type SoftmaxDivergenceResult<
  A extends RowData = NumericArray,
  O extends SoftmaxDivergenceOptions = SoftmaxDivergenceOptions,
> = Reduced<O> & {
  gradients: Asked<O, "gradients", Record<Side, Fresh<A>>>;
  statistics: Asked<O, "statistics", SoftmaxStatistics>;
  /** Who computed it. */
  backend: BackendName;
};

/** The names of all options of {@link softmaxDivergence}. */
export const softmaxDivergenceOptionNames = [
  ...divergenceOptionNames,
  ...sideOptionNames,
  ...reductionOptionNames,
  "gradients",
  "accumulate",
  "statistics",
  "out",
  "backend",
  "device",
] as const satisfies readonly (keyof SoftmaxDivergenceOptions)[];

/**
 * The divergence between softmax(student) and softmax(teacher), row by row, and its closed-form gradients with respect
 * to the logits, in one fused pass.
 *
 * Runs now, on the caller's memory, without copies. KL is summed as Σ p (e^u − 1 − u), u = log q − log p, whose terms
 * are all non-negative: small divergences keep their digits. A column that is −Infinity on both sides counts nothing;
 * a probability above 0 on the weighing side where the other has 0 makes the divergence Infinity; a row without a
 * finite maximum, or with a NaN, is NaN and leaves other rows alone.
 *
 * @param student Logits, `[..., vocabulary]`.
 * @param teacher Logits of the same shape and element type; or what `options.teacher` says.
 * @throws ShapeError, DtypeError, OptionError, BackendUnavailableError
 * @example
 * const { value, gradients } = softmaxDivergence(
 *   { data: new Float32Array([1, 2, 3]), shape: [1, 3] },
 *   { data: new Float32Array([3, 2, 1]), shape: [1, 3] },
 *   { divergence: "forwardKl", temperature: 2, gradients: ["student"] },
 * );
 */
export function softmaxDivergence<A extends RowData, const O extends SoftmaxDivergenceOptions = object>(
  student: Rows<A>,
  teacher: Rows<A> | TopKRows<A>,
  options: O = {} as O,
): SoftmaxDivergenceResult<A, O> {
  return callNow(stepsOf(student, teacher), options, (call) =>
    toResult<A, O>(call, call.backend.softmaxDivergence(call.request)),
  );
}

/**
 * {@link softmaxDivergence} on Kullback's own threads: inputs are copied before it returns, outputs are written before
 * the promise resolves, and JavaScript runs on in between. Bad arguments reject the promise. Device arrays are not
 * copied: leave them alone until then.
 */
export async function softmaxDivergenceAsync<
  A extends RowData,
  const O extends SoftmaxDivergenceAsyncOptions = object,
>(
  student: Rows<A>,
  teacher: Rows<A> | TopKRows<A>,
  options: O = {} as O,
): Promise<SoftmaxDivergenceResult<A, O>> {
  return callLater(stepsOf(student, teacher), options, async (call, signal) => {
    const { backend, request } = call;
    const run = (): Promise<number> => backend.softmaxDivergenceAsync(request, signal);
    const adds = request.accumulate === true;
    return toResult<A, O>(call, await (adds ? whileAddingTo(hostGradientsOf(request), run) : run()));
  });
}

/** A checked call. */
interface Call {
  request: SoftmaxDivergenceRequest;
  backend: Backend;
  reduction: Reduction;
  /** Of the divergence: what the request's scale begins with. */
  factor: number;
  /** What gradients look like: the caller's arrays for them, or else the arguments. */
  given: Record<Side, RowData>;
}

type AnyRows = Rows<RowData>;

const stepsOf = (student: AnyRows, teacher: AnyRows): Steps<SoftmaxDivergenceOptions, Call> => ({
  optionNames: softmaxDivergenceOptionNames,
  toCall: (options) => toCall(student, teacher, options),
  outputsOf: ({ request }) => gradientsOf(request),
});

function toCall(studentRows: AnyRows, teacherRows: AnyRows, options: SoftmaxDivergenceOptions): Call {
  const request = toRequest(studentRows, teacherRows, options);
  const { reduction = "mean", out } = options;
  const given = {
    student: out?.student ?? studentRows.data,
    teacher: out?.teacher ?? teacherRows.data,
  };
  const factor = request.scale;
  request.scale *= scaleOf(request, options, request.student.temperature * request.teacher.temperature);
  requireFiniteWeights(request.rowWeights, request.scale);
  const [student, teacher] = [request.student.logits, request.teacher.logits];
  const onDevice =
    isDeviceTensor(student) || isDeviceTensor(teacher)
      ? requireOnePlace(["student.data", student], ["teacher.data", teacher])
      : undefined;
  // Arrays of the host are written to only when everything else has been checked; those of a device need the device.
  if (onDevice === undefined) writeInto(request, options, reduction);
  const { backend, device } = chooseForPlace(options.backend, options.device, onDevice);
  request.device = device;
  if (onDevice === undefined) return { request, reduction, backend, given, factor };
  try {
    writeInto(request, options, reduction);
  } catch (error) {
    disposeFresh(gradientsOf(request), Object.values(options.out ?? {}));
    throw error;
  }
  return { request, reduction, backend, given, factor };
}

function gradientsOf({ student, teacher }: SoftmaxDivergenceRequest): (Tensor | undefined)[] {
  return [student.gradient, teacher.gradient];
}

function hostGradientsOf(request: SoftmaxDivergenceRequest): StoredArray[] {
  return gradientsOf(request).filter(
    (gradient): gradient is StoredArray => gradient !== undefined && !isDeviceTensor(gradient),
  );
}

// What is read: arrays, and what each row is worth.
function toRequest(
  studentRows: AnyRows,
  teacherRows: AnyRows,
  options: SoftmaxDivergenceOptions,
): SoftmaxDivergenceRequest {
  const checked = requireSides(studentRows, teacherRows, options);
  const { rows } = checked;
  const { divergence, parameter, factor } = resolveDivergence(options);
  const factors = requireFactors(options, rows);
  if (options.teacher !== "topK") requireNoTopK(teacherRows, options);
  return {
    divergence,
    parameter,
    ...checked,
    topK:
      options.teacher === "topK"
        ? requireTopK(teacherRows, options, divergence, checked, factors.rowMask)
        : undefined,
    ...factors,
    scale: factor,
  };
}

// The names of what belongs to a side: joining strings would cost a call of a few rows more than its arithmetic.
const namesOf = {
  student: { out: "options.out.student", logSumExp: "studentLogSumExp", entropy: "studentEntropy" },
  teacher: { out: "options.out.teacher", logSumExp: "teacherLogSumExp", entropy: "teacherEntropy" },
} as const;

// What is written: gradients, statistics, values.
function writeInto(
  request: SoftmaxDivergenceRequest,
  options: SoftmaxDivergenceOptions,
  reduction: Reduction,
): void {
  const { rows } = request;
  const { gradients = [], statistics = [], out: given = {}, accumulate = false } = options;
  requireSubset("options.gradients", gradients, sides);
  requireSubset("options.statistics", statistics, statisticNames);
  requireOptions("options.out", given, outNames);
  // Read once: what is checked is what is written to.
  const out = {
    student: bitsOfGiven(given.student),
    teacher: bitsOfGiven(given.teacher),
    values: given.values,
  };
  if (gradients.includes("teacher")) requireTeacherGradient(request);
  requireAccumulate(accumulate, gradients, out);
  request.accumulate = accumulate;
  for (const side of sides) {
    const names = namesOf[side];
    const { logits } = request[side];
    if (gradients.includes(side)) {
      request[side].gradient = outputTensor(names.out, request.dtype, logits, out[side]);
    } else if (out[side] !== undefined) {
      throw new OptionError(
        `${names.out} is given, but options.gradients does not name ${JSON.stringify(side)}`,
      );
    }
    if (statistics.length === 0) continue;
    if (statistics.includes(names.logSumExp)) request[side].logSumExp = new Float64Array(rows);
    if (statistics.includes(names.entropy)) request[side].entropy = new Float64Array(rows);
  }
  if (statistics.includes("divergence")) request.divergences = new Float64Array(rows);
  if (statistics.includes("argmaxAgreement")) request.argmaxAgreement = new Uint8Array(rows);
  if (reduction === "none") {
    request.values = outputArray("options.out.values", "float64", rows, out.values) as Float64Array;
  } else if (out.values !== undefined) {
    throw new OptionError(`options.out.values goes with reduction "none"; the reduction is "${reduction}"`);
  }
  requireOwnMemory(request, out);
  if (!accumulate) return;
  for (const side of sides) {
    const { gradient } = request[side];
    if (gradient && !isDeviceTensor(gradient)) requireNotAddedTo(namesOf[side].out, gradient);
  }
}

const bitsOfGiven = (array: RowData | undefined): StoredArray | DeviceArray | undefined =>
  array === undefined ? undefined : bitsOf(array);

function requireTeacherGradient({
  oneTeacher,
  teacherInProbabilities,
  topK,
}: SoftmaxDivergenceRequest): void {
  if (topK !== undefined) {
    throw new OptionError(`options.gradients names "teacher", but a teacher of K columns has no gradient`);
  }
  if (oneTeacher === true) {
    throw new OptionError(`options.gradients names "teacher", but with options.broadcast it has no gradient`);
  }
  if (teacherInProbabilities === true) {
    throw new OptionError(
      `options.gradients names "teacher", but probabilities have no gradient: give their logarithms, with ` +
        `options.teacher "logProbs"`,
    );
  }
}

function requireAccumulate(
  accumulate: unknown,
  gradients: readonly Side[],
  out: Partial<Record<Side, unknown>>,
): void {
  if (typeof accumulate !== "boolean") {
    throw new OptionError(`options.accumulate is ${describe(accumulate)}; it must be true or false`);
  }
  if (!accumulate) return;
  if (gradients.length === 0) {
    throw new OptionError(
      "options.accumulate is true, but options.gradients names nothing that it could add",
    );
  }
  const missing = gradients.find((side) => out[side] === undefined);
  if (missing !== undefined) {
    throw new OptionError(`options.accumulate adds to options.out.${missing}, which is not given`);
  }
}

// Of the host's arrays; the addon knows where those of a device lie.
function requireOwnMemory(
  request: SoftmaxDivergenceRequest,
  out: Record<Side | "values", StoredArray | DeviceArray | undefined>,
): void {
  const { student, teacher } = request;
  if (isDeviceTensor(student.logits) || isDeviceTensor(teacher.logits)) return;
  const written: [name: string, array: StoredArray, over?: string][] = [];
  if (out.student !== undefined) {
    written.push(["options.out.student", out.student as StoredArray, "student.data"]);
  }
  if (out.teacher !== undefined) {
    written.push(["options.out.teacher", out.teacher as StoredArray, "teacher.data"]);
  }
  if (out.values !== undefined) written.push(["options.out.values", out.values as StoredArray]);
  if (written.length === 0) return;
  requireDisjoint(written, [
    ["student.data", student.logits],
    ["teacher.data", teacher.logits],
  ]);
}

function toResult<A extends RowData, O extends SoftmaxDivergenceOptions>(
  call: Call,
  value: number,
): SoftmaxDivergenceResult<A, O> {
  const { request, reduction, backend, given, factor } = call;
  const { student, teacher } = request;
  const asGiven = (side: Side, gradient: Tensor): RowData =>
    numbersLike(given[side], gradient as StoredArray | DeviceArray);
  const gradients: Partial<Record<Side, RowData>> = {};
  if (student.gradient) gradients.student = asGiven("student", student.gradient);
  if (teacher.gradient) gradients.teacher = asGiven("teacher", teacher.gradient);
  const statistics: Partial<Record<keyof SoftmaxStatistics, Float64Array | Uint8Array>> = {};
  if (student.logSumExp) statistics.studentLogSumExp = student.logSumExp;
  if (teacher.logSumExp) statistics.teacherLogSumExp = teacher.logSumExp;
  if (student.entropy) statistics.studentEntropy = student.entropy;
  if (teacher.entropy) statistics.teacherEntropy = teacher.entropy;
  if (request.divergences) statistics.divergence = request.divergences.map((x) => factor * x);
  if (request.argmaxAgreement) statistics.argmaxAgreement = request.argmaxAgreement;
  const result =
    reduction === "none"
      ? { values: request.values, gradients, statistics, backend: backend.name }
      : { value, gradients, statistics, backend: backend.name };
  // Built from the options' values, as the type is from their types.
  return result as unknown as SoftmaxDivergenceResult<A, O>;
}
