// Starts TensorFlow.js on its WebAssembly backend, and makes the matrix products of training fast there.
import * as tf from "@tensorflow/tfjs-core";
import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import "@tensorflow/tfjs-backend-wasm";

export async function startTensorFlow(): Promise<void> {
  if (!(await tf.setBackend("wasm"))) throw new Error("TensorFlow.js could not start its wasm backend.");
  transposeBeforeMultiplying();
}

/**
 * The wasm backend multiplies plain matrices with XNNPACK, but takes three nested loops where a factor is to be
 * transposed, as in every dense layer's backward pass. Transposing first is ten times faster.
 */
function transposeBeforeMultiplying(): void {
  const multiply = tf.getKernel("BatchMatMul", "wasm");
  const transpose = tf.getKernel("Transpose", "wasm");
  tf.unregisterKernel("BatchMatMul", "wasm");
  tf.registerKernel({
    ...multiply,
    kernelFunc: ({ inputs, attrs, backend }) => {
      const { a, b } = inputs as { a: tf.TensorInfo; b: tf.TensorInfo };
      const transposed: tf.TensorInfo[] = [];
      const plain = (factor: tf.TensorInfo, isTransposed: unknown): tf.TensorInfo => {
        if (!isTransposed) return factor;
        const lastAxis = factor.shape.length - 1;
        const perm = [...factor.shape.keys()].toSpliced(lastAxis - 1, 2, lastAxis, lastAxis - 1);
        const result = transpose.kernelFunc({ inputs: { x: factor }, attrs: { perm }, backend });
        transposed.push(result as tf.TensorInfo);
        return result as tf.TensorInfo;
      };
      const product = multiply.kernelFunc({
        inputs: { a: plain(a, attrs?.transposeA), b: plain(b, attrs?.transposeB) },
        attrs: { transposeA: false, transposeB: false },
        backend,
      });
      for (const { dataId } of transposed) (backend as Pick<BackendWasm, "disposeData">).disposeData(dataId);
      return product;
    },
  });
}
