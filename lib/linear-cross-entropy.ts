// linearCrossEntropy: linearSoftmaxDivergence against labels. Types, documentation and checks; the operation of the
// backends is the same.
import type { NumericArray } from "./arrays.js";
import type { LinearSoftmaxDivergenceRequest } from "./backend/table.js";
import {
  arraysOf,
  linearOptionNames,
  requireLinear,
  requireMemoryBudget,
  toCall,
  toResult,
  writeInto,
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
import { requireTemperature } from "./softmax-sides.js";
import { tokensOf, type Tokens } from "./tokens.js";

/** Options of {@link linearCrossEntropy}. */
export interface LinearCrossEntropyOptions
  extends Omit<ReductionOptions, "temperatureScaling">, LinearOptions {
  /** What logits are divided by: from 1e-30 to 1e30. Default 1. */
  temperature?: number;
  /** Rows with this label are left out, as by `rowMask`: -100 in many frameworks. Default: none. */
  ignoreIndex?: number;
}

/** Options of {@link linearCrossEntropyAsync}. */
export interface LinearCrossEntropyAsyncOptions extends LinearCrossEntropyOptions {
  /** Stops the computation; the promise is then rejected with the signal's reason, and nothing is written. */
  signal?: AbortSignal;
}

/** What {@link linearCrossEntropy} returns, and under `gradients` exactly what was asked for. */
export type LinearCrossEntropyResult<
  A extends NumericArray = NumericArray,
  O extends LinearCrossEntropyOptions = LinearCrossEntropyOptions,
> = LinearResult<A, O>;

const optionNames = [
  ...reductionOptionNames.filter((name) => name !== "temperatureScaling"),
  ...linearOptionNames,
  "temperature",
  "ignoreIndex",
] as const satisfies readonly (keyof LinearCrossEntropyOptions)[];

/**
 * The cross-entropy −log q of each row's label, q = softmax((hidden · weightsᵀ + bias) / temperature), and its gradients,
 * in one call that holds the logits of some rows at a time only. All else is as in `linearSoftmaxDivergence`; the mean
 * is over the rows that count, those of `ignoreIndex` not among them.
 *
 * @param logits Hidden states `[..., width]`, weights `[vocabulary, width]`, and maybe a bias.
 * @param labels A column of the vocabulary for each row.
 * @throws ShapeError, DtypeError, OptionError, BackendUnavailableError
 * @example
 * const { value, gradients } = linearCrossEntropy(
 *   { hidden: { data: hidden, shape: [tokens, 1024] }, weights: { data: weights, shape: [32000, 1024] } },
 *   nextTokens,
 *   { ignoreIndex: -100, gradients: ["hidden", "weights"] },
 * );
 */
export function linearCrossEntropy<
  A extends NumericArray,
  const O extends LinearCrossEntropyOptions = object,
>(logits: LinearLogits<A>, labels: Tokens, options: O = {} as O): LinearCrossEntropyResult<A, O> {
  return callNow(stepsOf(logits, labels), options, (call) =>
    toResult<A, O>(call, call.backend.linearSoftmaxDivergence(call.request)),
  );
}

/**
 * {@link linearCrossEntropy} on Kullback's own threads: inputs are copied before it returns, which `memoryBudget` does not
 * count, outputs are written before the promise resolves. Bad arguments reject the promise.
 */
export async function linearCrossEntropyAsync<
  A extends NumericArray,
  const O extends LinearCrossEntropyAsyncOptions = object,
>(logits: LinearLogits<A>, labels: Tokens, options: O = {} as O): Promise<LinearCrossEntropyResult<A, O>> {
  return callLater(stepsOf(logits, labels), options, async (call, signal) =>
    toResult<A, O>(call, await call.backend.linearSoftmaxDivergenceAsync(call.request, signal)),
  );
}

const stepsOf = (logits: LinearLogits, labels: Tokens): Steps<LinearCrossEntropyOptions, LinearCall> => ({
  optionNames,
  toCall: (options) => checked(logits, labels, options),
  outputsOf: () => [], // arrays of the host alone
});

function checked(logits: LinearLogits, labels: Tokens, options: LinearCrossEntropyOptions): LinearCall {
  const { side: student, dtype, rows, columns } = requireLinear("logits", logits);
  const { temperature = 1, ignoreIndex, reduction = "mean" } = options;
  requireTemperature("options.temperature", temperature);
  const factors = requireFactors(options, rows);
  const { tokens, rowMask } = tokensOf("labels", labels, rows, columns, factors.rowMask, ignoreIndex);
  const request: LinearSoftmaxDivergenceRequest = {
    divergence: "crossEntropy",
    parameter: 0,
    dtype,
    rows,
    columns,
    student,
    teacher: { labels: tokens },
    studentTemperature: temperature,
    teacherTemperature: 1,
    ...factors,
    rowMask,
    scale: scaleOf({ rows, rowMask }, options, 1),
    memoryBudget: requireMemoryBudget(options.memoryBudget),
  };
  requireFiniteWeights(factors.rowWeights, request.scale);
  writeInto(request, options, reduction, arraysOf("logits", student));
  return toCall(request, options, reduction);
}
