// The TypeScript side of native/abi/kullback_backend.h: what an operation asks of a backend, and what a backend is.
import type { Dtype, StoredArray } from "../arrays.js";

import { OptionError, ShapeError } from "../errors.js";
import type { DeviceHandle } from "./addon.js";

export type { Dtype, StoredArray } from "../arrays.js";

/** The backends, best first: the order in which "auto" tries them. */
export const backendNames = ["cuda", "cpu", "reference"] as const;
export type BackendName = (typeof backendNames)[number];

/** What a caller may ask for. */
export const backendChoices = ["auto", ...backendNames] as const;
export type BackendChoice = (typeof backendChoices)[number];

/** In the order of `kullback_divergence`. */
export const softmaxDivergenceNames = [
  "forwardKl",
  "reverseKl",
  "crossEntropy",
  "jeffreys",
  "jensenShannon",
  "totalVariation",
  "squaredHellinger",
  "chiSquared",
  "reverseChiSquared",
  "alpha",
  "renyi",
  "skewForwardKl",
  "skewReverseKl",
] as const;
export type SoftmaxDivergenceName = (typeof softmaxDivergenceNames)[number];

/** What columns are worth that a teacher does not name: in the order of `kullback_tail`, which has none before them. */
export const tailNames = ["truncate", "renormalize", "tailBucket", "zeroOutside"] as const;
export type TailName = (typeof tailNames)[number];

/** Of a teacher that has log-probabilities of some columns. */
export interface SoftmaxTopK {
  tail: TailName;
  /** [rows, the teacher's stride], or one row: each less than `columns`, or -1 for none. */
  ids: Int32Array;
}

/** Numbers in a device's memory: what a backend must know of a DeviceArray. */
export interface DeviceTensor {
  readonly dtype: Dtype;
  readonly length: number;
  readonly device: number;
  /** Throws DisposedError. */
  handle(name?: string): DeviceHandle;
}

/** What an operation's main arguments and their gradients lie in; device tensors only in requests to cuda. */
export type Tensor = StoredArray | DeviceTensor;

export function isDeviceTensor(tensor: Tensor): tensor is DeviceTensor {
  return !ArrayBuffer.isView(tensor);
}

/** One side of a softmax divergence: rows of `stride` elements. */
export interface SoftmaxRequestSide<T extends Tensor = Tensor> {
  logits: T;
  stride: number;
  temperature: number;
  /** Added to logits / temperature; one a column. */
  logPrior?: Float64Array | undefined;
  /** Written where it is there; as long as `logits`. */
  gradient?: T | undefined;
  /** Written where it is there; one a row. */
  logSumExp?: Float64Array | undefined;
  entropy?: Float64Array | undefined;
}

/** A checked call of softmaxDivergence: `kullback_softmax_divergence_request`, field by field. */
export interface SoftmaxDivergenceRequest<T extends Tensor = Tensor> {
  divergence: SoftmaxDivergenceName;
  /** Of the divergences that have one: alpha, beta or lambda. */
  parameter: number;
  dtype: Dtype;
  /** Which of CUDA's devices; the others have none. */
  device?: number | undefined;
  rows: number;
  /** The logical vocabulary: at most either stride; a top-k teacher's stride is its K. */
  columns: number;
  student: SoftmaxRequestSide<T>;
  teacher: SoftmaxRequestSide<T>;
  /** The teacher is one row. Default false. */
  oneTeacher?: boolean | undefined;
  /** The teacher's numbers are probabilities. Default false: logits. */
  teacherInProbabilities?: boolean | undefined;
  /** The teacher's numbers are log-probabilities of these columns. Default: it has all columns. */
  topK?: SoftmaxTopK | undefined;
  /** Gradients are added to. Default false: written. */
  accumulate?: boolean | undefined;
  rowWeights?: Float64Array | undefined;
  rowMask?: Uint8Array | undefined;
  scale: number;
  gradOutput: number;
  gradOutputs?: Float64Array | undefined;
  values?: Float64Array | undefined;
  divergences?: Float64Array | undefined;
  argmaxAgreement?: Uint8Array | undefined;
}

/** With all arrays in the host's memory, as the reference reads them. */
export type HostSoftmaxSide = SoftmaxRequestSide<StoredArray>;
export type HostSoftmaxDivergenceRequest = SoftmaxDivergenceRequest<StoredArray>;

/** What an asynchronous call rejects with when an array that it should write to has gone meanwhile. */
export function outputsLost(): ShapeError {
  return new ShapeError("an array of options.out was detached or shrunk while the call was running");
}

/** The divergences of {@link softmaxDivergenceNames} that are means of an f: D_f(π ‖ ρ) = Σ ρ f(π / ρ). */
export type FDivergenceName = Exclude<SoftmaxDivergenceName, "crossEntropy" | "renyi">;

