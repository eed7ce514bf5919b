// What `import "kullback"` gives.
export type {
  Dtype,
  Float16Numbers,
  NumericArray,
  PerRow,
  RowData,
  RowMask,
  Rows,
  StoredArray,
} from "./arrays.js";
export {
  DeviceArray,
  memoryInfo,
  trimMemory,
  type DeviceArrayOptions,
  type HostArray,
  type MemoryInfo,
} from "./device-array.js";
export type { CudaDevice } from "./backend/addon.js";
export {
  backendInfo,
  setThreadCount,
  threadCount,
  type BackendInfo,
  type BackendStatus,
} from "./backend/report.js";
export type {
  BackendChoice,
  BackendName,
  Estimator,
  FDivergenceName,
  SoftmaxDivergenceName,
} from "./backend/table.js";
export {
  BackendUnavailableError,
  CudaError,
  DisposedError,
  DtypeError,
  KullbackError,
  OptionError,
  ShapeError,
  type BackendAttempt,
} from "./errors.js";
export {
  fDivergence,
  fDivergenceAsync,
  type FDivergenceAsyncOptions,
  type FDivergenceOptions,
  type FDivergenceOutput,
  type FDivergenceOutputs,
  type FDivergenceResult,
} from "./f-divergence.js";
export type { LinearArgument, LinearLogits, LinearOptions } from "./linear.js";
export {
  linearCrossEntropy,
  linearCrossEntropyAsync,
  type LinearCrossEntropyAsyncOptions,
  type LinearCrossEntropyOptions,
  type LinearCrossEntropyResult,
} from "./linear-cross-entropy.js";
export {
  linearSoftmaxDivergence,
  linearSoftmaxDivergenceAsync,
  type LinearSoftmaxDivergenceAsyncOptions,
  type LinearSoftmaxDivergenceOptions,
  type LinearSoftmaxDivergenceResult,
} from "./linear-softmax-divergence.js";
export {
  softmaxDivergence,
  softmaxDivergenceAsync,
  type Side,
  type SideOptions,
  type SoftmaxDivergenceAsyncOptions,
  type SoftmaxDivergenceOptions,
  type SoftmaxDivergenceResult,
  type SoftmaxStatistics,
  type TopKRows,
} from "./softmax-divergence.js";
export {
  tokenLogProbs,
  tokenLogProbsAsync,
  type TokenLogProbsAsyncOptions,
  type TokenLogProbsOptions,
  type TokenLogProbsResult,
  type Tokens,
  type TokenStatistics,
} from "./token-log-probs.js";
