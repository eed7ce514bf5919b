// The native backends: the addon's operations behind the Backend interface, computed by the CPU or by a CUDA device.
import { dtypes, type StoredArray } from "../arrays.js";
import { improperProbabilities } from "../reference/softmax-divergence-probabilities.js";
import { CudaError, KullbackError, OptionError } from "../errors.js";
import {
  cpuDevice,
  jobStatus,
  type Addon,
  type DeviceHandle,
  type JobCallback,
  type SoftmaxDivergenceArguments,
} from "./addon.js";
import {
  outputsLost as lost,
  softmaxDivergenceNames,
  type Backend,
  isDeviceTensor,
  type HostSoftmaxDivergenceRequest,
  type SoftmaxDivergenceRequest,
  type Tensor,
} from "./table.js";

/** The CPU backend of a loaded addon. */
export function cpuBackend(addon: Addon): Backend {
  return nativeBackend("cpu", addon, () => undefined);
}

/** The CUDA backend of a loaded addon; `onError` hears of what its devices refuse. */
export function cudaBackend(addon: Addon, onError: (error: CudaError) => void): Backend {
  return nativeBackend("cuda", addon, onError);
}

/** The code of an input's numbers being wrong. */
const badValues = "ERR_KULLBACK_BAD_VALUES";

function nativeBackend(name: "cpu" | "cuda", addon: Addon, onError: (error: CudaError) => void): Backend {
  const positional = (request: SoftmaxDivergenceRequest): SoftmaxDivergenceArguments =>
    positions(name === "cpu" ? cpuDevice : (request.device ?? 0), request);
  return {
    name,
    softmaxDivergence: (request) =>
      translated(
        () => addon.softmaxDivergence(...positional(request)),
        onError,
        (error) => explain(request, error),
      ),
    softmaxDivergenceAsync: (request, signal) =>
      runJob(
        signal,
        (callback) => addon.softmaxDivergenceAsync(callback, ...positional(request)),
        onError,
        isDeviceTensor(request.student.logits),
        (error) => explain(request, error),
      ),
  };
}

/** Says which numbers a backend refused, where the call throws that it did. */
function explain(request: SoftmaxDivergenceRequest, error: unknown): unknown {
  if ((error as { code?: unknown } | null)?.code !== badValues) return error;
  if (isDeviceTensor(request.teacher.logits)) {
    return new OptionError(
      "teacher holds rows that are no probabilities: each must sum to 1, of numbers from 0",
    );
  }
  const explanation = improperProbabilities(request as HostSoftmaxDivergenceRequest);
  return explanation === undefined ? error : new OptionError(explanation);
}

const native = (array: Tensor): StoredArray | DeviceHandle =>
  isDeviceTensor(array) ? array.handle() : array;

// An object's fields cost microseconds at the native boundary, positions a tenth of one.
function positions(device: number, request: SoftmaxDivergenceRequest): SoftmaxDivergenceArguments {
  const { student, teacher } = request;
  return [
    device,
    dtypes.indexOf(request.dtype),
    softmaxDivergenceNames.indexOf(request.divergence),
    request.parameter,
    request.rows,
    request.columns,
    student.stride,
    teacher.stride,
    student.temperature,
    teacher.temperature,
    request.scale,
    request.gradOutput,
    request.oneTeacher === true ? 1 : 0,
    request.teacherInProbabilities === true ? 1 : 0,
    request.accumulate === true ? 1 : 0,
    native(student.logits),
    native(teacher.logits),
    student.gradient && native(student.gradient),
    teacher.gradient && native(teacher.gradient),
    student.logPrior,
    teacher.logPrior,
    request.rowWeights,
    request.rowMask,
    request.gradOutputs,
    request.values,
    request.divergences,
    student.logSumExp,
    teacher.logSumExp,
    student.entropy,
    teacher.entropy,
    request.argmaxAgreement,
  ];
}

/** The addon's names of arrays as the caller's. */
function sharedMemory(message: string): string {
  return message
    .replace(/\b(student|teacher)Gradient\b/g, "options.out.$1")
    .replace(/\bvalues\b/g, "options.out.values")
    .replace(/(with )(student|teacher);/, "$1$2.data;");
}

/** The addon's errors as the library's own. */
export function translated<T>(
  call: () => T,
  onError: (error: CudaError) => void,
  explain: (error: unknown) => unknown = (error) => error,
): T {
  try {
    return call();
  } catch (error) {
    const code = (error as { code?: unknown } | null)?.code;
    if (typeof code !== "string" || !code.startsWith("ERR_KULLBACK_")) throw error;
    const { message } = error as Error;
    // The one check of the options that only addresses can make.
    if (code === "ERR_KULLBACK_OPTION") throw new OptionError(sharedMemory(message));
    if (code === badValues) throw explain(error);
    if (code !== "ERR_KULLBACK_CUDA") throw new KullbackError(code, message, { cause: error });
    throw reported(new CudaError(message), onError);
  }
}

function reported(error: CudaError, onError: (error: CudaError) => void): CudaError {
  onError(error);
  return error;
}

/**
 * Starts a job of the addon's and settles as it ends; after an abort at once, unless the job works `inPlace`, on memory
 * that the caller might use again.
 */
export function runJob(
  signal: AbortSignal | undefined,
  start: (callback: JobCallback) => () => void,
  onError: (error: CudaError) => void,
  inPlace = false,
  explain: (error: unknown) => unknown = (error) => error,
): Promise<number> {
  return new Promise((resolve, reject: (reason: unknown) => void) => {
    const cancel = translated(
      () =>
        start((status, value, outputsLost, text) => {
          signal?.removeEventListener("abort", abort);
          if (signal?.aborted) reject(signal.reason);
          else if (status === jobStatus.deviceError) reject(reported(new CudaError(text), onError));
          else if (status !== jobStatus.ok) reject(explain(jobError(status, text)));
          else if (outputsLost) reject(lost());
          else resolve(value);
        }),
      onError,
    );
    // A cancelled job writes nothing to the host's arrays, so there is no need to wait until its threads have noticed.
    const abort = (): void => {
      cancel();
      if (!inPlace) reject(signal?.reason);
    };
    signal?.addEventListener("abort", abort, { once: true });
  });
}

function jobError(status: number, text: string): KullbackError {
  if (status === jobStatus.badValues) {
    return new KullbackError(badValues, "an input holds numbers that it must not hold");
  }
  return status === jobStatus.outOfMemory
    ? new KullbackError(
        "ERR_KULLBACK_OUT_OF_MEMORY",
        text || "not enough memory for the operation's working space",
      )
    : new KullbackError("ERR_KULLBACK_INTERNAL", `the operation ended with status ${status}`);
}
