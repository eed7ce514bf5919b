// The surface of the native addon, by hand: native/addon/*.cc read their arguments in this order.
import type { StoredArray } from "../arrays.js";

/** Who computes where it is not one of CUDA's devices. */
export const cpuDevice = -1;

/** native/addon/softmax_divergence.cc, read_request */
export type SoftmaxDivergenceArguments = [
  /** {@link cpuDevice}, or the index of one of CUDA's. */
  device: number,
  dtype: number,
  divergence: number,
  parameter: number,
  rows: number,
  columns: number,
  studentStride: number,
  teacherStride: number,
  studentTemperature: number,
  teacherTemperature: number,
  scale: number,
  gradOutput: number,
  oneTeacher: number,
  teacherInProbabilities: number,
  /** 0 where the teacher has all columns, or the number of the policy's name. */
  tail: number,
  accumulate: number,
  student: StoredArray | DeviceHandle,
  teacher: StoredArray | DeviceHandle,
  teacherIds: Int32Array | undefined,
  studentGradient: StoredArray | DeviceHandle | undefined,
  teacherGradient: StoredArray | DeviceHandle | undefined,
  studentLogPrior: Float64Array | undefined,
  teacherLogPrior: Float64Array | undefined,
  rowWeights: Float64Array | undefined,
  rowMask: Uint8Array | undefined,
  gradOutputs: Float64Array | undefined,
  values: Float64Array | undefined,
  divergences: Float64Array | undefined,
  studentLogSumExp: Float64Array | undefined,
  teacherLogSumExp: Float64Array | undefined,
  studentEntropy: Float64Array | undefined,
  teacherEntropy: Float64Array | undefined,
  argmaxAgreement: Uint8Array | undefined,
];

/** native/addon/f_divergence.cc, read_request */
export type FDivergenceArguments = [
  device: number,
  divergence: number,
  parameter: number,
  scale: number,
  length: number,
  logRatios: StoredArray | DeviceHandle,
  values: StoredArray | DeviceHandle | undefined,
  derivatives: StoredArray | DeviceHandle | undefined,
  valueGradients: StoredArray | DeviceHandle | undefined,
  derivativeGradients: StoredArray | DeviceHandle | undefined,
];

/** native/addon/token_log_probs.cc, read_request */
export type TokenLogProbsArguments = [
  device: number,
  /** 0 for none, or the number of its name. */
  estimator: number,
  rows: number,
  columns: number,
  stride: number,
  temperature: number,
  gradOutput: number,
  entropyGradOutput: number,
  estimateGradOutput: number,
  logits: StoredArray | DeviceHandle,
  logitsGradient: StoredArray | DeviceHandle | undefined,
  tokens: Int32Array,
  rowMask: Uint8Array | undefined,
  gradOutputs: Float64Array | undefined,
  entropyGradOutputs: Float64Array | undefined,
  estimateGradOutputs: Float64Array | undefined,
  referenceLogProbs: Float64Array | undefined,
  logProbs: Float64Array,
  entropy: Float64Array | undefined,
  logSumExp: Float64Array | undefined,
  estimates: Float64Array | undefined,
];

type LinearSideArguments = [
  width: number,
  hidden: StoredArray,
  weights: StoredArray,
  bias: StoredArray | undefined,
];

/** native/addon/linear_softmax_divergence.cc, read_request */
export type LinearSoftmaxDivergenceArguments = [
  device: number,
  dtype: number,
  divergence: number,
  parameter: number,
  rows: number,
  columns: number,
  studentTemperature: number,
  teacherTemperature: number,
  scale: number,
  gradOutput: number,
  memoryBudget: number,
  ...student: LinearSideArguments,
  ...teacher:
    [kind: 0, ...side: LinearSideArguments] | [kind: 1, logits: StoredArray] | [kind: 2, labels: Int32Array],
  hiddenGradient: StoredArray | undefined,
  weightsGradient: StoredArray | undefined,
  biasGradient: StoredArray | undefined,
  rowWeights: Float64Array | undefined,
  rowMask: Uint8Array | undefined,
  gradOutputs: Float64Array | undefined,
  values: Float64Array | undefined,
];

/** By operation: what it is called with, now and as a job. */
export interface NativeArguments {
  softmaxDivergence: SoftmaxDivergenceArguments;
  fDivergence: FDivergenceArguments;
  tokenLogProbs: TokenLogProbsArguments;
  linearSoftmaxDivergence: LinearSoftmaxDivergenceArguments;
}

