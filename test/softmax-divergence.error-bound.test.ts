// The error bounds that users are promised: the CPU backend against the reference in float64 on the same inputs, down a
// ladder of ever smaller divergences and over rows of all lengths. Each test logs the largest error that it met.
import test, { type ExecutionContext } from "ava";
import {
  backendInfo,
  softmaxDivergence,
  type BackendName,
  type SoftmaxDivergenceName,
} from "../lib/index.js";
import {
  columnCounts,
  divergences,
  everything,
  inFloat64,
  logitPair,
  longColumnCounts,
  nativeBackends,
  normals,
  rowsOf,
  sides,
  type LogitPair,
  type Dtype,
} from "./cases.js";
import { close } from "./close.js";

/** Of a float32 value, relative, by how large the divergence is. Below the last no digits are promised. */
const valueBounds = [
  { from: 1e-3, relative: 2e-6 },
  { from: 5e-9, relative: 1e-4 },
];

/** Of a float32 gradient where both sides have one temperature: relative to its largest element, however near they are. */
const gradientBound = 5e-7;

/**
 * Of a float32 gradient times its temperature where the temperatures differ: relative to the largest of
 * p (1 + |log p - log q| + KL), or p (1 - log q + cross-entropy), which is what a term of it is before terms cancel. As
 * the distributions approach each other, the gradient approaches this error.
 */
const termBound = 8e-7;

/** Of float32 log-sum-exps and entropies: relative, or absolute where they are below 1. */
const statisticBound = 5e-7;

interface Temperatures {
  student: number;
  teacher: number;
}
const temperatureCases: Temperatures[] = [
  { student: 1, teacher: 1 },
  { student: 3, teacher: 3 },
  { student: 2, teacher: 1.5 },
];

const statisticNames = ["studentLogSumExp", "teacherLogSumExp", "studentEntropy", "teacherEntropy"] as const;
const shortCounts = columnCounts.filter((columns) => columns > 1);
const distances = [1, 1e-1, 1e-2, 1e-3, 1e-4];

interface BoundCase {
  pair: LogitPair;
  columns: number;
  distance: number;
}

/** Short rows three times over: among few columns, luck plays a part. */
function* boundCases(counts: readonly number[], dtype: Dtype): Generator<BoundCase> {
  for (const columns of counts) {
    const rows = columns < 1000 ? 15 : 1;
    for (const distance of distances)
      yield { pair: logitPair({ rows, columns, dtype, distance }), columns, distance };
  }
}

function outputs(
  backend: BackendName,
  { student, teacher }: LogitPair,
  divergence: SoftmaxDivergenceName,
  temperature: Temperatures,
) {
  const options = { ...everything, divergence, temperature };
  return {
    actual: softmaxDivergence(student, teacher, { ...options, backend }),
    // Where nothing but values is wanted, they are computed in another way.
    alone: softmaxDivergence(student, teacher, { divergence, temperature, reduction: "none", backend })
      .values,
    expected: softmaxDivergence(inFloat64(student), inFloat64(teacher), { ...options, backend: "reference" }),
  };
}
type Outputs = ReturnType<typeof outputs>;

function checkValues(t: ExecutionContext, { actual, alone, expected }: Outputs, what: string): number {
  const errors = Array.from(expected.values, (value, row) => {
    const bound = valueBounds.find(({ from }) => value >= from);
    if (bound === undefined) return 0;
    close(t, alone[row] as number, value, {
      relative: bound.relative,
      what: `${what}, value alone ${value}`,
    });
    return close(t, actual.values[row] as number, value, {
      relative: bound.relative,
      what: `${what}, value ${value}`,
    });
  });
  return Math.max(...errors);
}

