// softmaxDivergence against itself: what must hold between two calls, whatever the numbers are.
import test from "ava";
import { softmaxDivergence, type NumericArray, type Rows } from "../lib/index.js";
import {
  agreement,
  agreementOf,
  choices,
  everything,
  implementations,
  logitPair,
  named,
  normals,
  quadratic,
  rowsOf,
  sides,
} from "./cases.js";
import { close, identical, vanishes, zeros } from "./close.js";

const temperatures = [1, 3, { student: 2, teacher: 1.5 }] as const;
const total = (numbers: NumericArray): number => Float64Array.from(numbers).reduce((sum, x) => sum + x, 0);
const mapRows = ({ data, shape }: Rows, f: (x: number, index: number) => number): Rows => ({
  data: data.map(f),
  shape,
});

/** Multiples of 1/256, to which float32 can still add 10000 without rounding. */
const onGrid = (rows: Rows): Rows => mapRows(rows, (x) => Math.round(x * 256) / 256);

for (const { backend, dtype, title } of implementations) {
  const relative = agreement[dtype];

  test(`${title}: the gradient of each row sums to 0`, (t) => {
    const bound = dtype === "float32" ? 1e-6 : 5e-14;
    for (const columns of [2, 17, 1025, 20000]) {
      const { student, teacher } = logitPair({ rows: 2, columns, dtype });
      for (const choice of choices) {
        for (const temperature of temperatures) {
          const { gradients } = softmaxDivergence(student, teacher, {
            ...everything,
            ...choice,
            temperature,
            backend,
          });
          for (const side of sides) {
            for (const row of [0, 1]) {
              const gradient = gradients[side].subarray(row * columns, (row + 1) * columns);
              const scale = total(gradient.map(Math.abs));
              vanishes(t, total(gradient), {
                bound: bound * Math.max(1, scale),
                scale,
                what: `${named(choice)} ${side}, ${columns} columns`,
              });
            }
          }
        }
      }
    }
  });

  for (const shift of [100, 1e4]) {
    test(`${title}: adding ${shift} to the logits changes nothing`, (t) => {
      const { student, teacher } = logitPair({ rows: 3, columns: 37, dtype });
      const plain = [onGrid(student), onGrid(teacher)] as const;
      const [up, down] = [(x: number) => x + shift, (x: number) => x - shift];
      const shifted = [
        [mapRows(plain[0], up), plain[1]],
        [plain[0], mapRows(plain[1], down)],
        [mapRows(plain[0], up), mapRows(plain[1], up)],
        [mapRows(plain[0], up), mapRows(plain[1], down)],
      ] as const;
      for (const choice of choices) {
        const relative = agreementOf(choice, dtype);
        for (const temperature of temperatures) {
          const options = { ...everything, ...choice, temperature, backend };
          const expected = softmaxDivergence(...plain, options);
          for (const pair of shifted) {
            const actual = softmaxDivergence(...pair, options);
            const what = `${named(choice)}, T ${JSON.stringify(temperature)}, version ${shifted.indexOf(pair)}`;
            close(t, actual.values, expected.values, { relative, group: 1, what });
            const alone = softmaxDivergence(...pair, { ...choice, temperature, reduction: "none", backend });
            close(t, alone.values, expected.values, { relative, group: 1, what: `${what}, alone` });
            for (const side of sides) {
              close(t, actual.gradients[side], expected.gradients[side], { relative, group: 37, what });
            }
          }
        }
      }
    });
  }

  test(`${title}: permuted columns permute the gradients`, (t) => {
    // 7 has no factor in common with 1040, so this is a permutation; the peak moves to another block.
    const columns = 1040;
    const { student, teacher } = logitPair({ rows: 1, columns, dtype });
    const from = (index: number): number => (index * 7 + 600) % columns;
    const permuted = (data: NumericArray): NumericArray =>
      data.map((_, index) => data[from(index)] as number);
    for (const choice of choices) {
      const options = { ...everything, ...choice, backend };
      const tolerance = { relative: agreementOf(choice, dtype), what: named(choice) };
      const expected = softmaxDivergence(student, teacher, options);
      const actual = softmaxDivergence(
        { ...student, data: permuted(student.data) },
        { ...teacher, data: permuted(teacher.data) },
        options,
      );
      close(t, actual.values, expected.values, tolerance);
      for (const side of sides) {
        close(t, actual.gradients[side], permuted(expected.gradients[side]), tolerance);
      }
    }
  });

  test(`${title}: a temperature T is the same as logits divided by T, with gradients divided by T`, (t) => {
    const { student, teacher } = logitPair({ rows: 3, columns: 33, dtype });
    // Powers of two: dividing the logits by them rounds nothing.
    for (const [studentTemperature, teacherTemperature] of [
      [4, 4],
      [0.5, 0.5],
      [2, 0.25],
    ] as const) {
      for (const choice of choices) {
        const options = { ...everything, ...choice, backend };
        const relative = agreementOf(choice, dtype);
        const expected = softmaxDivergence(
          mapRows(student, (x) => x / studentTemperature),
          mapRows(teacher, (x) => x / teacherTemperature),
          options,
        );
        const temperature = { student: studentTemperature, teacher: teacherTemperature };
        const actual = softmaxDivergence(student, teacher, { ...options, temperature });
        close(t, actual.values, expected.values, { relative, group: 1, what: named(choice) });
        for (const side of sides) {
          const slopes = expected.gradients[side].map((x) => x / temperature[side]);
          close(t, actual.gradients[side], slopes, { relative, what: `${named(choice)} ${side}` });
        }
      }
    }
  });

  test(`${title}: equal logits have divergence 0 and gradient 0, exactly`, (t) => {
    for (const columns of [1, 5, 16, 1025, 8193]) {
      const { teacher } = logitPair({ rows: 2, columns, dtype });
      for (const choice of choices.filter(({ divergence }) => divergence !== "crossEntropy")) {
        for (const temperature of [1, 3]) {
          const options = { ...everything, ...choice, temperature, backend };
          const { values, gradients } = softmaxDivergence(teacher, teacher, options);
          zeros(t, values, `${named(choice)}, ${columns} columns`);
          for (const side of sides) zeros(t, gradients[side], `${named(choice)} ${side}, ${columns} columns`);
        }
      }
    }
  });

  test(`${title}: the cross-entropy is forwardKl plus the teacher's entropy`, (t) => {
    for (const columns of [5, 1025]) {
      const { student, teacher } = logitPair({ rows: 4, columns, dtype });
      for (const temperature of temperatures) {
        const options = { ...everything, temperature, backend };
        const crossEntropy = softmaxDivergence(student, teacher, { ...options, divergence: "crossEntropy" });
        const forwardKl = softmaxDivergence(student, teacher, { ...options, divergence: "forwardKl" });
        const expected = forwardKl.values.map(
          (kl, row) => kl + (forwardKl.statistics.teacherEntropy[row] as number),
        );
        close(t, crossEntropy.values, expected, { relative, group: 1 });
        // The entropy does not depend on the student.
        close(t, crossEntropy.gradients.student, forwardKl.gradients.student, { relative, group: columns });
      }
    }
  });

  test(`${title}: reverseKl is forwardKl with the sides swapped, to the last bit`, (t) => {
    for (const columns of [5, 1025]) {
      const { student, teacher } = logitPair({ rows: 3, columns, dtype });
      const options = { ...everything, backend };
      const reverse = softmaxDivergence(student, teacher, {
        ...options,
        divergence: "reverseKl",
        temperature: { student: 2, teacher: 1.5 },
      });
      const forward = softmaxDivergence(teacher, student, {
        ...options,
        divergence: "forwardKl",
        temperature: { student: 1.5, teacher: 2 },
      });
      identical(t, reverse.values, forward.values);
      identical(t, reverse.gradients.student, forward.gradients.teacher);
      identical(t, reverse.gradients.teacher, forward.gradients.student);
      identical(t, reverse.statistics.studentEntropy, forward.statistics.teacherEntropy);
      identical(t, reverse.statistics.teacherLogSumExp, forward.statistics.studentLogSumExp);
    }
  });

  test(`${title}: a divergence is never negative, and falls with the square of the distance`, (t) => {
    for (const choice of quadratic) {
      let last = Infinity;
      for (const distance of [1, 1e-1, 1e-2, 1e-3, 1e-4]) {
        const { student, teacher } = logitPair({ rows: 8, columns: 333, dtype, distance });
        const { values } = softmaxDivergence(student, teacher, { ...choice, reduction: "none", backend });
        t.true(
          values.every((value) => value > 0),
          `${named(choice)} at ${distance}: ${values.join()}`,
        );
        t.true(total(values) < last / 30, `${named(choice)} at ${distance}: ${total(values)} after ${last}`);
        last = total(values);
      }
    }
  });
}

for (const { backend, dtype, title } of implementations) {
  test(`${title}: sides that differ by a constant and by roundings have a divergence of 0 or a little more, never less`, (t) => {
    const normal = normals(3);
    for (const columns of [1, 2, 3, 20]) {
      const rows = 500;
      const teacher = rowsOf(dtype, columns, Float64Array.from({ length: rows * columns }, normal));
      const student = mapRows(teacher, (x, i) => x + Math.sin(Math.floor(i / columns)));
      for (const choice of quadratic) {
        for (const gradients of [[], ["student"]] as const) {
          const { values } = softmaxDivergence(student, teacher, {
            ...choice,
            gradients,
            reduction: "none",
            backend,
          });
          t.true(
            values.every((value) => value >= 0 && value <= 1e-12),
            `${named(choice)}, ${columns} columns`,
          );
        }
      }
    }
  });
}
