// What one run consists of: sizes, steps and seeds, and the command line that changes them.
// Rates, temperature, shifts, the student's size and the image count were compared on 5,000 training images
// held out for that; neither other rates nor more steps helped the labels-only student.
import { parseArgs } from "node:util";

export interface Settings {
  /** A labels-only and a distilled student for each; fixes the images, their order and the first weights. */
  seeds: number[];
  teacher: TrainingPlan;
  student: TrainingPlan;
  /** The students see this many training images of each digit, and no others. */
  imagesPerDigit: number;
  /** Softens both softmaxes of the distillation loss. */
  temperature: number;
}

export interface TrainingPlan {
  hiddenUnits: number[];
  batchSize: number;
  steps: number;
  /** Each image is moved by up to this many pixels each way, the oldest augmentation for digits. */
  largestShift: number;
  /** Momentum descent starts at this rate; after half of the steps it falls linearly to zero. */
  learningRate: number;
}

const fullRun: Settings = {
  seeds: [1, 2, 3, 4, 5],
  teacher: { hiddenUnits: [400, 200], batchSize: 128, steps: 800, largestShift: 1, learningRate: 0.1 },
  student: { hiddenUnits: [128], batchSize: 64, steps: 400, largestShift: 2, learningRate: 0.1 },
  imagesPerDigit: 10,
  temperature: 8,
};

export const usage = `Usage: distill-mnist [--seeds N] [--quick] [--help]

Trains a teacher on all of MNIST, then students on ${fullRun.imagesPerDigit} images per digit: from their
labels alone, and from the teacher's logits with Kullback's fused divergence.

  --seeds N  students of each kind, seeded 1 to N (default ${fullRun.seeds.length})
  --quick    one seed and few steps: shows that everything works, not what distillation gains
  --help     this text`;

/** Null when help is asked for. Throws on an unknown flag, and on a seed count outside 1 to 100. */
export function settingsFromCommandLine(): Settings | null {
  const { values } = parseArgs({
    options: { seeds: { type: "string" }, quick: { type: "boolean" }, help: { type: "boolean", short: "h" } },
  });
  if (values.help) return null;
  const base = values.quick ? quickened(fullRun) : fullRun;
  if (values.seeds === undefined) return base;

  const count = Number(values.seeds);
  if (!Number.isInteger(count) || count < 1 || count > 100) {
    throw new RangeError(`--seeds must be a whole number from 1 to 100, not "${values.seeds}".`);
  }
  return { ...base, seeds: Array.from({ length: count }, (_, index) => index + 1) };
}

function quickened(full: Settings): Settings {
  return {
    ...full,
    seeds: [1],
    teacher: { ...full.teacher, steps: 150 },
    student: { ...full.student, steps: 100 },
  };
}