/** The largest of max(p, q) (1 + |score| + divergence) in the batch. */
function largestTerm(
  boundCase: BoundCase,
  { expected }: Outputs,
  temperature: Temperatures,
  crossEntropy: boolean,
): number {
  const { pair, columns } = boundCase;
  const logProbability = (side: "student" | "teacher", i: number): number =>
    (pair[side].data[i] as number) / temperature[side] -
    (expected.statistics[`${side}LogSumExp`][Math.floor(i / columns)] as number);
  let term = 0;
  for (let i = 0; i < pair.student.data.length; i++) {
    const [logQ, logP] = [logProbability("student", i), logProbability("teacher", i)];
    const score = crossEntropy ? logQ : logP - logQ;
    const divergence = expected.values[Math.floor(i / columns)] as number;
    term = Math.max(term, Math.exp(Math.max(logQ, logP)) * (1 + Math.abs(score) + divergence));
  }
  return term;
}

function checkGradients(
  t: ExecutionContext,
  { actual, expected }: Outputs,
  term: number,
  temperature: Temperatures,
  what: string,
): number {
  const errors = sides.map((side) => {
    const gradient = expected.gradients[side];
    if (temperature.student === temperature.teacher) {
      const tolerance = { relative: gradientBound, what: `${what}, gradient of ${side}` };
      return close(t, actual.gradients[side], gradient, tolerance);
    }
    const absolute = (termBound * term) / temperature[side];
    const error = close(t, actual.gradients[side], gradient, {
      absolute,
      what: `${what}, gradient of ${side}`,
    });
    return (error * gradient.reduce((a, x) => Math.max(a, Math.abs(x)), 0) * termBound) / absolute;
  });
  return Math.max(...errors);
}

function checkStatistics(t: ExecutionContext, { actual, expected }: Outputs, what: string): number {
  const tolerance = { relative: statisticBound, absolute: statisticBound };
  t.deepEqual(actual.statistics.argmaxAgreement, expected.statistics.argmaxAgreement, what);
  return Math.max(
    ...statisticNames.map((name) =>
      close(t, actual.statistics[name], expected.statistics[name], {
        ...tolerance,
        what: `${what}, ${name}`,
      }),
    ),
  );
}

