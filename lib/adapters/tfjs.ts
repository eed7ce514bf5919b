// kullback/tfjs: the operations as differentiable functions of TensorFlow.js tensors.
//
// The host computes logits and carries gradients on; value and gradient of the loss come from one call of Kullback,
// made in the forward pass. On the tfjs CPU backend tensors are read where they lie; others are copied by dataSync().
import { customGrad, expandDims, mul, Tensor, tensor, tidy } from "@tensorflow/tfjs-core";
import { describe } from "../arrays.js";
import type { BackendName } from "../backend/table.js";
import { DtypeError, OptionError } from "../errors.js";
import { requireOptions, requireSubset } from "../options.js";
import {
  softmaxDivergenceOptionNames,
  softmaxDivergence as softmaxDivergenceOfArrays,
  type Side,
  type SoftmaxDivergenceOptions,
} from "../softmax-divergence.js";

// What tfjs carries on is neither scaled, nor written elsewhere, nor added to anything here.
const decidedHere = ["accumulate", "gradOutput", "out", "statistics"] as const;

/** Options of {@link softmaxDivergence}: those of `kullback`, less what tfjs itself decides. */
export type TfjsSoftmaxDivergenceOptions = Omit<SoftmaxDivergenceOptions, (typeof decidedHere)[number]> & {
  /** Called with the backend that has computed, as often as tfjs evaluates the loss. */
  onBackend?: (backend: BackendName) => void;
};

const optionNames = [
  ...softmaxDivergenceOptionNames.filter((name) => !(decidedHere as readonly string[]).includes(name)),
  "onBackend",
] as const;

/**
 * The divergence between the softmaxes of two logits tensors along their last axis, differentiable by tfjs: a scalar,
 * or with reduction `"none"` a tensor of one number a row, in the shape of the leading axes.
 *
 * `gradients` says which arguments tfjs may differentiate it by; default `["student"]`, the teacher being a constant.
 * They are computed with the value, whether tfjs then asks for them or not: for a value alone, say `[]`. First derivatives
 * only.
 *
 * @param student Logits, float32, `[..., vocabulary]`.
 * @param teacher Logits of the same shape.
 * @example
 * const loss = () => softmaxDivergence(student.predict(images), teacherLogits, { temperature: 4 });
 * optimizer.minimize(loss);
 */
export function softmaxDivergence(
  student: Tensor,
  teacher: Tensor,
  options: TfjsSoftmaxDivergenceOptions = {},
): Tensor {
  const { gradients = ["student"], onBackend, ...rest } = requireOptions("options", options, optionNames);
  if (onBackend !== undefined && typeof onBackend !== "function") {
    throw new OptionError(`options.onBackend is ${describe(onBackend)}; it must be a function`);
  }
  requireSubset("options.gradients", gradients, ["student", "teacher"]);
  const tensors = { student: logits("student", student), teacher: logits("teacher", teacher) };
  const differentiable = (["student", "teacher"] as const).filter((side) => gradients.includes(side));
  const evaluate = (): { value: Tensor; pulls: Tensor[] } =>
    evaluated(tensors, { ...rest, gradients }, onBackend);
  if (differentiable.length === 0) return tidy(() => evaluate().value);

  const differentiated = customGrad((...inputs) => {
    const save = inputs[inputs.length - 1] as (saved: Tensor[]) => void;
    const { value, pulls } = evaluate();
    save(pulls);
    return {
      value,
      gradFunc: (dy: Tensor, saved: Tensor[]) => saved.map((pull) => mul(pull, perRow(dy))),
    };
  });
  return differentiated(...differentiable.map((side) => tensors[side]));
}

function logits(name: Side, given: Tensor): Tensor {
  if (!(given instanceof Tensor)) throw new DtypeError(`${name} is ${describe(given)}; it must be a tensor`);
  if (given.dtype !== "float32") {
    throw new DtypeError(`${name} is a tensor of ${given.dtype}; it must be float32 (tf.cast makes it so)`);
  }
  return given;
}

function evaluated(
  { student, teacher }: Record<Side, Tensor>,
  options: SoftmaxDivergenceOptions & { gradients: readonly Side[] },
  onBackend: TfjsSoftmaxDivergenceOptions["onBackend"],
): { value: Tensor; pulls: Tensor[] } {
  const rows = ({ shape }: Tensor, data: Float32Array): { data: Float32Array; shape: number[] } => ({
    data,
    shape,
  });
  const result = softmaxDivergenceOfArrays(
    rows(student, student.dataSync<"float32">()),
    rows(teacher, teacher.dataSync<"float32">()),
    options,
  );
  onBackend?.(result.backend);
  const pulls = [
    ...(result.gradients.student ? [tensor(result.gradients.student, student.shape)] : []),
    ...(result.gradients.teacher ? [tensor(result.gradients.teacher, teacher.shape)] : []),
  ];
  const value = result.values
    ? tensor(Float32Array.from(result.values), student.shape.slice(0, -1))
    : tensor([result.value as number], []);
  return { value, pulls };
}

// dy has the shape of the value: a scalar, or the leading axes, which then lack the last one.
function perRow(dy: Tensor): Tensor {
  return dy.rank === 0 ? dy : expandDims(dy, -1);
}
