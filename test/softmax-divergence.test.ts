// softmaxDivergence against answers that are known without it: closed forms, and 40 decimal digits. The sections that
// follow have files of their own: identities, gradient, error-bound, edges, layout, determinism, errors, fuzz.
import test from "ava";
import { softmaxDivergence } from "../lib/index.js";
import {
  agreement,
  agreementOf,
  backends,
  choices,
  everything,
  implementations,
  logitPair,
  named,
  rowsOf,
  sides,
  statistics,
} from "./cases.js";
import { close, vanishes, zeros } from "./close.js";
import { exactDivergence } from "./oracle.js";

// Logits from probabilities: any constant may be added to them.
const logits = (...probabilities: number[]): number[] => probabilities.map((p) => Math.log(p) + 0.75);

for (const { backend, dtype, title } of implementations) {
  const relative = agreement[dtype];

  test(`${title}: p = (0.1, 0.9) and q = (0.9, 0.1) are 0.8 log 9 apart, both ways`, (t) => {
    const teacher = rowsOf(dtype, 2, logits(0.1, 0.9));
    const student = rowsOf(dtype, 2, logits(0.9, 0.1));
    for (const divergence of ["forwardKl", "reverseKl"] as const) {
      const { value, gradients } = softmaxDivergence(student, teacher, {
        divergence,
        gradients: sides,
        backend,
      });
      close(t, value, 1.7577796618689758, { relative, what: divergence });
      // q - p, and a (log(a / b) - KL) with a = 0.1, log(a / b) = -log 9.
      const [pulled, centred] = divergence === "forwardKl" ? sides : (["teacher", "student"] as const);
      const sign = divergence === "forwardKl" ? 1 : -1;
      close(t, gradients[pulled], [0.8 * sign, -0.8 * sign], { relative, what: `${divergence} ${pulled}` });
      const slope = 0.18 * Math.log(9) * sign;
      close(t, gradients[centred], [-slope, slope], { relative, what: `${divergence} ${centred}` });
    }
  });

  test(`${title}: the cross-entropy of a uniform student is log V, whatever the teacher`, (t) => {
    const { student, teacher } = logitPair({ rows: 3, columns: 50, dtype });
    const uniform = { ...student, data: student.data.map(() => -7.25) };
    const { values } = softmaxDivergence(uniform, teacher, {
      divergence: "crossEntropy",
      reduction: "none",
      backend,
    });
    close(t, values, [Math.log(50), Math.log(50), Math.log(50)], { relative, group: 1 });
  });

  test(`${title}: uniform against uniform is exactly 0, with entropy log V`, (t) => {
    const student = rowsOf(dtype, 50, new Array<number>(100).fill(3));
    const teacher = rowsOf(dtype, 50, new Array<number>(100).fill(-4));
    for (const divergence of ["forwardKl", "reverseKl"] as const) {
      const result = softmaxDivergence(student, teacher, { ...everything, divergence, backend });
      zeros(t, result.values, divergence);
      for (const side of sides) zeros(t, result.gradients[side], `${divergence} ${side}`);
      close(t, result.statistics.studentEntropy, [Math.log(50), Math.log(50)], { relative, group: 1 });
    }
  });

  test(`${title}: a one-hot teacher makes both forwardKl and crossEntropy minus the log-probability of its column`, (t) => {
    const teacher = rowsOf(dtype, 3, [-Infinity, 0, -Infinity]);
    const student = rowsOf(dtype, 3, logits(0.2, 0.3, 0.5));
    for (const divergence of ["forwardKl", "crossEntropy"] as const) {
      const { value, gradients } = softmaxDivergence(student, teacher, {
        divergence,
        gradients: sides,
        backend,
      });
      close(t, value, -Math.log(0.3), { relative, what: divergence });
      close(t, gradients.student, [0.2, -0.7, 0.5], { relative, what: divergence });
      // The one column that weighs scores exactly the mean, but for its rounding.
      for (const slope of gradients.teacher)
        vanishes(t, slope, { bound: relative, scale: 1, what: divergence });
    }
  });

  test(`${title}: the statistics of (1/2, 1/4, 1/4) are known`, (t) => {
    const student = rowsOf(dtype, 3, logits(0.5, 0.25, 0.25));
    const teacher = rowsOf(dtype, 3, logits(0.25, 0.25, 0.5));
    const result = softmaxDivergence(student, teacher, { statistics, backend }).statistics;
    const close1 = (actual: Float64Array, expected: number, what: string): unknown =>
      close(t, actual, [expected], { relative, what });
    close1(result.studentLogSumExp, 0.75, "log-sum-exp");
    close1(result.teacherEntropy, 1.5 * Math.LN2, "entropy");
    close1(result.studentEntropy, 1.5 * Math.LN2, "entropy");
    t.deepEqual([...result.argmaxAgreement], [0]);
  });
}

// 40 decimal digits, which leave 30 even where a divergence of 1e-9 is what remains of terms of size 1.

const temperatures = [
  { student: 1, teacher: 1 },
  { student: 3, teacher: 3 },
  { student: 2, teacher: 1.5 },
];

/** One row of each length, in all the ways that divergences and temperatures combine. */
const exactCases = [1, 1e-2, 1e-4].map((distance) => ({
  distance,
  rows: [2, 9, 33].flatMap((columns) => {
    const { student, teacher } = logitPair({ rows: 1, columns, dtype: "float64", distance });
    return choices.flatMap((choice) =>
      temperatures.map((temperature) => ({
        student,
        teacher,
        choice,
        options: { ...choice, temperature },
        exact: exactDivergence(choice, student.data, teacher.data, temperature.student, temperature.teacher),
        what: `${named(choice)}, ${columns} columns, T ${temperature.student} and ${temperature.teacher}`,
      })),
    );
  }),
}));

for (const backend of backends) {
  for (const { distance, rows } of exactCases) {
    test(`${backend} float64: values keep 13 digits, or 12 of a power of p / q, at distance ${distance}`, (t) => {
      for (const { student, teacher, choice, options, exact, what } of rows) {
        const { values } = softmaxDivergence(student, teacher, { ...everything, ...options, backend });
        const tolerance = {
          relative: agreementOf(choice, "float64"),
          // A sum of differences of probabilities themselves, not of their squares.
          absolute: choice.divergence === "totalVariation" ? 4 * 2 ** -53 : 0,
        };
        close(t, values, [exact.value], { ...tolerance, what });
        const alone = softmaxDivergence(student, teacher, { ...options, backend });
        close(t, alone.value, exact.value, { ...tolerance, what: `${what}, alone` });
      }
    });

    test(`${backend} float64: gradients and statistics are off by a few roundings at distance ${distance}`, (t) => {
      for (const { student, teacher, choice, options, exact, what } of rows) {
        const actual = softmaxDivergence(student, teacher, { ...everything, ...options, backend });
        // Differences of probabilities, so their error is relative to those: 4 roundings of a number below 1.
        const tolerance = { absolute: 4 * 2 ** -53, relative: agreementOf(choice, "float64") };
        close(t, actual.gradients.student, exact.studentGradient, { ...tolerance, what: `${what}, student` });
        close(t, actual.gradients.teacher, exact.teacherGradient, { ...tolerance, what: `${what}, teacher` });
        for (const name of statistics) {
          if (name === "argmaxAgreement") continue;
          const roundings = { relative: 2e-15, absolute: 4e-16, what: `${what}, ${name}` };
          close(t, actual.statistics[name], [exact[name]], roundings);
        }
      }
    });
  }
}
