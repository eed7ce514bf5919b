// softmaxDivergence where probabilities underflow, logits are huge, or temperatures are extreme: finite numbers all.
import test from "ava";
import { softmaxDivergence } from "../lib/index.js";
import {
  agreement,
  agreementOf,
  choices,
  everything,
  implementations,
  infiniteAt,
  named,
  rowsOf,
  sides,
  type Choice,
  type Dtype,
} from "./cases.js";
import { close, identical, zeros, type CloseOptions } from "./close.js";
import { exactDivergence } from "./oracle.js";

/** Logits that both element types hold exactly. */
const extremes: Record<string, [student: number[], teacher: number[]]> = {
  "point masses of 30 that agree": [
    [30, -30, 0, -30],
    [30, -30, 1, -29],
  ],
  "point masses of 30 that disagree": [
    [30, -30, 0, -30],
    [-30, 30, 1, -29],
  ],
  "point masses of 720 that disagree": [
    [720, 0, 3],
    [0, 720, 2],
  ],
  "point masses of 10000 that disagree": [
    [1e4, -1e4, 3, 4],
    [-1e4, 1e4, 2, 1],
  ],
  "log-probabilities of -95": [
    [0, -95, -1, -94],
    [0, -95.5, -1.5, -93],
  ],
  "log-probabilities of -110": [
    [0, -110, -1, -109],
    [0, -111, -1.5, -112],
  ],
  "a log-probability of -110 in the student alone": [
    [0, -110, -1],
    [0, -5, -1.5],
  ],
  "a log-probability of -110 in the teacher alone": [
    [0, -5, -1.5],
    [0, -110, -1],
  ],
  "log-probabilities beyond float64's": [
    [0, -800, -1],
    [0, -900, -1.5],
  ],
  "large common offsets": [
    [8192, 8193, 8190.5],
    [-4096, -4097, -4095.5],
  ],
};

/**
 * A cross-entropy near 0 is -log of nearly 1, and so has an absolute error. Below 1e-3, a divergence of float32 logits
 * keeps four digits (error-bound). A large power of p / q is the exponential of a number whose roundings grow with it.
 */
function toleranceOf(choice: Choice, value: number, dtype: Dtype, what: string): CloseOptions {
  const relative = dtype === "float32" && value < 1e-3 ? 1e-4 : agreementOf(choice, dtype);
  return {
    relative: powers(choice) ? relative * Math.max(1, Math.log(value)) : relative,
    absolute: choice.divergence === "crossEntropy" || choice.divergence === "totalVariation" ? 1e-15 : 0,
    what,
  };
}

/**
 * In float32 the sum of |p - q| is known within a rounding of the probabilities, whose digits a sum of squares of small
 * differences does not need.
 */
const rounding = 1e-7;

/** Sums of powers that are Infinity where a probability is 0, and near that where one is small. */
function powers(choice: Choice): boolean {
  return /hiSquared|alpha/.test(choice.divergence) && infiniteAt(choice).length > 0;
}

/** These and their logarithm. */
function ofPowers(choice: Choice): boolean {
  return powers(choice) || (choice.divergence === "renyi" && infiniteAt(choice).length > 0);
}

/** Beyond the numbers of the element type that its terms are computed in. */
function overflows(choice: Choice, value: number, dtype: Dtype): boolean {
  return powers(choice) && value > (dtype === "float32" ? 1e20 : 1e300);
}

