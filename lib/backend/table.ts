// The TypeScript side of native/abi/kullback_backend.h: what an operation asks of a backend, and what a backend is.
import type { Dtype, StoredArray } from "../arrays.js";

import { ShapeError } from "../errors.js";
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
  /** The logical vocabulary: at most either stride. */
  columns: number;
  student: SoftmaxRequestSide<T>;
  teacher: SoftmaxRequestSide<T>;
  /** The teacher is one row. Default false. */
  oneTeacher?: boolean | undefined;
  /** The teacher's numbers are probabilities. Default false: logits. */
  teacherInProbabilities?: boolean | undefined;
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
  return new ShapeError("out was detached or shrunk while the call was running");
}

/** A backend fills in one pair of functions for each row of native/abi/operations.inc. */
export interface Backend {
  readonly name: BackendName;
  /** Writes the request's output arrays; returns the value summed over rows. */
  softmaxDivergence(request: SoftmaxDivergenceRequest): number;
  /** The same beside the caller: inputs are copied before it returns, outputs are written before it resolves. */
  softmaxDivergenceAsync(request: SoftmaxDivergenceRequest, signal: AbortSignal | undefined): Promise<number>;
}
