// tokenLogProbs: what users import. Types, documentation and checks; the arithmetic is the backends'.
import {
  describe,
  outputArray,
  requireDisjoint,
  requireMask,
  requirePerRow,
  requireFullWidth,
  requireRows,
  type NumericArray,
  type PerRow,
  type RowMask,
  type Rows,
} from "./arrays.js";
import type { Asked, Fresh } from "./asked.js";
import {
  estimatorNames,
  isDeviceTensor,
  type Backend,
  type BackendChoice,
  type BackendName,
  type Estimator,
  type TokenLogProbsRequest,
} from "./backend/table.js";
import type { DeviceArray } from "./device-array.js";
import { OptionError } from "./errors.js";
import { callLater, callNow, type Steps } from "./operation.js";
import { requireOneOf, requireOptions, requireSubset } from "./options.js";
import { requireTemperature } from "./softmax-sides.js";
import { chooseForPlace, outputTensor, requireOnePlace } from "./tensors.js";
import { tokensOf, type Tokens } from "./tokens.js";

export type { Tokens } from "./tokens.js";

const statisticNames = ["entropy", "logSumExp"] as const;
const gradientNames = ["logits"] as const;

/** By-products of the softmax, one number a row. A row left out has 0 in each. */
export interface TokenStatistics {
  /** Of softmax(logits / temperature), in nats. */
  entropy: Float64Array<ArrayBuffer>;
  /** log sum exp(logits / temperature) */
  logSumExp: Float64Array<ArrayBuffer>;
}

/** Options of {@link tokenLogProbs}. */
export interface TokenLogProbsOptions {
  /** What logits are divided by: from 1e-30 to 1e30. Default 1. */
  temperature?: number;
  /** How many columns are the vocabulary, where rows are padded. Default: the last axis. */
  vocabSize?: number;
  /** Which rows count. The others are not read; all that is returned for them is 0. Default: all. */
  rowMask?: RowMask;
  /** Rows with this token are left out, as by `rowMask`: -100 in many frameworks. Default: none. */
  ignoreIndex?: number;
  /** By-products to return. Default: none. */
  statistics?: readonly (keyof TokenStatistics)[];
  /** The reference policy ρ: the log-probability that it gives to each row's token. Wanted by `estimator`. */
  reference?: { logProbs: PerRow };
  /**
   * How to estimate KL(π ‖ ρ) from each row's token, a sample of π; with d = log ρ − log π:
   * - `"k1"`: −d, without bias, of either sign
   * - `"k2"`: d² / 2, of little variance, and biased
   * - `"k3"`: e^d − 1 − d, without bias, and at least 0: GRPO's
   */
  estimator?: Estimator;
  /** Which arguments' gradients to compute. Default: none. */
  gradients?: readonly "logits"[];
  /** What is minimised, differentiated for `logProbs`: a number, or one a row. Default 1. */
  gradOutput?: number | PerRow;
  /** Likewise for the entropy. Default 0. */
  entropyGradOutput?: number | PerRow;
  /** Likewise for `estimates`. Default 0. */
  estimateGradOutput?: number | PerRow;
  /** Arrays of the caller's to write into: `logits` for the gradient, and `logProbs`. */
  out?: { logits?: NumericArray | DeviceArray; logProbs?: Float64Array };
  /** Who computes. Default `"auto"`: KULLBACK_BACKEND, or else the first of cuda, cpu, reference that runs here. */
  backend?: BackendChoice;
  /** Which of CUDA's devices computes, by its index; only with the cuda backend. */
  device?: number;
}

/** Options of {@link tokenLogProbsAsync}. */
export interface TokenLogProbsAsyncOptions extends TokenLogProbsOptions {
  /** Stops the computation; the promise is then rejected with the signal's reason. */
  signal?: AbortSignal;
}

/** What {@link tokenLogProbs} returns, and under `gradients` and `statistics` exactly what was asked for. */
export type TokenLogProbsResult<
  A extends NumericArray | DeviceArray = NumericArray,
  O extends TokenLogProbsOptions = TokenLogProbsOptions,
