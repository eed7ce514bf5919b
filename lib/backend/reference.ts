// The reference backend: float64 TypeScript, slow and plain. It runs where no binary loads.
import { setImmediate } from "node:timers/promises";
import { OptionError } from "../errors.js";
import { prepareFDivergence } from "../reference/f-divergence.js";
import { leastMemory, prepareLinearSoftmaxDivergence } from "../reference/linear-softmax-divergence.js";
import { improperProbabilities } from "../reference/softmax-divergence-probabilities.js";
import { prepareSoftmaxDivergence } from "../reference/softmax-divergence.js";
import { prepareTokenLogProbs } from "../reference/token-log-probs.js";
import {
  outputsLost,
  smallBudget,
  type Backend,
  type HostFDivergenceRequest,
  type HostSoftmaxDivergenceRequest,
  type HostTokenLogProbsRequest,
  type LinearSoftmaxDivergenceRequest,
  type Operation,
  type OperationName,
  type Requests,
} from "./table.js";

// How many columns are worked on before other JavaScript may run.
const columnsPerTurn = 1 << 16;

/** An operation as its definition does it: row by row, each returning what it adds to the value. */
interface Rowwise<Request> {
  rows: (request: Request) => number;
  columns: (request: Request) => number;
  prepare: (request: Request) => (row: number) => number;
  /** The fields that are written, wherever in the request they stand. */
  outputs: readonly string[];
  /** What is wrong with the numbers, if anything is. */
  wrong?: (request: Request) => string | undefined;
}

function operation<Name extends OperationName, Host>(name: Name, rowwise: Rowwise<Host>): Operation<Name> {
  const onHost = (given: Requests[Name]): Host => {
    // Arrays of a device only go to cuda: lib/tensors.ts sees to it.
    const request = given as unknown as Host;
    const wrong = rowwise.wrong?.(request);
    if (wrong !== undefined) throw new OptionError(wrong);
    return request;
  };
  return {
    [name](given: Requests[Name]) {
      const request = onHost(given);
      const row = rowwise.prepare(request);
      const rows = rowwise.rows(request);
      let value = 0;
      for (let index = 0; index < rows; index++) value += row(index);
      return value;
    },

    async [`${name}Async`](given: Requests[Name], signal: AbortSignal | undefined) {
      const { copy, written } = detachedCopy(onHost(given) as object, rowwise.outputs);
      const request = copy as Host;
      const row = rowwise.prepare(request);
      const rows = rowwise.rows(request);
      let value = 0;
      let columns = 0;
      for (let index = 0; index < rows; index++) {
        if (index === 0 || columns >= columnsPerTurn) {
          await setImmediate();
          signal?.throwIfAborted();
          columns = 0;
        }
        value += row(index);
        columns += rowwise.columns(request);
      }
      signal?.throwIfAborted();
      // All or none: an output that was detached meanwhile takes nothing any more.
      if (written.some(([from, to]) => from.length !== to.length)) throw outputsLost();
      for (const [from, to] of written) to.set(from);
      return value;
    },
  } as unknown as Operation<Name>;
}

type Elements = Float32Array | Float64Array | Int32Array | Uint16Array | Uint8Array;

/** A request with arrays of its own, and the pairs of copy and original that are outputs. */
function detachedCopy(
  request: object,
  outputs: readonly string[],
): { copy: object; written: [from: Elements, to: Elements][] } {
  const written: [Elements, Elements][] = [];
  const copied = (from: object): object =>
    Object.fromEntries(
      Object.entries(from).map(([key, value]: [string, unknown]) => {
        if (typeof value !== "object" || value === null) return [key, value];
        if (!ArrayBuffer.isView(value)) return [key, copied(value)];
        const own = (value as Elements).slice();
        if (outputs.includes(key)) written.push([own, value as Elements]);
        return [key, own];
      }),
    );
  return { copy: copied(request), written };
}

export const referenceBackend: Backend = {
  name: "reference",
  ...operation<"softmaxDivergence", HostSoftmaxDivergenceRequest>("softmaxDivergence", {
    rows: ({ rows }) => rows,
    columns: ({ columns }) => columns,
    prepare: prepareSoftmaxDivergence,
    outputs: ["gradient", "logSumExp", "entropy", "values", "divergences", "argmaxAgreement"],
    wrong: improperProbabilities,
  }),
  ...operation<"fDivergence", HostFDivergenceRequest>("fDivergence", {
    rows: ({ length }) => length,
    columns: () => 1,
    prepare: prepareFDivergence,
    outputs: ["values", "derivatives", "valueGradients", "derivativeGradients"],
  }),
  ...operation<"tokenLogProbs", HostTokenLogProbsRequest>("tokenLogProbs", {
    rows: ({ rows }) => rows,
    columns: ({ columns }) => columns,
    prepare: prepareTokenLogProbs,
    outputs: ["logProbs", "entropy", "logSumExp", "estimates", "logitsGradient"],
  }),
  ...operation<"linearSoftmaxDivergence", LinearSoftmaxDivergenceRequest>("linearSoftmaxDivergence", {
    rows: ({ rows }) => rows,
    columns: ({ columns, student }) => columns * student.width,
    prepare: prepareLinearSoftmaxDivergence,
    outputs: ["hiddenGradient", "weightsGradient", "biasGradient", "values"],
    wrong: (request) => {
      const least = leastMemory(request);
      return request.memoryBudget > 0 && request.memoryBudget < least
        ? smallBudget(request, least).message
        : undefined;
    },
  }),
};
