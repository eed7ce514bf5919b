// What the example prints besides its progress: which backends run and why, and the tables of results.
import Table from "cli-table3";
import { backendInfo } from "kullback";
import { digitCount, pixelsPerImage } from "./data.js";
import type { LossTiming } from "./loss-timing.js";
import type { Settings } from "./settings.js";
import type { CurvePoint, StudentCurves } from "./training.js";

interface Spread {
  mean: number;
  /** Sample standard deviation; NaN for a single seed. */
  deviation: number;
}

/** No colours, so that a log reads like the terminal. */
const plainStyle = { head: [], border: [] };

/** The one place that reads Kullback's backend report. Throws if nothing can compute the loss. */
export function describeBackends(): string {
  const { selected, reason, cpu, cuda } = backendInfo();
  if (selected === null) throw new Error(reason);
  const processor =
    selected === "cuda" && cuda
      ? ` on ${cuda.device.name}`
      : selected === "cpu" && cpu
        ? `, ${cpu.instructionSet} on ${cpu.threads} threads`
        : "";
  return [
    `Loss:     Kullback's ${selected} backend${processor}; ${reason}`,
    "Networks: TensorFlow.js' wasm backend; the fastest that npm alone installs",
  ].join("\n");
}

/** Accuracies after the last step. */
export function lastAccuracies({ labelsOnly, distilled }: StudentCurves): {
  labelsOnly: number;
  distilled: number;
} {
  return { labelsOnly: accuracyAtTheEnd(labelsOnly), distilled: accuracyAtTheEnd(distilled) };
}

function accuracyAtTheEnd(curve: CurvePoint[]): number {
  return (curve.at(-1) as CurvePoint).accuracy;
}

export function accuracyTable(
  settings: Settings,
  teacherAccuracy: number,
  students: StudentCurves[],
): string {
  const pairs = students.map(lastAccuracies);
  const labelsOnly = spread(pairs.map((pair) => pair.labelsOnly));
  const distilled = spread(pairs.map((pair) => pair.distilled));
  const gain = spread(pairs.map((pair) => pair.distilled - pair.labelsOnly));
  const images = digitCount * settings.imagesPerDigit;
  const table = new Table({
    head: ["network", "learns from", "test accuracy"],
    colAligns: ["left", "left", "right"],
    style: plainStyle,
  });
  table.push(
    [layerSizes(settings.teacher.hiddenUnits), "60,000 images and their labels", percent(teacherAccuracy)],
    [
      layerSizes(settings.student.hiddenUnits),
      `${images} images and their labels`,
      percentSpread(labelsOnly),
    ],
    [
      layerSizes(settings.student.hiddenUnits),
      `the same ${images} images and the teacher's logits, no labels`,
      percentSpread(distilled),
    ],
    ["", "gain of distillation, seed by seed", percentSpread(gain, "points")],
  );
  return `${table.toString()}\n${accuracyFootnote(students.length)}`;
}

export function timingTable(timings: LossTiming[]): string {
  const table = new Table({
    head: ["value and gradient of the loss", "Kullback", "TensorFlow.js operations", "ratio"],
    colAligns: ["left", "right", "right", "right"],
    style: plainStyle,
  });
  for (const { rows, columns, fused, operations } of timings) {
    table.push([
      `${rows} rows of ${columns.toLocaleString("en")} logits`,
      `${fused.toFixed(3)} ms`,
      `${operations.toFixed(3)} ms`,
      `${(operations / fused).toFixed(1)} x`,
    ]);
  }
  return table.toString();
}

function accuracyFootnote(seeds: number): string {
  const means =
    seeds === 1 ? "One seed." : `Mean ± standard deviation over ${seeds} seeds of the students; one teacher.`;
  return `${means} Accuracy on all 10,000 test images.
The two students of a seed share images, order, shifts, steps and initial weights: only the loss differs.`;
}

export function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(2)} %`;
}

function percentSpread({ mean, deviation }: Spread, unit = "%"): string {
  const around = Number.isNaN(deviation) ? "" : ` ± ${(100 * deviation).toFixed(2)}`;
  return `${(100 * mean).toFixed(2)}${around} ${unit}`;
}

function spread(values: number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / (values.length - 1)) };
}

function layerSizes(hiddenUnits: number[]): string {
  return [pixelsPerImage, ...hiddenUnits, digitCount].join("-");
}
