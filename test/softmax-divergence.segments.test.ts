// Rows longer than a segment, whose segments differ as much as they can: values alone are merged out of segments, so
// they must agree with the values beside gradients, which are not, and with the reference.
import test from "ava";
import { softmaxDivergence, type SoftmaxDivergenceName } from "../lib/index.js";
import { arrayOf } from "./cases.js";

const divergences: SoftmaxDivergenceName[] = ["forwardKl", "reverseKl", "crossEntropy"];
const columns = 5000;

/** One logit above all others, in the first or the last segment. */
const peaks: [title: string, student: [at: number, height: number], teacher: [at: number, height: number]][] =
  [
    ["a student that is sure, a teacher that is not", [0, 1000], [0, 0]],
    ["a teacher that is sure, a student that is not", [0, 0], [4999, 1000]],
    ["a student that is sure of one, a teacher that is sure of another", [0, 900], [4999, 800]],
    ["logits of 1e30", [0, 1e30], [0, 0]],
    ["logits of 1e30 in both", [10, 1e30], [4000, 1e30]],
    ["a peak of 12", [0, 12], [4000, 0.5]],
    ["peaks of 40, far apart", [1, 40], [4998, 40]],
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
