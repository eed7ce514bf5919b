// The positional form of each operation's request, as the addon takes it: an object's fields cost microseconds at the
// native boundary, positions a tenth of one.
import { dtypes, type StoredArray } from "../arrays.js";
import type { DeviceHandle, NativeArguments } from "./addon.js";
import {
  estimatorNames,
  isDeviceTensor,
  softmaxDivergenceNames,
  tailNames,
  type LinearRequestSide,
  type LinearSoftmaxDivergenceRequest,
  type OperationName,
  type Requests,
  type Tensor,
} from "./table.js";

const native = (array: Tensor): StoredArray | DeviceHandle =>
  isDeviceTensor(array) ? array.handle() : array;
const maybe = (array: Tensor | undefined): StoredArray | DeviceHandle | undefined => array && native(array);

/** How each operation's request is passed on. */
export const positionsOf: {
  [Name in OperationName]: (device: number, request: Requests[Name]) => NativeArguments[Name];
} = {
  softmaxDivergence(device, request) {
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
      request.topK === undefined ? 0 : 1 + tailNames.indexOf(request.topK.tail),
      request.accumulate === true ? 1 : 0,
      native(student.logits),
      native(teacher.logits),
      request.topK?.ids,
      maybe(student.gradient),
      maybe(teacher.gradient),
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
  },
  fDivergence: (device, request) => [
    device,
    softmaxDivergenceNames.indexOf(request.divergence),
    request.parameter,
    request.scale,
    request.length,
    native(request.logRatios),
    maybe(request.values),
    maybe(request.derivatives),
    maybe(request.valueGradients),
    maybe(request.derivativeGradients),
  ],
  tokenLogProbs: (device, request) => [
    device,
    request.estimator === undefined ? 0 : 1 + estimatorNames.indexOf(request.estimator),
    request.rows,
    request.columns,
    request.stride,
    request.temperature,
    request.gradOutput,
    request.entropyGradOutput,
    request.estimateGradOutput,
    native(request.logits),
    maybe(request.logitsGradient),
    request.tokens,
    request.rowMask,
    request.gradOutputs,
    request.entropyGradOutputs,
    request.estimateGradOutputs,
    request.referenceLogProbs,
    request.logProbs,
    request.entropy,
    request.logSumExp,
    request.estimates,
  ],
  linearSoftmaxDivergence: (device, request) => [
    device,
    dtypes.indexOf(request.dtype),
    softmaxDivergenceNames.indexOf(request.divergence),
    request.parameter,
    request.rows,
    request.columns,
    request.studentTemperature,
    request.teacherTemperature,
    request.scale,
    request.gradOutput,
    request.memoryBudget,
    ...linearSideOf(request.student),
    ...teacherOf(request.teacher),
    request.hiddenGradient,
    request.weightsGradient,
    request.biasGradient,
    request.rowWeights,
    request.rowMask,
    request.gradOutputs,
    request.values,
  ],
};

/** Which teacher, and what it consists of. */
function teacherOf(
  teacher: LinearSoftmaxDivergenceRequest["teacher"],
):
  | [kind: 0, ...side: ReturnType<typeof linearSideOf>]
  | [kind: 1, logits: StoredArray]
  | [kind: 2, labels: Int32Array] {
  if ("hidden" in teacher) return [0, ...linearSideOf(teacher)];
  return "logits" in teacher ? [1, teacher.logits] : [2, teacher.labels];
}

const linearSideOf = ({
  width,
  hidden,
  weights,
  bias,
}: LinearRequestSide): [number, StoredArray, StoredArray, StoredArray | undefined] => [
  width,
  hidden,
  weights,
  bias,
];

/** The array by which an operation's arrays are known to be a device's. */
export const mainTensorOf: { [Name in OperationName]: (request: Requests[Name]) => Tensor } = {
  softmaxDivergence: (request) => request.student.logits,
  fDivergence: (request) => request.logRatios,
  tokenLogProbs: (request) => request.logits,
  linearSoftmaxDivergence: (request) => request.student.hidden,
};

/** What callers call the arrays that the addon names. */
const callersNames: Record<string, string> = {
  student: "student.data",
  teacher: "teacher.data",
  studentGradient: "options.out.student",
  teacherGradient: "options.out.teacher",
  logRatios: "logRatios",
  logits: "logits.data",
  logitsGradient: "options.out.logits",
  logProbs: "options.out.logProbs",
  values: "options.out.values",
  derivatives: "options.out.derivatives",
  valueGradients: "options.out.valueGradients",
  derivativeGradients: "options.out.derivativeGradients",
  hidden: "hidden.data",
  weights: "weights.data",
  bias: "bias",
  teacherLogits: "teacher.data",
  labels: "labels",
  hiddenGradient: "options.out.hidden",
  weightsGradient: "options.out.weights",
  biasGradient: "options.out.bias",
};

/** The addon's message about memory that two arrays share, in the caller's names. */
export function sharedMemory(message: string): string {
  return message.replace(
    /^(\w+) shares memory with (\w+);/,
    (_, written: string, other: string) =>
      `${callersNames[written] ?? written} shares memory with ${callersNames[other] ?? other};`,
  );
}