/** A checked call of fDivergence: `kullback_f_divergence_request`, field by field. */
export interface FDivergenceRequest<T extends Tensor = Tensor> {
  divergence: FDivergenceName;
  /** Of the divergences that have one: alpha, beta or lambda. */
  parameter: number;
  scale: number;
  dtype: Dtype;
  /** Which of CUDA's devices; the others have none. */
  device?: number | undefined;
  length: number;
  logRatios: T;
  /** Written where they are there; as long as `logRatios`. */
  values?: T | undefined;
  derivatives?: T | undefined;
  valueGradients?: T | undefined;
  derivativeGradients?: T | undefined;
}

/** With all arrays in the host's memory, as the reference reads them. */
export type HostFDivergenceRequest = FDivergenceRequest<StoredArray>;

/** In the order of `kullback_estimator`, which has none before them. */
export const estimatorNames = ["k1", "k2", "k3"] as const;
export type Estimator = (typeof estimatorNames)[number];

/** A checked call of tokenLogProbs: `kullback_token_log_probs_request`, field by field. */
export interface TokenLogProbsRequest<T extends Tensor = Tensor> {
  dtype: Dtype;
  /** Which of CUDA's devices; the others have none. */
  device?: number | undefined;
  rows: number;
  /** The logical vocabulary: at most the stride. */
  columns: number;
  stride: number;
  logits: T;
  temperature: number;
  /** Each less than `columns`. */
  tokens: Int32Array;
  rowMask?: Uint8Array | undefined;
  estimator?: Estimator | undefined;
  /** Where there is an estimator. */
  referenceLogProbs?: Float64Array | undefined;
  gradOutput: number;
  gradOutputs?: Float64Array | undefined;
  entropyGradOutput: number;
  entropyGradOutputs?: Float64Array | undefined;
  estimateGradOutput: number;
  estimateGradOutputs?: Float64Array | undefined;
  logProbs: Float64Array;
  /** Written where they are there; one a row. */
  entropy?: Float64Array | undefined;
  logSumExp?: Float64Array | undefined;
  estimates?: Float64Array | undefined;
  /** Written where it is there; as long as `logits`. */
  logitsGradient?: T | undefined;
}

/** With all arrays in the host's memory, as the reference reads them. */
export type HostTokenLogProbsRequest = TokenLogProbsRequest<StoredArray>;

/** Hidden states and the matrix that makes logits of them: hidden weightsᵀ + bias. */
export interface LinearRequestSide {
  /** [rows, width] */
  hidden: StoredArray;
  /** [columns, width] */
  weights: StoredArray;
  bias?: StoredArray | undefined;
  width: number;
}

/** A checked call of linearSoftmaxDivergence: `kullback_linear_softmax_divergence_request`, field by field. */
export interface LinearSoftmaxDivergenceRequest {
  divergence: SoftmaxDivergenceName;
  /** Of the divergences that have one: alpha, beta or lambda. */
  parameter: number;
  dtype: Dtype;
  /** Which of CUDA's devices; the others have none. */
  device?: number | undefined;
  rows: number;
  columns: number;
  student: LinearRequestSide;
  /** One of these, of which logits are [rows, columns]; each label that counts is less than `columns`. */
  teacher: LinearRequestSide | { logits: StoredArray } | { labels: Int32Array };
  studentTemperature: number;
  teacherTemperature: number;
  rowWeights?: Float64Array | undefined;
  rowMask?: Uint8Array | undefined;
  scale: number;
  gradOutput: number;
  gradOutputs?: Float64Array | undefined;
  /** In bytes; 0 for the backend's default. */
  memoryBudget: number;
  /** Written where they are there. */
  values?: Float64Array | undefined;
  hiddenGradient?: StoredArray | undefined;
  weightsGradient?: StoredArray | undefined;
  biasGradient?: StoredArray | undefined;
}

/** What a call throws whose memory budget is too small. */
export function smallBudget(request: LinearSoftmaxDivergenceRequest, least: number): OptionError {
  return new OptionError(
    `options.memoryBudget is ${request.memoryBudget}; it must be at least ${least} bytes, which one row takes`,
  );
}

/** The request of each row of native/abi/operations.inc. */
export interface Requests {
  softmaxDivergence: SoftmaxDivergenceRequest;
  fDivergence: FDivergenceRequest;
  tokenLogProbs: TokenLogProbsRequest;
  linearSoftmaxDivergence: LinearSoftmaxDivergenceRequest;
}
export type OperationName = keyof Requests;

/**
 * The pair of functions that a backend has for an operation. The first writes the request's output arrays and returns
 * the value summed over rows, of operations that have one. The second does the same beside the caller: inputs are copied
 * before it returns, outputs are written before it resolves.
 */
export type Operation<Name extends OperationName> = Readonly<
  Record<Name, (request: Requests[Name]) => number> &
    Record<`${Name}Async`, (request: Requests[Name], signal: AbortSignal | undefined) => Promise<number>>
>;

/** What fills in the table. */
export type Backend = { readonly name: BackendName } & Operation<"softmaxDivergence"> &
  Operation<"fDivergence"> &
  Operation<"tokenLogProbs"> &
  Operation<"linearSoftmaxDivergence">;
