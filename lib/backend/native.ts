// The native backends: the addon's operations behind the Backend interface, computed by the CPU or by a CUDA device.
import type { NumericArray } from "../arrays.js";
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

function nativeBackend(name: "cpu" | "cuda", addon: Addon, onError: (error: CudaError) => void): Backend {
  const positional = (request: SoftmaxDivergenceRequest): SoftmaxDivergenceArguments =>
    positions(name === "cpu" ? cpuDevice : (request.device ?? 0), request);
  return {
    name,
    softmaxDivergence: (request) =>
      translated(() => addon.softmaxDivergence(...positional(request)), onError),
    softmaxDivergenceAsync: (request, signal) =>
      runJob(
        signal,
        (callback) => addon.softmaxDivergenceAsync(callback, ...positional(request)),
        onError,
        isDeviceTensor(request.student.logits),
      ),
  };
}

const native = (array: Tensor): NumericArray | DeviceHandle =>
  isDeviceTensor(array) ? array.handle() : array;

// An object's fields cost microseconds at the native boundary, positions a tenth of one.
function positions(device: number, request: SoftmaxDivergenceRequest): SoftmaxDivergenceArguments {
  const { student, teacher } = request;
  return [
    device,
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
    native(student.logits),
    native(teacher.logits),
    student.gradient && native(student.gradient),
    teacher.gradient && native(teacher.gradient),
    request.rowWeights,
    request.rowMask,
    request.gradOutputs,
    request.values,
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
export function translated<T>(call: () => T, onError: (error: CudaError) => void): T {
  try {
    return call();
  } catch (error) {
    const code = (error as { code?: unknown } | null)?.code;
    if (typeof code !== "string" || !code.startsWith("ERR_KULLBACK_")) throw error;
    const { message } = error as Error;
    // The one check of the options that only addresses can make.
    if (code === "ERR_KULLBACK_OPTION") throw new OptionError(sharedMemory(message));
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
): Promise<number> {
  return new Promise((resolve, reject: (reason: unknown) => void) => {
    const cancel = translated(
      () =>
        start((status, value, outputsLost, text) => {
          signal?.removeEventListener("abort", abort);
          if (signal?.aborted) reject(signal.reason);
          else if (status === jobStatus.deviceError) reject(reported(new CudaError(text), onError));
          else if (status !== jobStatus.ok) reject(jobError(status, text));
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
  return status === jobStatus.outOfMemory
    ? new KullbackError(
        "ERR_KULLBACK_OUT_OF_MEMORY",
        text || "not enough memory for the operation's working space",
      )
    : new KullbackError("ERR_KULLBACK_INTERNAL", `the operation ended with status ${status}`);
}
