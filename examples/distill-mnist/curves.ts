// Draws the learning curves of both students, and the teacher's accuracy above them, as an SVG file.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { parse, View } from "vega";
import { compile } from "vega-lite";
import type { TopLevelSpec } from "vega-lite";
import type { CurvePoint, StudentCurves } from "./training.js";

interface Results {
  imagesPerDigit: number;
  teacherAccuracy: number;
  students: StudentCurves[];
}

interface Row extends CurvePoint {
  learner: string;
}

const labelsOnly = "labels alone";
const distilled = "distilled";
const teacher = "teacher";

export async function writeCurves(path: string, results: Results): Promise<void> {
  const view = new View(parse(compile(specification(results)).spec), { renderer: "none" });
  const svg = await view.toSVG();
  view.finalize();
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, svg);
}

function specification({ imagesPerDigit, teacherAccuracy, students }: Results): TopLevelSpec {
  const rows = students.flatMap((student) => [
    ...student.labelsOnly.map((point): Row => ({ ...point, learner: labelsOnly })),
    ...student.distilled.map((point): Row => ({ ...point, learner: distilled })),
  ]);
  const lastStep = Math.max(...rows.map((row) => row.step));
  const teacherRow: Row = { learner: teacher, step: lastStep, accuracy: teacherAccuracy };
  const spread =
    students.length === 1 ? "One seed." : `Mean, lowest and highest of ${students.length} seeds.`;
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v5.json",
    width: 600,
    height: 340,
    padding: 16,
    background: "white",
    title: {
      text: `MNIST from ${imagesPerDigit} images per digit: what the teacher's logits add`,
      subtitle: `${spread} Both students see the same images in the same order.`,
    },
    config: {
      font: "sans-serif",
      view: { stroke: null },
      title: { anchor: "start", fontSize: 15, subtitleFontSize: 12, subtitlePadding: 5, offset: 14 },
      axis: {
        labelFontSize: 12,
        titleFontSize: 12,
        titleFontWeight: "normal",
        titlePadding: 10,
        gridColor: "#e8e8e8",
      },
      text: { align: "left", dx: 8, fontSize: 13 },
    },
    layer: [
      { data: { values: rows }, ...bandOverSeeds },
      { data: { values: rows }, ...meanOverSeeds },
      { data: { values: rows.filter((row) => row.step === lastStep) }, ...nameAtTheEnd },
      { data: { values: [teacherRow] }, ...dashedRule },
      { data: { values: [teacherRow] }, ...nameAtTheEnd },
    ],
  };
}

const step = {
  field: "step",
  type: "quantitative",
  axis: { title: "training step", grid: false, tickCount: 8 },
} as const;
const accuracy = {
  field: "accuracy",
  type: "quantitative",
  scale: { zero: false },
  axis: { title: "accuracy on the 10,000 test images", format: ".0%", tickCount: 6 },
} as const;
const color = {
  field: "learner",
  type: "nominal",
  scale: { domain: [distilled, labelsOnly, teacher], range: ["#0072b2", "#d55e00", "#444444"] },
  legend: null,
} as const;

const bandOverSeeds = {
  mark: { type: "area", opacity: 0.2 },
  encoding: {
    x: step,
    y: { ...accuracy, aggregate: "min" },
    y2: { field: "accuracy", aggregate: "max" },
    color,
  },
} as const;
const meanOverSeeds = {
  mark: { type: "line", strokeWidth: 2, point: { size: 25 } },
  encoding: { x: step, y: { ...accuracy, aggregate: "mean" }, color },
} as const;
const dashedRule = {
  mark: { type: "rule", strokeDash: [6, 4] as number[] },
  encoding: { y: accuracy, color },
} as const;
/** Names beside the lines instead of a legend: no colour has to be looked up. */
const nameAtTheEnd = {
  mark: { type: "text" },
  encoding: { x: step, y: { ...accuracy, aggregate: "mean" }, text: { field: "learner" }, color },
} as const;
