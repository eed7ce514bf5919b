// The native backends: the addon's operations behind the Backend interface, computed by the CPU or by a CUDA device.
import { CudaError, KullbackError, OptionError } from "../errors.js";
import { improperProbabilities } from "../reference/softmax-divergence-probabilities.js";
import { onAbort } from "./abort.js";
import { cpuDevice, jobStatus, type Addon, type JobCallback } from "./addon.js";
import { mainTensorOf, positionsOf, sharedMemory } from "./positions.js";
import {
  isDeviceTensor,
  outputsLost as lost,
  smallBudget,
  type Backend,
  type HostSoftmaxDivergenceRequest,
  type Operation,
  type OperationName,
  type Requests,
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
/** The code of a memory budget being too small; the message is the least that would do. */
const tooLittle = "ERR_KULLBACK_SMALL_BUDGET";

function nativeBackend(name: "cpu" | "cuda", addon: Addon, onError: (error: CudaError) => void): Backend {
  const operation = <Name extends OperationName>(operationName: Name): Operation<Name> => {
    const now = addon[operationName] as (...args: unknown[]) => number;
    const later = addon[`${operationName}Async`] as (...args: unknown[]) => () => void;
    const explained = (request: Requests[Name]) => (error: unknown) => explain(operationName, request, error);
    const positions = (request: Requests[Name]): readonly unknown[] =>
      positionsOf[operationName](name === "cpu" ? cpuDevice : (request.device ?? 0), request);
    return {
      [operationName]: (request: Requests[Name]) =>
        translated(() => now(...positions(request)), onError, explained(request)),
      [`${operationName}Async`]: (request: Requests[Name], signal: AbortSignal | undefined) =>
        runJob(
          signal,
          (callback) => later(callback, ...positions(request)),
          onError,
          isDeviceTensor(mainTensorOf[operationName](request)),
          explained(request),
        ),
    } as Operation<Name>;
  };
  return {
    name,
    ...operation("softmaxDivergence"),
    ...operation("fDivergence"),
    ...operation("tokenLogProbs"),
    ...operation("linearSoftmaxDivergence"),
  };
}

/** What a backend refuses for its numbers, in the caller's words. */
function explain(name: OperationName, request: Requests[OperationName], error: unknown): unknown {
  const { code, message } = error as { code?: unknown; message: string };
  if (code === badValues && name === "softmaxDivergence") {
    return badTeacher(request as Requests["softmaxDivergence"], error);
  }
  if (code === tooLittle) {
    return smallBudget(request as Requests["linearSoftmaxDivergence"], Number(message));
  }
  return error;
}

/** Says which numbers of the teacher's a backend refused, where the call throws that it did. */
function badTeacher(request: Requests["softmaxDivergence"], error: unknown): unknown {
  if (isDeviceTensor(request.teacher.logits)) {
    return new OptionError(
      request.topK === undefined
        ? "teacher holds rows that are no probabilities: each must sum to 1, of numbers from 0"
        : "teacher holds rows that are no log-probabilities: each must be at most 0, and their probabilities sum to " +
            "at most 1",
    );
  }
  const explanation = improperProbabilities(request as HostSoftmaxDivergenceRequest);
  return explanation === undefined ? error : new OptionError(explanation);
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
    if (code === badValues || code === tooLittle) throw explain(error);
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
          ignoreAbort();
          if (signal?.aborted) reject(signal.reason);
          else if (status === jobStatus.deviceError) reject(reported(new CudaError(text), onError));
          else if (status !== jobStatus.ok) reject(explain(jobError(status, value, text)));
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
    const ignoreAbort = onAbort(signal, abort);
  });
}

function jobError(status: number, value: number, text: string): KullbackError {
  if (status === jobStatus.smallBudget) return new KullbackError(tooLittle, String(value));
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
