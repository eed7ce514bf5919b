// What linearSoftmaxDivergence and linearCrossEntropy have in common: hidden states with their output matrix, the options
// that both take, and what they return.
import {
  arrayTypeOf,
  describe,
  dtypeOf,
  outputArray,
  requireAttached,
  requireDisjoint,
  requireFullWidth,
  requireRows,
  type CheckedRows,
  type NumericArray,
  type RowData,
  type Rows,
} from "./arrays.js";
import type { Asked, Fresh, Reduced } from "./asked.js";
import {
  isDeviceTensor,
  type Backend,
  type BackendChoice,
  type BackendName,
  type LinearRequestSide,
  type LinearSoftmaxDivergenceRequest,
  type StoredArray,
} from "./backend/table.js";
import { DtypeError, OptionError, ShapeError } from "./errors.js";
import { requireOptions, requireSubset } from "./options.js";
import type { Reduction } from "./reduction.js";
import { chooseForPlace } from "./tensors.js";

/** Hidden states and the output layer that makes logits of them: logits = hidden · weightsᵀ + bias. */
export interface LinearLogits<A extends NumericArray = NumericArray> {
  /** `[..., width]`: one row a token. */
  hidden: Rows<A>;
  /** `[vocabulary, width]`, as the weight of PyTorch's `nn.Linear`. */
  weights: Rows<A>;
  /** One a column of the vocabulary, of the same element type; −Infinity rules a column out. Default: none. */
  bias?: A;
}

/** The arguments that have gradients: the student's. */
export type LinearArgument = keyof LinearLogits;
export const linearArguments = ["hidden", "weights", "bias"] as const satisfies readonly LinearArgument[];

/** The options that both operations take beside those of their rows. */
export interface LinearOptions {
  /** Which of the student's gradients to compute. Default: none. */
  gradients?: readonly LinearArgument[];
  /**
   * How many bytes the call may hold at any time beside its arguments and its results: logits of as many rows as fit in
   * there exist at once, of which more make it somewhat faster. One row of logits, with some rows' room for each thread
   * and two blocks of packed matrices (8 MiB in float32), is the least; an OptionError says how much that is. Results do
   * not depend on it. Default: 256 MiB, or the least where that is more.
   */
  memoryBudget?: number;
  /**
   * Arrays of the caller's to write into, instead of new ones: for gradients, and `values` for reduction `"none"`. Each
   * must have been asked for, and share no memory with another array of the call.
   */
  out?: Partial<Record<LinearArgument, NumericArray>> & { values?: Float64Array };
  /** Who computes. Default `"auto"`: KULLBACK_BACKEND, or else the first of cuda, cpu, reference that runs here. */
  backend?: BackendChoice;
  /** Which of CUDA's devices computes, by its index; only with the cuda backend. Default 0. */
  device?: number;
}

/** The names of these options. */
export const linearOptionNames = [
  "gradients",
  "memoryBudget",
  "out",
  "backend",
  "device",
] as const satisfies readonly (keyof LinearOptions)[];

/** `value` or `values`, and under `gradients` exactly what was asked for, as long as the argument's array. */
export type LinearResult<A extends NumericArray, O> = Reduced<O> & {
  gradients: Asked<O, "gradients", Record<LinearArgument, Fresh<A>>>;
  /** Who computed it. */
  backend: BackendName;
};

/** A side, checked. */
export interface CheckedLinear {
  side: LinearRequestSide;
  dtype: "float32" | "float64";
  rows: number;
  columns: number;
  leading: readonly number[];
}

/** Checks a side. */
export function requireLinear(name: string, linear: LinearLogits): CheckedLinear {
  const { hidden, weights, bias } = requireSide(name, linear);
  const states = requireHostRows(`${name}.hidden`, hidden);
  const { dtype, columns: width } = states;
  const matrix = requireHostRows(`${name}.weights`, weights);
  if (matrix.dtype !== dtype) {
    throw new DtypeError(
      `${name}.weights is ${matrix.dtype}, ${name}.hidden ${dtype}; both must have one element type`,
    );
  }
  if (matrix.leading.length !== 1 || matrix.columns !== width || matrix.rows === 0) {
    throw new ShapeError(
      `${name}.weights.shape is [${weights.shape.join(", ")}]; it must be [vocabulary, ${width}], the last axis being ` +
        `that of ${name}.hidden`,
    );
  }
  return {
    side: {
      hidden: states.data,
      weights: matrix.data,
      bias: requireBias(name, bias, dtype, matrix.rows),
      width,
    },
    dtype,
    rows: states.rows,
    columns: matrix.rows,
    leading: states.leading,
  };
}

function requireSide(name: string, linear: LinearLogits): LinearLogits {
  if (linear === null || typeof linear !== "object" || ArrayBuffer.isView(linear) || Array.isArray(linear)) {
    throw new ShapeError(`${name} is ${describe(linear)}; it must be an object { hidden, weights, bias? }`);
  }
  return requireOptions(name, linear, linearArguments);
}

