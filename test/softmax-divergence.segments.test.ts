// Rows longer than a segment, whose segments differ as much as they can: values alone are merged out of segments, so
// they must agree with the values beside gradients, which are not, and with the reference.
import test from "ava";
import { softmaxDivergence, type SoftmaxDivergenceName } from "../lib/index.js";
import { arrayOf, inFloat64, normals, rowsOf } from "./cases.js";
import { close } from "./close.js";

const divergences: SoftmaxDivergenceName[] = ["forwardKl", "reverseKl", "crossEntropy"];
const columns = 17000;

/** One logit above all others, in the first or the last segment. */
const peaks: [title: string, student: [at: number, height: number], teacher: [at: number, height: number]][] =
  [
    ["a student that is sure, a teacher that is not", [0, 1000], [0, 0]],
    ["a teacher that is sure, a student that is not", [0, 0], [16999, 1000]],
    ["a student that is sure of one, a teacher that is sure of another", [0, 900], [16999, 800]],
    ["logits of 1e30", [0, 1e30], [0, 0]],
    ["logits of 1e30 in both", [10, 1e30], [12000, 1e30]],
    ["a peak of 12", [0, 12], [12000, 0.5]],
    ["peaks of 40, far apart", [1, 40], [16998, 40]],
  ];

for (const dtype of ["float32", "float64"] as const) {
  for (const [title, [studentAt, studentHeight], [teacherAt, teacherHeight]] of peaks) {
    test(`${dtype}: ${title}`, (t) => {
      const wave = (
        phase: number,
        at: number,
        height: number,
      ): { data: Float32Array | Float64Array; shape: number[] } => {
        const data = arrayOf(
          dtype,
          Array.from({ length: columns }, (_, i) => Math.sin(i + phase)),
        );
        data[at]! += height;
        return { data, shape: [1, columns] };
      };
      const student = wave(0, studentAt, studentHeight);
      const teacher = wave(1, teacherAt, teacherHeight);
      for (const divergence of divergences) {
        for (const temperature of [1, 3, { student: 2, teacher: 1.5 }]) {
          const options = { divergence, temperature };
          const alone = softmaxDivergence(student, teacher, options).value;
          const beside = softmaxDivergence(student, teacher, {
            ...options,
            gradients: ["student", "teacher"],
          }).value;
          const expected = softmaxDivergence(student, teacher, { ...options, backend: "reference" }).value;
          const tolerance = (dtype === "float32" ? 2e-6 : 1e-12) * expected;
          t.true(Number.isFinite(expected) && expected > 1e-3);
          t.true(Math.abs(alone - expected) <= tolerance, `${divergence} alone: ${alone} for ${expected}`);
          t.true(Math.abs(beside - expected) <= tolerance, `${divergence} beside: ${beside} for ${expected}`);
        }
      }
    });
  }
}

test("float32: many small terms beside a large one are not rounded away, and gradient rows sum to 0", (t) => {
  for (const length of [1000, 2048, 32000]) {
    const student = { data: new Float32Array(length), shape: [1, length] };
    const teacher = { data: new Float32Array(length), shape: [1, length] };
    student.data[0] = 12;
    for (const divergence of divergences) {
      const options = { divergence, gradients: ["student", "teacher"] } as const;
      const { value, gradients } = softmaxDivergence(student, teacher, options);
      const expected = softmaxDivergence(student, teacher, { divergence, backend: "reference" }).value;
      t.true(
        Math.abs(value - expected) <= 1e-6 * expected,
        `${divergence}, ${length}: ${value} for ${expected}`,
      );
      for (const side of ["student", "teacher"] as const) {
        const sum = Float64Array.from(gradients[side]).reduce((total, x) => total + x, 0);
        t.true(Math.abs(sum) <= 1e-6, `${divergence}, ${length}, ${side}: ${sum}`);
      }
    }
  }
});

/** Rows of several blocks and segments on which the value pass must think twice, and how exact it stays. */
const uneven: [title: string, relative: number, difference: (column: number, noise: number) => number][] = [
  // The pass starts from the difference of the maxima, which is column 0's, and says nothing of the others.
  ["flat rows that are near, but for the column of the maximum", 2e-6, (i) => (i === 0 ? 0.3 : 0)],
  // The pass takes a block for as near or far as the one before it.
  ["blocks far and near in turn", 2e-6, (i, noise) => ((i >> 10) % 2 === 0 ? noise : 1e-4 * noise)],
  ["a first block that is far, but weighs nothing", 1e-4, (i, noise) => (i < 1024 ? noise : 1e-4 * noise)],
  ["segments near in themselves, and far from each other", 2e-6, (i, noise) => (i >> 13) + 1e-4 * noise],
];
for (const [title, relative, difference] of uneven) {
  test(`float32: values keep their digits in ${title}`, (t) => {
    const normal = normals(5);
    const height = title.startsWith("flat") ? 0.01 : 1;
    const light = title.includes("weighs nothing") ? 30 : 0;
    const teacher = rowsOf(
      "float32",
      columns,
      Array.from(
        { length: columns },
        (_, i) => height * (normal() + (i === 0 ? 5 : 0)) - (i < 1024 ? light : 0),
      ),
    );
    const data = teacher.data.map((x, i) => x + difference(i, normal()));
    const student = { data, shape: teacher.shape };
    for (const divergence of ["forwardKl", "reverseKl"] as const) {
      const { value } = softmaxDivergence(student, teacher, { divergence });
      const expected = softmaxDivergence(inFloat64(student), inFloat64(teacher), {
        divergence,
        backend: "reference",
      }).value;
      t.log(`${divergence}: ${expected}, off by ${Math.abs(value / expected - 1)}`);
      close(t, value, expected, { relative, what: divergence });
    }
  });
}
