// What the compiler must know of linearSoftmaxDivergence's and linearCrossEntropy's results. Compiled, never run.
import {
  linearCrossEntropy,
  linearSoftmaxDivergence,
  type DeviceArray,
  type LinearLogits,
  type Rows,
} from "../lib/index.js";

declare const narrow: LinearLogits<Float32Array>;
declare const wide: LinearLogits<Float64Array>;
declare const logits: Rows<Float32Array>;
declare const onDevice: Rows<DeviceArray<"float32">>;

declare function look(field: unknown): void;

export function results(): void {
  const mean: number = linearSoftmaxDivergence(narrow, logits).value;
  const each: Float64Array = linearSoftmaxDivergence(narrow, narrow, { reduction: "none" }).values;
  const { gradients } = linearSoftmaxDivergence(narrow, logits, { gradients: ["hidden", "weights"] });
  const hidden: Float32Array<ArrayBuffer> = gradients.hidden;
  // @ts-expect-error nobody asked for it
  look(gradients.bias);
  const { gradients: ofLabels } = linearCrossEntropy(wide, [1, 2], { gradients: ["bias"] });
  const bias: Float64Array<ArrayBuffer> = ofLabels.bias;
  // @ts-expect-error nobody asked for it
  look(ofLabels.hidden);
  look([mean, each, hidden, bias]);
}

export function refusals(): void {
  // @ts-expect-error both sides must have one element type
  linearSoftmaxDivergence(narrow, wide);
  // @ts-expect-error arrays must be the host's
  linearSoftmaxDivergence({ hidden: onDevice, weights: onDevice }, onDevice);
  // @ts-expect-error labels have one temperature
  linearCrossEntropy(narrow, [0], { temperature: { student: 1, teacher: 2 } });
  // @ts-expect-error labels have no divergence to choose
  linearCrossEntropy(narrow, [0], { divergence: "reverseKl" });
  // @ts-expect-error the teacher has no gradient
  linearSoftmaxDivergence(narrow, logits, { gradients: ["teacher"] });
}