/** Rows of float32 or float64 in the host's memory. */
export function requireHostRows(
  name: string,
  array: Rows<RowData>,
): CheckedRows & { data: StoredArray; dtype: "float32" | "float64" } {
  const checked = requireRows(name, array);
  const { data } = checked;
  if (isDeviceTensor(data)) {
    throw new DtypeError(`${name}.data is ${describe(data)}; it must be a Float32Array or a Float64Array`);
  }
  return { ...checked, data, dtype: requireFullWidth(name, checked.dtype) };
}

function requireBias(
  name: string,
  bias: NumericArray | undefined,
  dtype: "float32" | "float64",
  columns: number,
): NumericArray | undefined {
  if (bias === undefined) return undefined;
  if (dtypeOf(bias) !== dtype) {
    throw new DtypeError(`${name}.bias is ${describe(bias)}; it must be a ${arrayTypeOf(dtype)}`);
  }
  if (bias.length !== columns) {
    requireAttached(`${name}.bias`, bias);
    throw new ShapeError(
      `${name}.bias has ${bias.length} elements; it must have ${columns}, one per row of ${name}.weights`,
    );
  }
  return bias;
}

/** In bytes; 0 for the backend's default. */
export function requireMemoryBudget(budget: number | undefined): number {
  if (budget === undefined) return 0;
  if (!Number.isSafeInteger(budget) || budget < 1) {
    throw new OptionError(
      `options.memoryBudget is ${describe(budget)}; it must be a positive integer, a number of bytes`,
    );
  }
  return budget;
}

const gradientFields = {
  hidden: "hiddenGradient",
  weights: "weightsGradient",
  bias: "biasGradient",
} as const satisfies Record<LinearArgument, keyof LinearSoftmaxDivergenceRequest>;

/** What is written: gradients and values. `read` are the call's other arrays. */
export function writeInto(
  request: LinearSoftmaxDivergenceRequest,
  options: LinearOptions,
  reduction: Reduction,
  read: readonly (readonly [name: string, array: StoredArray])[],
): void {
  const { gradients = [], out: given = {} } = options;
  requireSubset("options.gradients", gradients, linearArguments);
  const { values, ...arrays } = requireOptions("options.out", given, [...linearArguments, "values"]);
  const written: [name: string, array: ArrayBufferView][] = [];
  for (const argument of linearArguments) {
    const name = `options.out.${argument}`;
    const array = arrays[argument];
    if (!gradients.includes(argument)) {
      if (array === undefined) continue;
      throw new OptionError(`${name} is given, but options.gradients does not name ${describe(argument)}`);
    }
    const like = request.student[argument];
    if (like === undefined) throw new OptionError('options.gradients names "bias", but there is none');
    request[gradientFields[argument]] = outputArray(name, request.dtype, like.length, array);
    if (array !== undefined) written.push([name, array]);
  }
  if (reduction === "none") {
    request.values = outputArray("options.out.values", "float64", request.rows, values) as Float64Array;
    if (values !== undefined) written.push(["options.out.values", values]);
  } else if (values !== undefined) {
    throw new OptionError(`options.out.values goes with reduction "none"; the reduction is "${reduction}"`);
  }
  requireDisjoint(written, read);
}

/** The arrays of a side, by the caller's names. */
export function arraysOf(
  name: string,
  { hidden, weights, bias }: LinearRequestSide,
): [string, StoredArray][] {
  const arrays: [string, StoredArray][] = [
    [`${name}.hidden.data`, hidden],
    [`${name}.weights.data`, weights],
  ];
  if (bias !== undefined) arrays.push([`${name}.bias`, bias]);
  return arrays;
}

/** The call of a checked request, once its backend is chosen: arrays lie in the host's memory. */
export function toCall(
  request: LinearSoftmaxDivergenceRequest,
  { backend: choice, device: index }: LinearOptions,
  reduction: Reduction,
): LinearCall {
  const { backend, device } = chooseForPlace(choice, index, undefined);
  request.device = device;
  return { request, backend, reduction };
}

/** A checked call. */
export interface LinearCall {
  request: LinearSoftmaxDivergenceRequest;
  backend: Backend;
  reduction: Reduction;
}

export function toResult<A extends NumericArray, O>(
  { request, backend, reduction }: LinearCall,
  value: number,
): LinearResult<A, O> {
  const gradients: Partial<Record<LinearArgument, StoredArray>> = {};
  for (const argument of linearArguments) {
    const gradient = request[gradientFields[argument]];
    if (gradient !== undefined) gradients[argument] = gradient;
  }
  const result =
    reduction === "none"
      ? { values: request.values, gradients, backend: backend.name }
      : { value, gradients, backend: backend.name };
  // Built from the options' values, as the type is from their types.
  return result as unknown as LinearResult<A, O>;
}
