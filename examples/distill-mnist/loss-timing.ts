// Milliseconds for value and gradient of one loss: fused by Kullback, and written with tfjs operations.
import * as tf from "@tensorflow/tfjs-core";
import { randomNormal } from "d3-random";
import { seededRandom } from "./data.js";
import { distillationLoss } from "./training.js";

export interface LossTiming {
  rows: number;
  columns: number;
  /** Medians, in milliseconds. */
  fused: number;
  operations: number;
}

type Loss = (student: tf.Tensor2D) => tf.Scalar;

const rounds = 41;
/** Float32 sums over up to 32,000 columns, in two different orders. */
const agreement = 1e-4;

/** The same loss as a TensorFlow.js user writes it: mean over rows of KL(teacher ‖ student), times T². */
export function operationsLoss(student: tf.Tensor2D, teacher: tf.Tensor2D, temperature: number): tf.Scalar {
  const studentLogProbabilities = tf.logSoftmax(tf.div(student, temperature));
  const teacherLogProbabilities = tf.logSoftmax(tf.div(teacher, temperature));
  const difference = tf.sub(teacherLogProbabilities, studentLogProbabilities);
  const divergence = tf.sum(tf.mul(tf.exp(teacherLogProbabilities), difference), 1);
  return tf.mul(temperature ** 2, tf.mean(divergence));
}

/** Times both on the same tensors, in turns: a busy machine slows both. Throws if their answers differ. */
export function timeLoss(rows: number, columns: number, temperature: number): LossTiming {
  const student = randomLogits(rows, columns, 1);
  const teacher = randomLogits(rows, columns, 2);
  const fused: Loss = (logits) => distillationLoss(logits, teacher, temperature);
  const operations: Loss = (logits) => operationsLoss(logits, teacher, temperature);
  requireAgreement(student, fused, operations);

  const times = { fused: [] as number[], operations: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    times.fused.push(timeOnce(student, fused));
    times.operations.push(timeOnce(student, operations));
  }
  tf.dispose([student, teacher]);
  return { rows, columns, fused: median(times.fused), operations: median(times.operations) };
}

function randomLogits(rows: number, columns: number, seed: number): tf.Tensor2D {
  const draw = randomNormal.source(seededRandom(seed))(0, 3);
  return tf.tensor2d(Float32Array.from({ length: rows * columns }, draw), [rows, columns]);
}

function timeOnce(student: tf.Tensor2D, loss: Loss): number {
  const start = performance.now();
  // The wasm backend computes at once, so there is nothing to wait for or to read back.
  const { value, grad } = tf.valueAndGrad(loss)(student);
  const elapsed = performance.now() - start;
  tf.dispose([value, grad]);
  return elapsed;
}

function requireAgreement(student: tf.Tensor2D, fused: Loss, operations: Loss): void {
  const difference = tf.tidy(() => {
    const one = tf.valueAndGrad(fused)(student);
    const other = tf.valueAndGrad(operations)(student);
    const relative = (actual: tf.Tensor, expected: tf.Tensor) =>
      tf.div(tf.max(tf.abs(tf.sub(actual, expected))), tf.max(tf.abs(expected))).dataSync()[0] as number;
    return Math.max(relative(one.value, other.value), relative(one.grad, other.grad));
  });
  // Not "difference > agreement": a NaN must fail too.
  if (!(difference <= agreement)) {
    throw new Error(
      `Fused loss and TensorFlow.js operations differ by ${difference}, more than ${agreement}.`,
    );
  }
}

function median(times: number[]): number {
  return times.toSorted((left, right) => left - right)[times.length >> 1] as number;
}
