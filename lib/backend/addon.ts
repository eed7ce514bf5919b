// The surface of the native addon, by hand: native/addon/*.cc read their arguments in this order.
import type { NumericArray } from "../arrays.js";

/** native/addon/softmax_divergence.cc, read_request */
export type SoftmaxDivergenceArguments = [
  divergence: number,
  rows: number,
  columns: number,
  studentStride: number,
  teacherStride: number,
  studentTemperature: number,
  teacherTemperature: number,
  scale: number,
  gradOutput: number,
  student: NumericArray,
  teacher: NumericArray,
  studentGradient: NumericArray | undefined,
  teacherGradient: NumericArray | undefined,
  rowWeights: Float64Array | undefined,
  rowMask: Uint8Array | undefined,
  gradOutputs: Float64Array | undefined,
  values: Float64Array | undefined,
  studentLogSumExp: Float64Array | undefined,
  teacherLogSumExp: Float64Array | undefined,
  studentEntropy: Float64Array | undefined,
  teacherEntropy: Float64Array | undefined,
  argmaxAgreement: Uint8Array | undefined,
];

/** How a job reports: `status` is a kullback_status. */
export type JobCallback = (status: number, value: number, outputsLost: boolean) => void;

/** kullback_status */
export const jobStatus = { ok: 0, cancelled: 1, outOfMemory: 2, unsupported: 3 } as const;

export interface InstructionSetEntry {
  name: string;
  supported: boolean;
  active: boolean;
}

/** native/cpu/simd/elementary.h, in order. For tests and benches. */
export const elementaryFunctions = ["exp", "exp2", "expm1", "log1p"] as const;
export type ElementaryFunction = (typeof elementaryFunctions)[number];

export interface Addon {
  version: string;
  abiVersion: number;
  compiler: string;
  softmaxDivergence(...args: SoftmaxDivergenceArguments): number;
  /** Returns a function that cancels. */
  softmaxDivergenceAsync(callback: JobCallback, ...args: SoftmaxDivergenceArguments): () => void;
  /** 0 before the first setThreadCount. */
  threadCount(): number;
  setThreadCount(count: number): void;
  /** The least first. */
  instructionSets(): InstructionSetEntry[];
  useInstructionSet(name: string): void;
  /** For benches: reads two arrays, and writes their sum where there is a third. */
  memoryLimit(length: number, first: Float32Array, second: Float32Array, sum: Float32Array | undefined): void;
  elementary(
    instructionSet: string,
    name: number,
    length: number,
    from: NumericArray,
    to: NumericArray,
  ): void;
}
