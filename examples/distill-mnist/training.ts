// Trains the teacher, and then a pair of students that differ in nothing but their loss.
import * as tf from "@tensorflow/tfjs-core";
import { softmaxDivergence } from "kullback/tfjs";
import { setImmediate } from "node:timers/promises";
import { drawBatch, pickPerDigit, seededRandom } from "./data.js";
import type { Digits, TestSet } from "./data.js";
import { createNetwork, logitsOf, testAccuracy } from "./networks.js";
import type { Network } from "./networks.js";
import type { Settings, TrainingPlan } from "./settings.js";

export interface CurvePoint {
  step: number;
  accuracy: number;
}

export interface StudentCurves {
  seed: number;
  labelsOnly: CurvePoint[];
  distilled: CurvePoint[];
}

interface Learner {
  network: Network;
  optimizer: tf.MomentumOptimizer;
}

const curvePoints = 12;

/** Hinton et al. (2015): mean over rows of KL(teacher ‖ student) between the softened softmaxes, times T². */
export function distillationLoss(student: tf.Tensor2D, teacher: tf.Tensor2D, temperature: number): tf.Scalar {
  return softmaxDivergence(student, teacher, {
    divergence: "forwardKl",
    temperature,
    temperatureScaling: "squared",
    reduction: "mean",
  }) as tf.Scalar;
}

export async function trainTeacher(
  plan: TrainingPlan,
  digits: Digits,
  onStep: (step: number) => void,
  signal: AbortSignal,
): Promise<Network> {
  const random = seededRandom(0);
  const everyImage = [...digits.labels.keys()];
  const teacher = createLearner(plan, 0);
  for (let step = 1; step <= plan.steps; step++) {
    await pause(signal);
    const batch = drawBatch(digits, everyImage, plan, random);
    learn(teacher, plan, step, () => labelLoss(batch.labels, logitsOf(teacher.network, batch.images)));
    tf.dispose([batch.images, batch.labels]);
    onStep(step);
  }
  teacher.optimizer.dispose();
  return teacher.network;
}

/** Both students take every step together, so that images, shifts and order are the same by construction. */
export async function trainStudents(
  seed: number,
  settings: Settings,
  teacher: Network,
  data: { digits: Digits; test: TestSet },
  onStep: (step: number) => void,
  signal: AbortSignal,
): Promise<StudentCurves> {
  const plan = settings.student;
  const random = seededRandom(seed);
  const images = pickPerDigit(data.digits, settings.imagesPerDigit, random);
  const labelsOnly = createLearner(plan, seed);
  const distilled = createLearner(plan, seed);
  const curves: StudentCurves = { seed, labelsOnly: [], distilled: [] };
  const measured = stepsToMeasure(plan.steps);
  for (let step = 1; step <= plan.steps; step++) {
    await pause(signal);
    const batch = drawBatch(data.digits, images, plan, random);
    const teacherLogits = tf.tidy(() => logitsOf(teacher, batch.images));
    learn(labelsOnly, plan, step, () => labelLoss(batch.labels, logitsOf(labelsOnly.network, batch.images)));
    learn(distilled, plan, step, () =>
      distillationLoss(logitsOf(distilled.network, batch.images), teacherLogits, settings.temperature),
    );
    tf.dispose([batch.images, batch.labels, teacherLogits]);
    if (measured.has(step)) {
      curves.labelsOnly.push({ step, accuracy: testAccuracy(labelsOnly.network, data.test) });
      curves.distilled.push({ step, accuracy: testAccuracy(distilled.network, data.test) });
    }
    onStep(step);
  }
  for (const learner of [labelsOnly, distilled]) {
    learner.optimizer.dispose();
    learner.network.dispose();
  }
  return curves;
}

function createLearner(plan: TrainingPlan, seed: number): Learner {
  return {
    network: createNetwork(plan.hiddenUnits, seed),
    optimizer: tf.train.momentum(plan.learningRate, 0.9),
  };
}

function learn({ optimizer }: Learner, plan: TrainingPlan, step: number, loss: () => tf.Scalar): void {
  const remaining = (plan.steps - step + 1) / plan.steps;
  optimizer.setLearningRate(plan.learningRate * Math.min(1, 2 * remaining));
  optimizer.minimize(loss);
}

function labelLoss(labels: tf.Tensor2D, logits: tf.Tensor2D): tf.Scalar {
  return tf.losses.softmaxCrossEntropy(labels, logits);
}

/** Closer together at the start, where a learning curve bends. The last step is always one of them. */
function stepsToMeasure(steps: number): Set<number> {
  const points = Array.from({ length: curvePoints }, (_, index) => ((index + 1) / curvePoints) ** 1.5);
  return new Set(points.map((fraction) => Math.max(1, Math.round(steps * fraction))));
}

/** Training never leaves the JavaScript thread; without this breath no Ctrl-C would be heard. */
async function pause(signal: AbortSignal): Promise<void> {
  await setImmediate();
  signal.throwIfAborted();
}
