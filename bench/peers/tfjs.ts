// The peer within Node: the same loss written with TensorFlow.js operations, on its WebAssembly backend.
import "@tensorflow/tfjs-backend-wasm";
// Registers the gradients of the operations.
import "@tensorflow/tfjs-layers";
import * as tf from "@tensorflow/tfjs-core";

/** Makes the backend ready; false where it cannot run. */
export async function prepareTfjs(): Promise<boolean> {
  return (await tf.setBackend("wasm")) && tf.ready().then(() => true);
}

/** A function that computes value and gradient once; dispose of it when done. */
export function tfjsForwardKl(
  studentData: Float32Array,
  teacherData: Float32Array,
  rows: number,
  columns: number,
): { run: () => number; dispose: () => void } {
  const student = tf.tensor2d(studentData, [rows, columns]);
  const teacher = tf.tensor2d(teacherData, [rows, columns]);
  const loss = tf.valueAndGrad((logits: tf.Tensor) => {
    const logP = tf.logSoftmax(teacher);
    const terms = tf.mul(tf.exp(logP), tf.sub(logP, tf.logSoftmax(logits)));
    return tf.mean<tf.Scalar>(tf.sum(terms, -1));
  });
  return {
    run: () => {
      const { value, grad } = loss(student);
      const [number] = value.dataSync();
      tf.dispose([value, grad]);
      return number!;
    },
    dispose: () => tf.dispose([student, teacher]),
  };
}
