// The reference backend: float64 TypeScript, slow and plain. It runs where no binary loads.
import { setImmediate } from "node:timers/promises";
import { OptionError } from "../errors.js";
import { improperProbabilities } from "../reference/softmax-divergence-probabilities.js";
import { prepareSoftmaxDivergence } from "../reference/softmax-divergence.js";
import type { StoredArray } from "../arrays.js";
import {
  outputsLost,
  type Backend,
  type HostSoftmaxDivergenceRequest,
  type HostSoftmaxSide,
  type SoftmaxDivergenceRequest,
} from "./table.js";

// How many columns are worked on before other JavaScript may run.
const columnsPerTurn = 1 << 16;

export const referenceBackend: Backend = {
  name: "reference",

  softmaxDivergence(given) {
    const request = checked(given);
    const row = prepareSoftmaxDivergence(request);
    let value = 0;
    for (let index = 0; index < request.rows; index++) value += row(index);
    return value;
  },

  async softmaxDivergenceAsync(given, signal) {
    const request = checked(given);
    const copy = detachedCopy(request);
    const row = prepareSoftmaxDivergence(copy);
    let value = 0;
    let columns = 0;
    for (let index = 0; index < copy.rows; index++) {
      if (index === 0 || columns >= columnsPerTurn) {
        await setImmediate();
        signal?.throwIfAborted();
        columns = 0;
      }
      value += row(index);
      columns += copy.columns;
    }
    signal?.throwIfAborted();
    copyOutputs(copy, request);
    return value;
  },
};

function checked(given: SoftmaxDivergenceRequest): HostSoftmaxDivergenceRequest {
  // Arrays of a device only go to cuda: lib/tensors.ts sees to it.
  const request = given as HostSoftmaxDivergenceRequest;
  const wrong = improperProbabilities(request);
  if (wrong !== undefined) throw new OptionError(wrong);
  return request;
}

function detachedCopy(request: HostSoftmaxDivergenceRequest): HostSoftmaxDivergenceRequest {
  const side = (given: HostSoftmaxSide): HostSoftmaxSide => ({
    ...given,
    logits: given.logits.slice(),
    gradient: given.gradient?.slice(),
    logSumExp: given.logSumExp?.slice(),
    entropy: given.entropy?.slice(),
  });
  return {
    ...request,
    student: side(request.student),
    teacher: side(request.teacher),
    values: request.values?.slice(),
    divergences: request.divergences?.slice(),
    argmaxAgreement: request.argmaxAgreement?.slice(),
  };
}

// All or none: an output that was detached meanwhile takes nothing any more.
function copyOutputs(from: HostSoftmaxDivergenceRequest, to: HostSoftmaxDivergenceRequest): void {
  for (const side of ["student", "teacher"] as const) {
    requireSameLength(from[side].gradient, to[side].gradient);
  }
  requireSameLength(from.values, to.values);
  for (const side of ["student", "teacher"] as const) {
    if (from[side].gradient) to[side].gradient?.set(from[side].gradient);
    if (from[side].logSumExp) to[side].logSumExp?.set(from[side].logSumExp);
    if (from[side].entropy) to[side].entropy?.set(from[side].entropy);
  }
  if (from.values) to.values?.set(from.values);
  if (from.divergences) to.divergences?.set(from.divergences);
  if (from.argmaxAgreement) to.argmaxAgreement?.set(from.argmaxAgreement);
}

function requireSameLength(from: StoredArray | undefined, to: StoredArray | undefined): void {
  if (from?.length !== to?.length) throw outputsLost();
}
