// The two networks, teacher and student: plain multilayer perceptrons from pixels to ten logits.
import * as tf from "@tensorflow/tfjs-core";
import { initializers, layers, sequential } from "@tensorflow/tfjs-layers";
import type { Sequential } from "@tensorflow/tfjs-layers";
import { digitCount, pixelsPerImage } from "./data.js";
import type { TestSet } from "./data.js";

export type Network = Sequential;

/** Equal hidden units and seed give equal initial weights. */
export function createNetwork(hiddenUnits: number[], seed: number): Network {
  const network = sequential();
  // Never 0, which TensorFlow.js takes for "no seed".
  const initializer = (layer: number) => initializers.heNormal({ seed: 1000 * seed + layer + 1 });
  for (const [layer, units] of hiddenUnits.entries()) {
    const input = layer === 0 ? { inputShape: [pixelsPerImage] } : {};
    network.add(layers.dense({ units, activation: "relu", kernelInitializer: initializer(layer), ...input }));
  }
  network.add(layers.dense({ units: digitCount, kernelInitializer: initializer(hiddenUnits.length) }));
  return network;
}

/** Logits [batch, 10], before any softmax. */
export function logitsOf(network: Network, images: tf.Tensor2D): tf.Tensor2D {
  return network.apply(images, { training: true }) as tf.Tensor2D;
}

/** The fraction of test images whose largest logit is the right one. */
export function testAccuracy(network: Network, test: TestSet): number {
  return tf.tidy(() => {
    const guesses = tf.argMax(logitsOf(network, test.images), 1);
    const right = tf.sum(tf.cast(tf.equal(guesses, test.labels), "int32"));
    return (right.dataSync()[0] as number) / test.labels.size;
  });
}