/** The pair of functions of each operation; the second returns a function that cancels. */
type NativeOperations = {
  [Name in keyof NativeArguments]: (...args: NativeArguments[Name]) => number;
} & {
  [Name in keyof NativeArguments as `${Name}Async`]: (
    callback: JobCallback,
    ...args: NativeArguments[Name]
  ) => () => void;
};

/** How a job reports: `status` is a kullback_status. */
export type JobCallback = (status: number, value: number, outputsLost: boolean, text: string) => void;

/** kullback_status */
export const jobStatus = {
  ok: 0,
  cancelled: 1,
  outOfMemory: 2,
  unsupported: 3,
  deviceError: 4,
  badValues: 5,
  smallBudget: 6,
} as const;

declare const opaque: unique symbol;
/** native/addon/device_memory.h, DeviceRange. */
export interface DeviceHandle {
  [opaque]: never;
}

/** One of CUDA's devices. */
export interface CudaDevice {
  name: string;
  /** 90 for compute capability 9.0. */
  computeCapability: number;
  multiprocessors: number;
  /** Of CUDA, as the driver speaks it: 12040 for 12.4. */
  driverVersion: number;
  /** Of CUDA, as the backend was built with it. */
  runtimeVersion: number;
  /** Not a GPU, but the emulator of Kullback's own tests. */
  emulated: boolean;
  freeBytes: number;
  totalBytes: number;
}

export interface InstructionSetEntry {
  name: string;
  supported: boolean;
  active: boolean;
}

/** native/cpu/simd/elementary.h, in order. For tests and benches. */
export const elementaryFunctions = ["exp", "exp2", "expm1", "log1p", "log"] as const;
export type ElementaryFunction = (typeof elementaryFunctions)[number];

export interface Addon extends NativeOperations {
  version: string;
  abiVersion: number;
  compiler: string;
  /** Loads the CUDA backend, once a process. Returns what is wrong, or undefined. */
  loadCuda(path: string): string | undefined;
  /** How many devices CUDA has, or why none. */
  cudaDevices(): number | string;
  cudaDevice(device: number): CudaDevice;
  /** `dtype` is 0 for float32, 1 for float64. */
  deviceAllocate(device: number, dtype: number, length: number): DeviceHandle;
  deviceSlice(array: DeviceHandle, begin: number, length: number): DeviceHandle;
  deviceWrite(array: DeviceHandle, from: StoredArray): void;
  deviceRead(array: DeviceHandle, to: StoredArray): void;
  deviceReadAsync(callback: JobCallback, device: number, array: DeviceHandle, to: StoredArray): () => void;
  deviceDispose(array: DeviceHandle): void;
  deviceTrim(device: number): void;
  deviceHeld(device: number): [arrays: number, bytes: number, external: number];
  /** For benches: reads two float32 arrays, and writes their sum where there is a third; all but up to three elements. */
  cudaMemoryLimit(
    device: number,
    length: number,
    first: DeviceHandle,
    second: DeviceHandle,
    sum: DeviceHandle | undefined,
  ): void;
  /** For benches: as many float32 exponentials, as the operations compute them. */
  cudaExponentialLimit(device: number, count: number): void;
  /** 0 before the first setThreadCount. */
  threadCount(): number;
  setThreadCount(count: number): void;
  /** The least first. */
  instructionSets(): InstructionSetEntry[];
  useInstructionSet(name: string): void;
  /** For benches: reads two arrays, and writes their sum where there is a third. */
  memoryLimit(length: number, first: Float32Array, second: Float32Array, sum: Float32Array | undefined): void;
  /**
   * For tests and benches: c = a b, or c + a b where `added`; `chained`: in one chain of additions. a is [rows, depth] where
   * `aAlongDepth`, else [depth, rows]; b is [columns, depth] where `bAlongDepth`, else [depth, columns].
   */
  matrixProduct(
    instructionSet: string | undefined,
    dtype: number,
    chained: number,
    added: number,
    aAlongDepth: number,
    bAlongDepth: number,
    rows: number,
    columns: number,
    depth: number,
    a: StoredArray,
    b: StoredArray,
    c: StoredArray,
  ): void;
  elementary(instructionSet: string, name: number, length: number, from: StoredArray, to: StoredArray): void;
}