> = {
  /** log softmax(logits / temperature) at each row's token, in nats. */
  logProbs: Float64Array<ArrayBuffer>;
  gradients: Asked<O, "gradients", { logits: Fresh<A> }>;
  statistics: Asked<O, "statistics", TokenStatistics>;
  /** Who computed it. */
  backend: BackendName;
} & (O extends { readonly estimator: Estimator }
  ? { /** Of KL(π ‖ ρ), one a row. */ estimates: Float64Array<ArrayBuffer> }
  : "estimator" extends keyof O
    ? { estimates?: Float64Array<ArrayBuffer> }
    : object);

const optionNames = [
  "temperature",
  "vocabSize",
  "rowMask",
  "ignoreIndex",
  "statistics",
  "reference",
  "estimator",
  "gradients",
  "gradOutput",
  "entropyGradOutput",
  "estimateGradOutput",
  "out",
  "backend",
  "device",
] as const satisfies readonly (keyof TokenLogProbsOptions)[];

/**
 * The log-probability that softmax(logits / temperature) gives to each row's token, with entropy, estimates of
 * KL(π ‖ ρ), and the gradient for the logits of
 * Σ gradOutput · logProb + entropyGradOutput · entropy + estimateGradOutput · estimate,
 * in one fused call that stores no softmax.
 *
 * A token of probability 0 has −Infinity; a row without a finite maximum, or with a NaN, is NaN and leaves other rows
 * alone.
 *
 * @param logits `[..., vocabulary]`.
 * @param tokens One for each row.
 * @throws ShapeError, DtypeError, OptionError, BackendUnavailableError
 * @example
 * const { logProbs, gradients } = tokenLogProbs(
 *   { data: new Float32Array([1, 2, 3]), shape: [1, 3] }, [2], { gradients: ["logits"], gradOutput: -1 });
 */
export function tokenLogProbs<
  A extends NumericArray | DeviceArray,
  const O extends TokenLogProbsOptions = object,
>(logits: Rows<A>, tokens: Tokens, options: O = {} as O): TokenLogProbsResult<A, O> {
  return callNow(stepsOf(logits, tokens), options, (call) => {
    call.backend.tokenLogProbs(call.request);
    return toResult<A, O>(call);
  });
}

/**
 * {@link tokenLogProbs} on Kullback's own threads: inputs are copied before it returns, outputs are written before the
 * promise resolves. Bad arguments reject the promise. Device arrays are not copied: leave them alone until then.
 */
export async function tokenLogProbsAsync<
  A extends NumericArray | DeviceArray,
  const O extends TokenLogProbsAsyncOptions = object,
>(logits: Rows<A>, tokens: Tokens, options: O = {} as O): Promise<TokenLogProbsResult<A, O>> {
  return callLater(stepsOf(logits, tokens), options, async (call, signal) => {
    await call.backend.tokenLogProbsAsync(call.request, signal);
    return toResult<A, O>(call);
  });
}

/** A checked call. */
interface Call {
  request: TokenLogProbsRequest;
  backend: Backend;
}

type Logits = Rows<NumericArray | DeviceArray>;

const stepsOf = (logits: Logits, tokens: Tokens): Steps<TokenLogProbsOptions, Call> => ({
  optionNames,
  toCall: (options) => toCall(logits, tokens, options),
  outputsOf: ({ request }) => [request.logitsGradient],
});

function toCall(rows: Logits, tokens: Tokens, options: TokenLogProbsOptions): Call {
  const request = toRequest(rows, tokens, options);
  const onDevice = requireOnePlace(["logits.data", request.logits]);
  const { backend, device } = chooseForPlace(options.backend, options.device, onDevice);
  request.device = device;
  const { gradients = [], statistics = [], out = {} } = options;
  requireSubset("options.gradients", gradients, gradientNames);
  requireSubset("options.statistics", statistics, statisticNames);
  const { logits, logProbs } = requireOptions("options.out", out, ["logits", "logProbs"]);
  if (statistics.includes("entropy")) request.entropy = new Float64Array(request.rows);
  if (statistics.includes("logSumExp")) request.logSumExp = new Float64Array(request.rows);
  request.logProbs = outputArray("options.out.logProbs", "float64", request.rows, logProbs) as Float64Array;
  if (gradients.includes("logits")) {
    request.logitsGradient = outputTensor("options.out.logits", request.dtype, request.logits, logits);
  } else if (logits !== undefined) {
    throw new OptionError('options.out.logits is given, but options.gradients does not name "logits"');
  }
  const written: [name: string, array: ArrayBufferView][] = [];
  const gradient = request.logitsGradient;
  if (logits !== undefined && gradient !== undefined && !isDeviceTensor(gradient)) {
    written.push(["options.out.logits", gradient]);
  }
  if (logProbs !== undefined) written.push(["options.out.logProbs", request.logProbs]);
  if (!isDeviceTensor(request.logits)) requireDisjoint(written, [["logits.data", request.logits]]);
  return { request, backend };
}

