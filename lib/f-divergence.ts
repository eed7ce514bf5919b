// fDivergence: what users import. Types, documentation and checks; the arithmetic is the backends'.
import {
  requireDisjoint,
  requireElements,
  requireFullWidth,
  type NumericArray,
  type Rows,
} from "./arrays.js";
import type { Asked, Fresh } from "./asked.js";
import {
  isDeviceTensor,
  type Backend,
  type BackendChoice,
  type BackendName,
  type FDivergenceName,
  type FDivergenceRequest,
  type Tensor,
} from "./backend/table.js";
import type { DeviceArray } from "./device-array.js";
import { divergenceOptionNames, resolveDivergence, type DivergenceOptions } from "./divergence.js";
import { OptionError } from "./errors.js";
import { callLater, callNow, type Steps } from "./operation.js";
import { requireOptions, requireSubset } from "./options.js";
import { chooseForPlace, disposeFresh, outputTensor, requireOnePlace } from "./tensors.js";

/** What {@link fDivergence} can compute of each log ratio x = log u. */
export interface FDivergenceOutputs<A = NumericArray> {
  /** f(u): what D_f(π ‖ ρ) is the mean of, over samples of ρ. DPH-RL's loss. */
  values: A;
  /** f′(u): f-DPO's implied reward; what f-DPG multiplies ∇ log π by, over samples of π. */
  derivatives: A;
  /** u f′(u), the derivative of `values` for x: what DPH-RL multiplies ∇ log π by, over samples of ρ. */
  valueGradients: A;
  /** u f″(u), the derivative of `derivatives` for x: that of f-DPO's reward. */
  derivativeGradients: A;
}

export type FDivergenceOutput = keyof FDivergenceOutputs;

const outputNames = [
  "values",
  "derivatives",
  "valueGradients",
  "derivativeGradients",
] as const satisfies readonly FDivergenceOutput[];

/** Options of {@link fDivergence}. */
export interface FDivergenceOptions extends Omit<DivergenceOptions, "divergence"> {
  /**
   * As in softmaxDivergence, with the policy π in the student's place and the reference ρ in the teacher's:
   * `"forwardKl"` (default) is KL(ρ ‖ π). `"crossEntropy"` and `"renyi"` are no means of an f.
   */
  divergence?: FDivergenceName;
  /** What to compute. Default `["values"]`. */
  outputs?: readonly FDivergenceOutput[];
  /** Arrays of the caller's to write into, by output, each asked for in `outputs` and with memory of its own. */
  out?: Partial<FDivergenceOutputs<NumericArray | DeviceArray>>;
  /** Who computes. Default `"auto"`: KULLBACK_BACKEND, or else the first of cuda, cpu, reference that runs here. */
  backend?: BackendChoice;
  /** Which of CUDA's devices computes, by its index; only with the cuda backend. */
  device?: number;
}

/** Options of {@link fDivergenceAsync}. */
export interface FDivergenceAsyncOptions extends FDivergenceOptions {
  /** Stops the computation; the promise is then rejected with the signal's reason. */
  signal?: AbortSignal;
}

/** What {@link fDivergence} returns: exactly the outputs that were asked for, as long as `logRatios` and of its type. */
export type FDivergenceResult<
  A extends NumericArray | DeviceArray = NumericArray,
  O extends FDivergenceOptions = FDivergenceOptions,
> = ("outputs" extends keyof O
  ? Asked<O, "outputs", FDivergenceOutputs<Fresh<A>>>
  : Pick<FDivergenceOutputs<Fresh<A>>, "values">) & {
  /** Who computed it. */
  backend: BackendName;
};

const optionNames = [
  ...divergenceOptionNames,
  "outputs",
  "out",
  "backend",
  "device",
] as const satisfies readonly (keyof FDivergenceOptions)[];

/**
 * The generator f of an f-divergence D_f(π ‖ ρ) = E_ρ f(π / ρ), and what its gradients are made of, at each log ratio
 * x = log π − log ρ, u = e^x: what a loss over samples needs, whose vocabulary is elsewhere or endless.
 *
 * f is normalised, f(1) = f′(1) = 0: then f ≥ 0 and its mean has the least variance; D_f is the same for every other
 * multiple of u − 1. Σ ρ f(u) is `softmaxDivergence` of the same name. Everything is formed from x: near 0 no digits are
 * lost, and at ±Infinity the limit is returned, which may be Infinity. NaN stays NaN.
 *
 * @param logRatios log π − log ρ, in nats: an array, or `{ data, shape }` with one.
 * @throws ShapeError, DtypeError, OptionError, BackendUnavailableError
 * @example
 * const { values, valueGradients } = fDivergence(new Float32Array([-0.5, 0, 0.3]), {
 *   divergence: "jensenShannon",
 *   outputs: ["values", "valueGradients"],
 * });
 */
