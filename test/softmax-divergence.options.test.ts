// What softmaxDivergence's options do to its value: reductions, weights, masks, scaling; and to nothing else.
import test from "ava";
import { softmaxDivergence } from "../lib/index.js";
import {
  agreement,
  agreementOf,
  choices,
  everything,
  implementations,
  logitPair,
  named,
  rowsOf,
  sides,
  statistics,
} from "./cases.js";
import { close, identical, zeros } from "./close.js";

const rows = 5;
const shape = { rows, columns: 21 };
const weights = [1, 0.25, -2, 3, 0.5];
const mask = [1, 0, 1, 1, 0] as const;
const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, x) => total + x, 0);

for (const { backend, dtype, title } of implementations) {
  const { student, teacher } = logitPair({ ...shape, dtype });
  const { values, gradients } = softmaxDivergence(student, teacher, { ...everything, backend });
  // Sums of float64 values; gradients are rounded to their element type after the factor instead of before.
  const relative = 1e-15;
  const rounding = dtype === "float32" ? 3e-7 : 1e-15;

  // Values alone are computed in another way than beside gradients: what is reduced from them, is reduced from these.
  const alone = softmaxDivergence(student, teacher, { reduction: "none", backend }).values;

  test(`${title}: sum adds the rows' values, mean divides that by their number, divisor by itself`, (t) => {
    const total = sum(alone);
    close(t, softmaxDivergence(student, teacher, { reduction: "sum", backend }).value, total, { relative });
    close(t, softmaxDivergence(student, teacher, { backend }).value, total / rows, { relative });
    close(t, softmaxDivergence(student, teacher, { divisor: 0.3, backend }).value, total / 0.3, { relative });
    const mean = softmaxDivergence(student, teacher, { gradients: sides, backend });
    for (const side of sides) {
      const expected = gradients[side].map((x) => x / rows);
      close(t, mean.gradients[side], expected, { relative: rounding, group: 21, what: side });
    }
  });

  test(`${title}: row weights multiply values and gradients, and do not change what a mean divides by`, (t) => {
    const weighted = softmaxDivergence(student, teacher, { ...everything, rowWeights: weights, backend });
    const expected = values.map((value, row) => value * (weights[row] as number));
    close(t, weighted.values, expected, { relative, group: 1 });
    for (const side of sides) {
      const slopes = gradients[side].map((x, i) => x * (weights[Math.floor(i / 21)] as number));
      close(t, weighted.gradients[side], slopes, { relative: rounding, group: 21, what: side });
    }
    const mean = softmaxDivergence(student, teacher, { rowWeights: Float32Array.from(weights), backend });
    const products = alone.map((value, row) => value * (weights[row] as number));
    close(t, mean.value, sum(products) / rows, { relative });
  });

  test(`${title}: a mean divides by the rows that the mask leaves in`, (t) => {
    const expected = sum(alone.filter((_, row) => mask[row] === 1));
    for (const rowMask of [mask, Uint8Array.from(mask), mask.map((m) => m === 1)]) {
      close(t, softmaxDivergence(student, teacher, { rowMask, backend }).value, expected / 3, { relative });
    }
    const divided = softmaxDivergence(student, teacher, { rowMask: mask, divisor: 2, backend });
    close(t, divided.value, expected / 2, { relative });
  });

  test(`${title}: a masked row has value, gradients and statistics 0, and the others are as without a mask`, (t) => {
    const plain = softmaxDivergence(student, teacher, { ...everything, backend });
    const masked = softmaxDivergence(student, teacher, { ...everything, rowMask: mask, backend });
    const pairs: [string, number, ArrayLike<number>, ArrayLike<number>][] = [
      ["values", 1, masked.values, plain.values],
    ];
    for (const side of sides) pairs.push([side, 21, masked.gradients[side], plain.gradients[side]]);
    for (const [name, statistic] of Object.entries(masked.statistics)) {
      pairs.push([name, 1, statistic, plain.statistics[name as keyof typeof plain.statistics]]);
    }
    t.is(pairs.length, 8);
    for (const [name, width, actual, unmasked] of pairs) {
      for (let row = 0; row < rows; row++) {
        const [ofRow, expected] = [actual, unmasked].map((all) =>
          Array.from(all).slice(row * width, (row + 1) * width),
        ) as [number[], number[]];
        if (mask[row] === 0) zeros(t, ofRow, `${name}, row ${row}`);
        else identical(t, ofRow, expected, `${name}, row ${row}`);
      }
    }
  });

  test(`${title}: squared temperature scaling multiplies by the product of the temperatures`, (t) => {
    for (const [temperature, factor] of [
      [3, 9],
      [{ student: 2, teacher: 0.75 }, 1.5],
    ] as const) {
      for (const choice of choices) {
        const options = { ...everything, ...choice, temperature, backend };
        const plain = softmaxDivergence(student, teacher, options);
        const squared = softmaxDivergence(student, teacher, { ...options, temperatureScaling: "squared" });
        close(
          t,
          squared.values,
          plain.values.map((x) => x * factor),
          { relative, group: 1 },
        );
        for (const side of sides) {
          const expected = plain.gradients[side].map((x) => x * factor);
          // The factor may come in before a mean is taken away, and round both.
          const tolerance = { relative: 2 * rounding, what: `${named(choice)} ${side}` };
          close(t, squared.gradients[side], expected, tolerance);
        }
      }
    }
  });

  test(`${title}: gradOutput multiplies gradients and leaves values alone`, (t) => {
    const scaled = softmaxDivergence(student, teacher, { ...everything, gradOutput: weights, backend });
    identical(t, scaled.values, values);
    const doubled = softmaxDivergence(student, teacher, { ...everything, gradOutput: 2, backend });
    identical(t, doubled.values, values);
    for (const side of sides) {
      const expected = gradients[side].map((x, i) => x * (weights[Math.floor(i / 21)] as number));
      close(t, scaled.gradients[side], expected, { relative: rounding, group: 21, what: side });
      identical(
        t,
        doubled.gradients[side],
        gradients[side].map((x) => 2 * x),
        side,
      );
    }
  });

  test(`${title}: the result has what was asked for, and that does not depend on what else was`, (t) => {
    for (const choice of choices) {
      const all = softmaxDivergence(student, teacher, { ...everything, ...choice, backend });
      const value = softmaxDivergence(student, teacher, { reduction: "none", ...choice, backend });
      t.deepEqual(Object.keys(value).sort(), ["backend", "gradients", "statistics", "values"]);
      t.deepEqual([value.gradients, value.statistics], [{}, {}]);
      // Without gradients the value may be summed in another order.
      const tolerance = { relative: agreementOf(choice, dtype), group: 1, what: named(choice) };
      close(t, value.values, all.values, tolerance);
      for (const side of sides) {
        const one = softmaxDivergence(student, teacher, {
          reduction: "none",
          ...choice,
          gradients: [side],
          backend,
        });
        t.deepEqual(Object.keys(one.gradients), [side]);
        // The other side's gradient lends its memory to the exponentials; lent or not, the numbers are the same.
        identical(t, one.gradients[side]!, all.gradients[side], `${named(choice)} ${side}`);
        identical(t, one.values, all.values, `${named(choice)} ${side}`);
      }
      for (const name of statistics) {
        const one = softmaxDivergence(student, teacher, {
          reduction: "none",
          ...choice,
          statistics: [name],
          backend,
        });
        t.deepEqual(Object.keys(one.statistics), [name]);
        const expected = all.statistics[name];
        if (name === "argmaxAgreement") t.deepEqual(one.statistics[name], expected);
        else close(t, one.statistics[name]!, expected, { relative: agreement[dtype], group: 1, what: name });
      }
    }
  });
}

test("argmaxAgreement is 1 where both sides have their first maximum in the same column", (t) => {
  for (const { backend, dtype } of implementations) {
    const columns = 2100;
    const peaks = [
      [7, 7, 1],
      [7, 1500, 0],
      [2099, 2099, 1],
      [1023, 1024, 0],
    ] as const;
    const logits = (side: 0 | 1): number[] =>
      peaks.flatMap((peak) =>
        Array.from({ length: columns }, (_, i) => (i === peak[side] ? 3 : Math.sin(i))),
      );
    const student = rowsOf(dtype, columns, logits(0));
    // Equal maxima further on do not count: the first does.
    const teacher = rowsOf(dtype, columns, logits(1));
    student.data[1501] = 3;
    teacher.data[1100] = 3;
    const result = softmaxDivergence(student, teacher, { statistics: ["argmaxAgreement"], backend });
    t.deepEqual(
      [...result.statistics.argmaxAgreement],
      peaks.map(([, , agree]) => agree),
      `${backend} ${dtype}`,
    );
  }
});