for (const backend of nativeBackends) {
  for (const temperature of temperatureCases) {
    for (const [name, counts] of [
      ["up to 8193 columns", shortCounts],
      ["32000 and 128256 columns", longColumnCounts],
    ] as const) {
      const title = `${backend} float32, ${name}, T ${temperature.student} and ${temperature.teacher}`;

      test(`${title}: values, gradients and statistics keep their error bounds`, (t) => {
        const met = { value: 0, gradient: 0, statistic: 0 };
        for (const boundCase of boundCases(counts, "float32")) {
          for (const divergence of divergences) {
            const result = outputs(backend, boundCase.pair, divergence, temperature);
            const what = `${divergence}, ${boundCase.columns} columns, distance ${boundCase.distance}`;
            met.value = Math.max(met.value, checkValues(t, result, what));
            // Closer than this, what is promised for two temperatures is no longer small beside the gradient.
            if (temperature.student === temperature.teacher || boundCase.distance >= 1e-2) {
              const term = largestTerm(boundCase, result, temperature, divergence === "crossEntropy");
              met.gradient = Math.max(met.gradient, checkGradients(t, result, term, temperature, what));
            }
            met.statistic = Math.max(met.statistic, checkStatistics(t, result, what));
          }
        }
        t.log(
          `value ${met.value.toExponential(1)}, gradient ${met.gradient.toExponential(1)}, `,
          `statistics ${met.statistic.toExponential(1)}`,
        );
      });
    }
  }

  test(`${backend} float64: over rows of all lengths, values and gradients are the reference's to 1e-13`, (t) => {
    for (const columns of [...shortCounts, ...longColumnCounts]) {
      const pair = logitPair({ rows: 2, columns, dtype: "float64" });
      for (const temperature of columns < 10000 ? temperatureCases : temperatureCases.slice(0, 1)) {
        for (const divergence of divergences) {
          const { actual, alone, expected } = outputs(backend, pair, divergence, temperature);
          const what = `${divergence}, ${columns} columns, T ${temperature.student}`;
          close(t, actual.values, expected.values, { relative: 1e-13, group: 1, what });
          close(t, alone, expected.values, { relative: 1e-13, group: 1, what: `${what}, alone` });
          for (const side of sides) {
            const tolerance = { relative: 1e-13, absolute: 1e-15, what: `${what}, gradient of ${side}` };
            close(t, actual.gradients[side], expected.gradients[side], tolerance);
          }
          t.deepEqual(actual.statistics.argmaxAgreement, expected.statistics.argmaxAgreement, what);
          for (const name of statisticNames) {
            close(t, actual.statistics[name], expected.statistics[name], { relative: 1e-13, group: 1, what });
          }
        }
      }
    }
  });

  test(`${backend} float32: a constant between the sides costs neither the value nor the gradient a digit`, (t) => {
    const normal = normals(11);
    for (const columns of [2, 3, 17, 1000, 9000]) {
      for (const shift of [0.01, 0.9, 1.9, 2.5, 7, 64, 300]) {
        for (const temperature of [1, 3]) {
          const distance = 3e-4;
          const teacher = rowsOf(
            "float32",
            columns,
            Float64Array.from({ length: 4 * columns }, () => 2 * normal()),
          );
          const data = teacher.data.map((x) => x + shift + distance * normal());
          const student = { data, shape: teacher.shape };
          for (const divergence of ["forwardKl", "reverseKl"] as const) {
            const result = outputs(backend, { student, teacher }, divergence, {
              student: temperature,
              teacher: temperature,
            });
            const what = `${divergence}, ${columns} columns, shift ${shift}, T ${temperature}`;
            checkValues(t, result, what);
            for (const side of sides) {
              const tolerance = { relative: 2e-6, what: `${what}, gradient of ${side}` };
              close(t, result.actual.gradients[side], result.expected.gradients[side], tolerance);
            }
          }
        }
      }
    }
  });

  test(`${backend} float32: a column that dominates both sides alike costs the gradients of the others hardly a digit`, (t) => {
    const normal = normals(12);
    for (const columns of [40, 1000, 9000]) {
      // Beside the dominating probability the divergence is large, and every gradient small: most so in the longest row.
      const dominated = () =>
        rowsOf(
          "float32",
          columns,
          Float64Array.from({ length: 4 * columns }, (_, i) =>
            i % columns === 0 ? Math.log(columns) + 2 : 1.5 * normal(),
          ),
        );
      const [student, teacher] = [dominated(), dominated()];
      for (const divergence of divergences) {
        const result = outputs(backend, { student, teacher }, divergence, { student: 1, teacher: 1 });
        const what = `${divergence}, ${columns} columns`;
        checkValues(t, result, what);
        const side = divergence === "reverseKl" ? "teacher" : "student";
        const expected = result.expected.gradients[side];
        close(t, result.actual.gradients[side], expected, { relative: 2e-6, absolute: 2e-8, what });
      }
    }
  });

  test(`${backend} float32: temperatures that make the sides alike cost the value no digits`, (t) => {
    const normal = normals(13);
    // The baseline keeps fewer, for want of a fused multiply-add, and its bound is documented apart.
    if (backend === "cpu" && backendInfo().cpu?.instructionSet === "baseline") return t.pass();
    for (const columns of [2, 3, 17, 1000]) {
      for (const temperature of [
        { student: 2, teacher: 1 },
        { student: 0.9, teacher: 0.3 },
      ]) {
        const ratio = temperature.student / temperature.teacher;
        const teacher = rowsOf(
          "float32",
          columns,
          Float64Array.from({ length: 8 * columns }, () => 2 * normal()),
        );
        const student = { data: teacher.data.map((x) => ratio * x + 3e-4 * normal()), shape: teacher.shape };
        for (const divergence of ["forwardKl", "reverseKl"] as const) {
          const what = `${divergence}, ${columns} columns, T ${temperature.student} and ${temperature.teacher}`;
          checkValues(t, outputs(backend, { student, teacher }, divergence, temperature), what);
        }
      }
    }
  });
}