// What is read.
function toRequest(logits: Logits, tokens: Tokens, options: TokenLogProbsOptions): TokenLogProbsRequest {
  const { data, dtype, rows, columns: stride } = requireRows("logits", logits);
  requireFullWidth("logits", dtype);
  const columns = columnsOf(stride, options.vocabSize);
  const { temperature = 1, rowMask, ignoreIndex } = options;
  requireTemperature("options.temperature", temperature);
  const mask = rowMask === undefined ? undefined : requireMask("options.rowMask", rowMask, rows);
  const [gradOutput, gradOutputs] = factorOf("gradOutput", options.gradOutput, 1, rows);
  const [entropyGradOutput, entropyGradOutputs] = factorOf(
    "entropyGradOutput",
    options.entropyGradOutput,
    0,
    rows,
  );
  const [estimateGradOutput, estimateGradOutputs] = factorOf(
    "estimateGradOutput",
    options.estimateGradOutput,
    0,
    rows,
  );
  return {
    dtype,
    rows,
    columns,
    stride,
    logits: data,
    temperature,
    ...tokensOf("tokens", tokens, rows, columns, mask, ignoreIndex),
    ...referenceOf(options, rows),
    gradOutput,
    gradOutputs,
    entropyGradOutput,
    entropyGradOutputs,
    estimateGradOutput,
    estimateGradOutputs,
    logProbs: new Float64Array(0),
  };
}

function columnsOf(stride: number, vocabSize = stride): number {
  if (!Number.isSafeInteger(vocabSize) || vocabSize < 1 || vocabSize > stride) {
    throw new OptionError(
      `options.vocabSize is ${describe(vocabSize)}; it must be an integer from 1 to ${stride}, the last axis`,
    );
  }
  return vocabSize;
}

function factorOf(
  name: string,
  factor: number | PerRow | undefined,
  byDefault: number,
  rows: number,
): [one: number, perRow: Float64Array | undefined] {
  if (factor === undefined || typeof factor === "number") return [factor ?? byDefault, undefined];
  return [byDefault, requirePerRow(`options.${name}`, factor, rows, { finite: false, orNumber: true })];
}

function referenceOf(
  { reference, estimator, estimateGradOutput }: TokenLogProbsOptions,
  rows: number,
): Pick<TokenLogProbsRequest, "estimator" | "referenceLogProbs" | "estimates"> {
  if (estimator === undefined) {
    if (estimateGradOutput !== undefined) {
      throw new OptionError(
        "options.estimateGradOutput is given, but options.estimator does not say of what",
      );
    }
    if (reference === undefined) return {};
    throw new OptionError("options.reference is given, but options.estimator does not say what for");
  }
  requireOneOf("options.estimator", estimator, estimatorNames);
  if (reference === undefined) {
    throw new OptionError(
      `options.estimator is ${describe(estimator)}, which needs options.reference: { logProbs }, one per row`,
    );
  }
  const { logProbs } = requireOptions("options.reference", reference, ["logProbs"]);
  return {
    estimator,
    referenceLogProbs: requirePerRow("options.reference.logProbs", logProbs, rows, { finite: false }),
    estimates: new Float64Array(rows),
  };
}

function toResult<A extends NumericArray | DeviceArray, O extends TokenLogProbsOptions>({
  request,
  backend,
}: Call): TokenLogProbsResult<A, O> {
  const { logProbs, estimates, entropy, logSumExp, logitsGradient } = request;
  const result = {
    logProbs,
    ...(estimates && { estimates }),
    gradients: { ...(logitsGradient && { logits: logitsGradient }) },
    statistics: { ...(entropy && { entropy }), ...(logSumExp && { logSumExp }) },
    backend: backend.name,
  };
  // Built from the options' values, as the type is from their types.
  return result as unknown as TokenLogProbsResult<A, O>;
}
