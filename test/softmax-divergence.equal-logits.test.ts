// Rows on which roundings do not cancel: where most logits are equal, as under smoothed labels or an untrained head, all
// of them are rounded alike, and every sum shows it. The bounds are those of softmax-divergence.error-bound.test.ts.
import test from "ava";
import { backendInfo, softmaxDivergence } from "../lib/index.js";
import { inFloat64, nativeBackends, normals, rowsOf, sides } from "./cases.js";
import { close } from "./close.js";

/** A column that stands out of equal ones, by how much on either side: the student's and the teacher's. */
const spikes = {
  "the student is uniform": (height: number) => [0, height],
  "the student is a step behind": (height: number) => [height - 1, height],
  "the student is half as sure": (height: number) => [height / 2, height],
} as const;

for (const backend of nativeBackends) {
  // The baseline rounds the exponent of each exponential, for want of a fused multiply-add.
  const baseline = backend === "cpu" && backendInfo().cpu?.instructionSet === "baseline";
  const relative = baseline ? 4e-6 : 2e-6;

  for (const [name, heights] of Object.entries(spikes)) {
    test(`${backend} float32: values and gradients keep their bounds among equal logits where ${name}`, (t) => {
      const largest = { value: 0, alone: 0, gradient: 0 };
      for (const columns of [10, 100, 512, 657, 1000, 8192, 10000]) {
        const rows = columns > 5000 ? 12 : 40;
        const row = (side: 0 | 1, rest: number) =>
          rowsOf(
            "float32",
            columns,
            Float64Array.from({ length: rows * columns }, (_, i) =>
              i % columns === 0 ? (heights(0.5 + (21 * i) / (rows * columns))[side] as number) : rest,
            ),
          );
        const [student, teacher] = [row(0, 0.11), row(1, -0.37)];
        for (const divergence of ["forwardKl", "reverseKl"] as const) {
          const side = divergence === "forwardKl" ? "student" : "teacher";
          const options = { divergence, reduction: "none", gradients: sides } as const;
          const expected = softmaxDivergence(inFloat64(student), inFloat64(teacher), {
            ...options,
            backend: "reference",
          });
          const actual = softmaxDivergence(student, teacher, { ...options, backend });
          const alone = softmaxDivergence(student, teacher, { divergence, reduction: "none", backend });
          for (let r = 0; r < rows; r++) {
            const what = `${divergence}, ${columns} columns, row ${r}`;
            const value = expected.values[r] as number;
            if (value < 1e-3) continue;
            const bound = { relative, what };
            largest.value = Math.max(largest.value, close(t, actual.values[r] as number, value, bound));
            largest.alone = Math.max(largest.alone, close(t, alone.values[r] as number, value, bound));
            const [begin, end] = [r * columns, (r + 1) * columns];
            const gradient = expected.gradients[side].subarray(begin, end);
            const error = close(t, actual.gradients[side].subarray(begin, end), gradient, bound);
            largest.gradient = Math.max(largest.gradient, error);
          }
        }
      }
      t.log(Object.entries(largest).map(([what, error]) => `${what} ${error.toExponential(1)}`));
    });
  }

  test(`${backend} float32: a small constant between sides that hardly differ costs the gradient no digits`, (t) => {
    const normal = normals(14);
    for (const [columns, shift, distance, temperature] of [
      [200, 0.06, 1e-4, 1],
      [8, 3, 1e-3, 100],
    ] as const) {
      const teacher = rowsOf(
        "float32",
        columns,
        Float64Array.from({ length: columns }, () => 2 * normal()),
      );
      const student = {
        data: teacher.data.map((x) => x + shift + temperature * distance * normal()),
        shape: teacher.shape,
      };
      const options = { temperature, gradients: sides } as const;
      const expected = softmaxDivergence(inFloat64(student), inFloat64(teacher), {
        ...options,
        backend: "reference",
      });
      const actual = softmaxDivergence(student, teacher, { ...options, backend });
      for (const side of sides) {
        const tolerance = { relative: 2e-6, what: `${columns} columns, shift ${shift}, ${side}` };
        close(t, actual.gradients[side], expected.gradients[side], tolerance);
      }
    }
  });

  test(`${backend} float64: a large constant between the sides costs no digits`, (t) => {
    for (const shift of [1e4, 1e6]) {
      const base = [0.1, 1.7, 2.2];
      const student = { data: Float64Array.from(base, (x) => x + shift), shape: [1, 3] };
      // What the sum was rounded by belongs to the student.
      const exact = { data: student.data.map((x) => x - shift), shape: [1, 3] };
      const teacher = { data: Float64Array.of(0.1, 0.9, 2.9), shape: [1, 3] };
      for (const divergence of ["forwardKl", "reverseKl"] as const) {
        const { value } = softmaxDivergence(exact, teacher, { divergence, backend: "reference" });
        const options = { divergence, backend } as const;
        const what = `${divergence}, shift ${shift}`;
        close(t, softmaxDivergence(student, teacher, options).value, value, { relative: 1e-13, what });
        const both = softmaxDivergence(student, teacher, { ...options, gradients: sides });
        close(t, both.value, value, { relative: 1e-13, what });
      }
    }
  });

  test(`${backend} float32: temperatures that differ by less than float32 knows are two temperatures`, (t) => {
    if (baseline) return t.pass();
    const temperature = { student: 1, teacher: 1.00000002 };
    const teacher = rowsOf(
      "float32",
      200,
      Float64Array.from({ length: 200 }, (_, i) => 6 * Math.sin(1.7 * i)),
    );
    const student = { data: teacher.data.map((x) => x * (1 + 1e-4)), shape: teacher.shape };
    const { value } = softmaxDivergence(inFloat64(student), inFloat64(teacher), {
      temperature,
      backend: "reference",
    });
    const actual = softmaxDivergence(student, teacher, { temperature, backend });
    close(t, actual.value, value, { relative: 1e-4, what: `${value}` });
  });
}