for (const { backend, dtype, title } of implementations) {
  const relative = agreement[dtype];
  const run = (
    student: number[],
    teacher: number[],
    choice: Choice,
    temperature: number | { student: number; teacher: number } = 1,
  ) =>
    softmaxDivergence(rowsOf(dtype, student.length, student), rowsOf(dtype, teacher.length, teacher), {
      ...everything,
      ...choice,
      temperature,
      backend,
    });

  for (const [name, [student, teacher]] of Object.entries(extremes)) {
    test(`${title}: ${name}`, (t) => {
      for (const choice of choices) {
        const actual = run(student, teacher, choice);
        const exact = exactDivergence(choice, student, teacher);
        const relative = agreementOf(choice, dtype);
        const what = `${named(choice)}: ${actual.values[0]} for ${exact.value}`;
        const [one, other] = [rowsOf(dtype, student.length, student), rowsOf(dtype, teacher.length, teacher)];
        const alone = softmaxDivergence(one, other, { ...choice, backend });
        if (overflows(choice, exact.value, dtype)) {
          for (const value of [alone.value, actual.values[0]!]) t.true(value > 1e20, what);
          continue;
        }
        const tolerance = toleranceOf(choice, exact.value, dtype, what);
        if (choice.divergence === "totalVariation" && dtype === "float32" && exact.value < 10 * rounding) {
          for (const value of [alone.value, actual.values[0]!]) t.true(value >= 0 && value <= rounding, what);
        } else {
          close(t, actual.values, [exact.value], tolerance);
          close(t, alone.value, exact.value, { ...tolerance, what: `${what}, alone` });
        }
        for (const side of sides) {
          const expected = exact[`${side}Gradient`];
          const error = Math.max(
            ...expected.map((x, i) => Math.abs(x - (actual.gradients[side][i] as number))),
          );
          // Differences of probabilities of up to 1, times scores of up to the divergence.
          t.true(
            error <= Math.max(relative, tolerance.relative ?? 0) * Math.max(1, exact.value),
            `${what}, gradient of ${side}: off by ${error}`,
          );
        }
        close(t, actual.statistics.studentLogSumExp, [exact.studentLogSumExp], { relative, what });
        // -p log p keeps no digits of 1 - p: its error is absolute.
        const entropyError = Math.abs((actual.statistics.teacherEntropy[0] as number) - exact.teacherEntropy);
        t.true(entropyError <= relative, `${what}, entropy: off by ${entropyError}`);
      }
    });
  }

  test(`${title}: logits of 1e30 are a point mass`, (t) => {
    const [student, teacher] = [
      [1e30, -1e30, 0],
      [0, 1e30, 0],
    ];
    const forward = run(student, teacher, { divergence: "forwardKl" });
    close(t, forward.values, [2e30], { relative });
    identical(t, forward.gradients.student, [1, -1, 0]);
    zeros(t, forward.gradients.teacher);
    const reverse = run(student, teacher, { divergence: "reverseKl" });
    close(t, reverse.values, [1e30], { relative });
    zeros(t, reverse.gradients.student);
    identical(t, reverse.gradients.teacher, [-1, 1, 0]);
    zeros(t, run(student, student, { divergence: "forwardKl" }).values);
    // A third of 1e30 is rounded by more than any exponent.
    const cooler = run(student, teacher, { divergence: "forwardKl" }, 3);
    close(t, cooler.values, [2e30 / 3], { relative });
    close(t, cooler.gradients.student, [1 / 3, -1 / 3, 0], { relative });
    zeros(t, run(student, student, { divergence: "reverseKl" }, 3).values);
  });

  test(`${title}: temperatures from 1e-6 to 1000`, (t) => {
    const [student, teacher] = [
      [0.25, -1, 2, 0.5],
      [0.5, 0.75, 1.5, -1],
    ];
    for (const temperature of [1e-6, 1e-3, 0.03125, 32, 1e3]) {
      // Under the lowest, both probabilities of a column are 0, while the power of their ratio need not be.
      for (const choice of choices.filter((one) => temperature >= 32 || !ofPowers(one))) {
        const actual = run(student, teacher, choice, temperature);
        const exact = exactDivergence(choice, student, teacher, temperature, temperature);
        const what = `${named(choice)}, T ${temperature}: ${actual.values[0]} for ${exact.value}`;
        if (exact.value < 1e-37) t.true((actual.values[0] as number) <= exact.value, what);
        else close(t, actual.values, [exact.value], toleranceOf(choice, exact.value, dtype, what));
      }
    }
  });

  test(`${title}: a temperature of 1e-30 leaves the maximum alone, one of 1e30 nothing`, (t) => {
    const [student, teacher] = [
      [0.25, -1, 2, -Infinity],
      [0.5, 0.75, 1.5, -Infinity],
    ];
    for (const divergence of ["forwardKl", "reverseKl"] as const) {
      for (const [temperature, entropy] of [
        [1e-30, 0],
        [1e30, Math.log(3)],
      ] as const) {
        const actual = run(student, teacher, { divergence }, temperature);
        const what = `${divergence}, T ${temperature}`;
        t.true(Math.abs(actual.values[0] as number) < 1e-59, `${what}: ${actual.values[0]}`);
        for (const of of ["studentEntropy", "teacherEntropy"] as const) {
          if (entropy === 0) zeros(t, actual.statistics[of], what);
          else close(t, actual.statistics[of], [entropy], { relative, what });
        }
        for (const side of sides) {
          const slopes = actual.gradients[side];
          t.true(
            slopes.every((x) => Math.abs(x) < 1e-30),
            `${what}, gradient of ${side}: ${slopes.join()}`,
          );
        }
      }
    }
  });
}