export function fDivergence<
  A extends NumericArray | DeviceArray,
  const O extends FDivergenceOptions = object,
>(logRatios: A | Rows<A>, options: O = {} as O): FDivergenceResult<A, O> {
  return callNow(stepsOf(logRatios), options, (call) => {
    call.backend.fDivergence(call.request);
    return toResult<A, O>(call);
  });
}

/**
 * {@link fDivergence} on Kullback's own threads: the input is copied before it returns, outputs are written before the
 * promise resolves. Bad arguments reject the promise. Device arrays are not copied: leave them alone until then.
 */
export async function fDivergenceAsync<
  A extends NumericArray | DeviceArray,
  const O extends FDivergenceAsyncOptions = object,
>(logRatios: A | Rows<A>, options: O = {} as O): Promise<FDivergenceResult<A, O>> {
  return callLater(stepsOf(logRatios), options, async (call, signal) => {
    await call.backend.fDivergenceAsync(call.request, signal);
    return toResult<A, O>(call);
  });
}

/** A checked call. */
interface Call {
  request: FDivergenceRequest;
  backend: Backend;
}

type LogRatios = NumericArray | DeviceArray | Rows<NumericArray | DeviceArray>;

const stepsOf = (logRatios: LogRatios): Steps<FDivergenceOptions, Call> => ({
  optionNames,
  toCall: (options) => toCall(logRatios, options),
  outputsOf: ({ request }) => outputsOf(request),
});

function toCall(logRatios: LogRatios, options: FDivergenceOptions): Call {
  const { data, dtype } = requireElements("logRatios", logRatios);
  requireFullWidth("logRatios", dtype);
  const { parameter, factor, divergence } = resolveDivergence(options);
  if (divergence === "crossEntropy" || divergence === "renyi") {
    throw new OptionError(
      `options.divergence is ${JSON.stringify(divergence)}, which is no f-divergence: ` +
        (divergence === "renyi"
          ? 'a function of the whole sum, not a sum over samples; "alpha" is that sum'
          : 'it depends on more than the ratio; "forwardKl" differs from it by the entropy of the reference'),
    );
  }
  const request: FDivergenceRequest = {
    divergence,
    parameter,
    scale: factor,
    dtype,
    length: data.length,
    logRatios: data,
  };
  const onDevice = requireOnePlace(["logRatios", data]);
  const { backend, device } = chooseForPlace(options.backend, options.device, onDevice);
  request.device = device;
  const given = requireOptions("options.out", options.out ?? {}, outputNames);
  try {
    writeInto(request, options.outputs ?? ["values"], given);
  } catch (error) {
    disposeFresh(outputsOf(request), Object.values(given));
    throw error;
  }
  return { request, backend };
}

function writeInto(
  request: FDivergenceRequest,
  outputs: readonly FDivergenceOutput[],
  out: Partial<FDivergenceOutputs<Tensor>>,
): void {
  requireSubset("options.outputs", outputs, outputNames);
  const { logRatios, dtype } = request;
  const written: [name: string, array: ArrayBufferView][] = [];
  for (const name of outputNames) {
    const given = out[name];
    if (!outputs.includes(name)) {
      if (given === undefined) continue;
      throw new OptionError(
        `options.out.${name} is given, but options.outputs does not name ${JSON.stringify(name)}`,
      );
    }
    const array = (request[name] = outputTensor(`options.out.${name}`, dtype, logRatios, given));
    if (given !== undefined && !isDeviceTensor(array)) written.push([`options.out.${name}`, array]);
  }
  if (!isDeviceTensor(logRatios)) requireDisjoint(written, [["logRatios", logRatios]]);
}

function outputsOf(request: FDivergenceRequest): (Tensor | undefined)[] {
  return outputNames.map((name) => request[name]);
}

function toResult<A extends NumericArray | DeviceArray, O extends FDivergenceOptions>({
  request,
  backend,
}: Call): FDivergenceResult<A, O> {
  const asked = outputNames.filter((name) => request[name] !== undefined);
  const result = {
    ...Object.fromEntries(asked.map((name) => [name, request[name]])),
    backend: backend.name,
  };
  // Built from the options' values, as the type is from their types.
  return result as unknown as FDivergenceResult<A, O>;
}
