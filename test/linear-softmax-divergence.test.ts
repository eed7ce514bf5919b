// linearSoftmaxDivergence and linearCrossEntropy: identities, gradients, error bound, edges, determinism, memory budgets.
import test from "ava";
import {
  linearCrossEntropy,
  linearSoftmaxDivergence,
  linearSoftmaxDivergenceAsync,
  OptionError,
  setThreadCount,
  softmaxDivergence,
  threadCount,
  tokenLogProbs,
  type LinearLogits,
  type LinearSoftmaxDivergenceOptions,
  type NumericArray,
  type Rows,
} from "../lib/index.js";
import {
  agreementOf,
  arrayOf,
  choices,
  implementations,
  backends,
  named,
  normals,
  rowsOf,
  type Dtype,
} from "./cases.js";
import { close, identical, zeros } from "./close.js";

interface Shape {
  rows: number;
  columns: number;
  width: number;
}

/** Logits of some size, with a bias that makes one column of all likely. */
function linear(dtype: Dtype, { rows, columns, width }: Shape, seed: number): Required<LinearLogits> {
  const normal = normals(seed * 7919 + rows + columns + width);
  const numbers = (count: number, scale: number): NumericArray =>
    arrayOf(
      dtype,
      Float64Array.from({ length: count }, () => scale * normal()),
    );
  const bias = numbers(columns, 0.5);
  bias[(3 * seed) % columns]! += Math.log(columns);
  return {
    hidden: rowsOf(dtype, width, numbers(rows * width, 1)),
    weights: rowsOf(dtype, width, numbers(columns * width, 1.5 / Math.sqrt(width))),
    bias,
  };
}

/** hidden weightsᵀ + bias in float64, rounded once. */
function logitsOf(dtype: Dtype, { hidden, weights, bias }: LinearLogits): Rows {
  const width = hidden.shape[1]!;
  const [rows, columns] = [hidden.shape[0]!, weights.shape[0]!];
  const logits = Float64Array.from({ length: rows * columns }, (_, index) => {
    const [row, column] = [Math.floor(index / columns), index % columns];
    let sum = bias?.[column] ?? 0;
    for (let i = 0; i < width; i++) sum += hidden.data[row * width + i]! * weights.data[column * width + i]!;
    return sum;
  });
  return rowsOf(dtype, columns, logits);
}

function inFloat64({ hidden, weights, bias }: LinearLogits): LinearLogits {
  const wide = ({ data, shape }: Rows): Rows => ({ data: Float64Array.from(data), shape });
  return {
    hidden: wide(hidden),
    weights: wide(weights),
    ...(bias && { bias: Float64Array.from(bias) }),
  };
}

const gradients = ["hidden", "weights", "bias"] as const;
const everything = { gradients, reduction: "none" } as const;
type Result = ReturnType<typeof allOf>;
const allOf = (
  student: LinearLogits,
  teacher: LinearLogits | Rows,
  options: Omit<LinearSoftmaxDivergenceOptions, "gradients" | "reduction">,
) => linearSoftmaxDivergence(student, teacher, { ...options, ...everything });

function same(t: Parameters<typeof identical>[0], actual: Result, expected: Result, what?: string): void {
  identical(t, actual.values, expected.values, what);
  for (const name of gradients) identical(t, actual.gradients[name], expected.gradients[name], what);
}

const tooSmall = /^options\.memoryBudget is \d+; it must be at least (\d+) bytes, which one row takes$/;

/** What the error of a budget of one byte says is the least. */
function leastBudget(run: (memoryBudget: number) => unknown): number {
  try {
    run(1);
  } catch (error) {
    return Number(tooSmall.exec((error as Error).message)![1]);
  }
  throw new Error("a budget of one byte was enough");
}

/** Runs with so many bytes more than the least, which grows with the threads that tests beside this one may ask for. */
function withLeast(run: (memoryBudget: number) => Result, more: number): Result {
  for (;;) {
    try {
      return run(leastBudget(run) + more);
    } catch (error) {
      if (!tooSmall.test((error as Error).message)) throw error;
    }
  }
}

for (const { backend, dtype, title } of implementations) {
  const small = { rows: 7, columns: 19, width: 5 };
  const relative = { float32: 1e-5, float64: 1e-12 }[dtype];

  // Identities.
  test(`${title}: with the identity for weights it is softmaxDivergence, to the bit`, (t) => {
    const columns = 40;
    const { hidden } = linear(dtype, { rows: 9, columns: 4, width: columns }, 1);
    const { hidden: teacher } = linear(dtype, { rows: 9, columns: 4, width: columns }, 2);
    const identity = arrayOf(
      dtype,
      Float64Array.from({ length: columns * columns }, (_, i) => Number(i % (columns + 1) === 0)),
    );
    const student = { hidden, weights: rowsOf(dtype, columns, identity) };
    for (const choice of choices) {
      const options = { ...choice, temperature: 1.5, rowWeights: [1, 2, 3, 0, -1, 0.5, 1, 1, 1], backend };
      const expected = softmaxDivergence(hidden, teacher, { ...options, gradients: ["student"] });
      const { value, gradients: actual } = linearSoftmaxDivergence(student, teacher, {
        ...options,
        gradients: ["hidden"],
      });
      identical(t, value, expected.value, named(choice));
      identical(
        t,
        actual.hidden.map((x: number) => x + 0),
        expected.gradients.student.map((x: number) => x + 0),
        named(choice),
      );
    }
  });

  test(`${title}: it agrees with softmaxDivergence of the logits as they are`, (t) => {
    for (const shape of [small, { rows: 33, columns: 130, width: 70 }]) {
      const [student, teacher] = [linear(dtype, shape, 1), linear(dtype, { ...shape, width: 11 }, 2)];
      const { rows, columns, width } = shape;
      for (const choice of choices) {
        const options = { ...choice, temperature: { student: 2, teacher: 1.5 }, backend };
        const expected = softmaxDivergence(logitsOf(dtype, student), logitsOf(dtype, teacher), {
          ...options,
          reduction: "none",
          gradients: ["student"],
        });
        const slopes = expected.gradients.student;
        const actual = allOf(student, teacher, options);
        const tolerance = { relative: 20 * agreementOf(choice, dtype), what: named(choice) };
        close(t, actual.values, expected.values, tolerance);
        const [forHidden, forWeights, forBias] = [rows * width, columns * width, columns].map(
          (n) => new Float64Array(n),
        );
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++) {
            const slope = slopes[row * columns + column]!;
            forBias![column]! += slope;
            for (let i = 0; i < width; i++) {
              forHidden![row * width + i]! += slope * student.weights.data[column * width + i]!;
              forWeights![column * width + i]! += slope * student.hidden.data[row * width + i]!;
            }
          }
        }
        close(t, actual.gradients.hidden, forHidden!, tolerance);
        close(t, actual.gradients.weights, forWeights!, tolerance);
        close(t, actual.gradients.bias, forBias!, tolerance);
      }
    }
  });

  test(`${title}: cross-entropy of labels is −tokenLogProbs, without the ignored rows`, (t) => {
    const logits = linear(dtype, small, 3);
    const labels = [3, 0, -100, 18, 3, 7, 11];
    const options = { temperature: 0.8, ignoreIndex: -100, backend };
    const rowWeights = [1, 2, 1, 0, 0.5, 1, -1];
    const { value, gradients: found } = linearCrossEntropy(logits, labels, {
      ...options,
      rowWeights,
      gradients,
    });
    const counted = 6;
    const materialised = logitsOf(dtype, logits);
    const expected = tokenLogProbs(materialised, labels, {
      ...options,
      gradients: ["logits"],
      gradOutput: rowWeights.map((weight) => -weight / counted),
    });
    const mean = -expected.logProbs.reduce((sum, x, row) => sum + (rowWeights[row]! * x) / counted, 0);
    close(t, value, mean, { relative });
    const sums = new Float64Array(small.columns);
    expected.gradients.logits.forEach((slope: number, i: number) => (sums[i % small.columns]! += slope));
    close(t, found.bias, sums, { relative });
    const { values } = linearCrossEntropy(logits, labels, { ...options, reduction: "none" });
    close(
      t,
      values,
      expected.logProbs.map((x) => -x),
      { relative },
    );
    t.is(values[2], 0);
  });

  // Error bound, against float64, beyond one block of the vocabulary and several parts of a product.
  test(`${title}: values and gradients are right to the documented bound`, (t) => {
    if (backend === "reference") return t.pass();
    const shape = { rows: 21, columns: 1500, width: 300 };
    const [student, teacher] = [linear(dtype, shape, 1), linear(dtype, { ...shape, width: 40 }, 2)];
    const bound = { float32: 2e-5, float64: 2e-13 }[dtype];
    for (const divergence of ["forwardKl", "reverseKl", "jensenShannon", "crossEntropy"] as const) {
      const actual = allOf(student, teacher, { divergence, backend });
      const exact = allOf(inFloat64(student), inFloat64(teacher), { divergence, backend: "reference" });
      close(t, actual.values, exact.values, { relative: bound, group: 1, what: divergence });
      for (const name of gradients) {
        close(t, actual.gradients[name], exact.gradients[name], {
          relative: bound,
          what: `${divergence} ${name}`,
        });
      }
    }
  });

  // Edges.
  test(`${title}: rows that are left out are not read, and rows without a slope add nothing`, (t) => {
    const { width } = small;
    const [student, teacher] = [linear(dtype, small, 1), linear(dtype, { ...small, width: 3 }, 2)];
    const rowMask = [1, 0, 1, 1, 0, 1, 1] as const;
    const rowWeights = [1, 1, 2, 0, 1, 1, 1];
    const gradOutput = [1, 1, 0, 1, 1, -2, 1];
    const kept = [0, 2, 5, 6];
    const pick = (data: NumericArray, size: number): NumericArray =>
      arrayOf(
        dtype,
        kept.flatMap((row) => [...data.subarray(row * size, (row + 1) * size)]),
      );
    const fewer = (side: LinearLogits, size: number): LinearLogits => ({
      ...side,
      hidden: rowsOf(dtype, size, pick(side.hidden.data, size)),
    });
    const options = { temperature: 1.25, backend };
    const expected = allOf(fewer(student, width), fewer(teacher, 3), {
      ...options,
      rowWeights: kept.map((row) => rowWeights[row]!),
      gradOutput: kept.map((row) => gradOutput[row]!),
    });
    const spoiled = (side: LinearLogits, size: number): LinearLogits => ({
      ...side,
      hidden: rowsOf(
        dtype,
        size,
        side.hidden.data.map((x, i) => (kept.includes(Math.floor(i / size)) ? x : NaN)),
      ),
    });
    const all = { ...options, rowMask, rowWeights, gradOutput };
    for (const other of [spoiled(teacher, 3), logitsOf(dtype, spoiled(teacher, 3))]) {
      const actual = allOf(spoiled(student, width), other, all);
      if (!("hidden" in other)) {
        close(t, actual.gradients.weights, expected.gradients.weights, { relative });
        continue;
      }
      identical(
        t,
        kept.map((row) => actual.values[row]!),
        expected.values,
      );
      identical(t, pick(actual.gradients.hidden, width), expected.gradients.hidden);
      identical(t, actual.gradients.weights, expected.gradients.weights);
      identical(t, actual.gradients.bias, expected.gradients.bias);
      for (const row of [1, 3, 4]) {
        t.is(actual.values[row], 0);
        zeros(t, actual.gradients.hidden.subarray(row * width, (row + 1) * width));
      }
      // A value, and no gradient.
      t.true(actual.values[2]! > 0);
      zeros(t, actual.gradients.hidden.subarray(2 * width, 3 * width));
    }
    // Whatever it holds, a row without a slope leaves the sums alone.
    const still = arrayOf(dtype, student.hidden.data);
    still.fill(Infinity, 2 * width, 3 * width);
    const infinite = allOf({ ...student, hidden: rowsOf(dtype, width, still) }, teacher, all);
    identical(t, infinite.gradients.weights, expected.gradients.weights);
    zeros(t, infinite.gradients.hidden.subarray(2 * width, 3 * width));
  });

  test(`${title}: no rows, no rows that count, and one row of one column`, (t) => {
    const empty = linear(dtype, { ...small, rows: 0 }, 1);
    const none = linearSoftmaxDivergence(empty, linear(dtype, { ...small, rows: 0 }, 2), {
      gradients,
      backend,
    });
    t.is(none.value, 0);
    t.is(none.gradients.hidden.length, 0);
    zeros(t, none.gradients.weights);
    zeros(t, none.gradients.bias);
    const out = { weights: arrayOf(dtype, { length: small.columns * small.width }).fill(7) };
    const masked = linearCrossEntropy(linear(dtype, small, 1), new Int32Array(7).fill(-1), {
      ignoreIndex: -1,
      gradients,
      out,
      backend,
    });
    t.is(masked.value, 0);
    t.is(masked.gradients.weights, out.weights as never);
    for (const name of gradients) zeros(t, masked.gradients[name]);
    const one = linear(dtype, { rows: 1, columns: 1, width: 1 }, 1);
    const alone = linearCrossEntropy(one, [0], { gradients, backend });
    zeros(t, [alone.value, ...alone.gradients.hidden, ...alone.gradients.weights]);
  });

  test(`${title}: a column that the bias rules out has no gradient`, (t) => {
    const [student, teacher] = [linear(dtype, small, 1), linear(dtype, small, 2)];
    for (const { bias } of [student, teacher]) bias[4] = -Infinity;
    const { values, gradients: found } = allOf(student, teacher, { backend });
    t.true(values.every((x) => x > 0 && Number.isFinite(x)));
    zeros(t, found.weights.subarray(4 * small.width, 5 * small.width));
    t.true(found.hidden.every(Number.isFinite));
  });

  test(`${title}: a NaN stays in its row, but for what is summed over rows`, (t) => {
    const [student, teacher] = [linear(dtype, small, 1), linear(dtype, small, 2)];
    const healthy = allOf(student, teacher, { backend });
    student.hidden.data[2 * small.width] = NaN;
    const { values, gradients: found } = allOf(student, teacher, { backend });
    identical(t, values, healthy.values.with(2, NaN));
    const row = (index: number): NumericArray =>
      found.hidden.subarray(index * small.width, (index + 1) * small.width);
    t.true(row(2).every(Number.isNaN));
    identical(t, row(3), healthy.gradients.hidden.subarray(3 * small.width, 4 * small.width));
    t.true(found.weights.every(Number.isNaN));
  });

  // Determinism and memory.
  test(`${title}: later, into given arrays, on any number of threads and in any budget the same bits`, async (t) => {
    const shape = backend === "reference" ? small : { rows: 41, columns: 700, width: 33 };
    const [student, teacher] = [linear(dtype, shape, 1), linear(dtype, { ...shape, width: 20 }, 2)];
    const options = {
      divergence: "jensenShannon",
      rowWeights: Array.from({ length: shape.rows }, (_, i) => i % 5),
      backend,
    } as const;
    const now = allOf(student, teacher, options);
    same(t, await linearSoftmaxDivergenceAsync(student, teacher, { ...options, ...everything }), now);
    const out = {
      hidden: now.gradients.hidden.slice().fill(1),
      weights: now.gradients.weights.slice().fill(1),
      bias: now.gradients.bias.slice().fill(1),
      values: now.values.slice(),
    };
    const into = allOf(student, teacher, { ...options, out });
    same(t, into, now);
    t.is(into.gradients.weights, out.weights as never);
    for (const count of backend === "cpu" ? [1, 3] : []) {
      const threads = threadCount();
      setThreadCount(count);
      same(t, allOf(student, teacher, options), now, `${count} threads`);
      setThreadCount(Math.max(1, threads));
    }
    const run = (memoryBudget: number): Result => allOf(student, teacher, { ...options, memoryBudget });
    for (const more of [0, 3 * shape.columns * 16, 1 << 20, 2 ** 30]) {
      same(t, withLeast(run, more), now, `${more} bytes more than the least`);
    }
    const error = { instanceOf: OptionError, message: tooSmall };
    t.throws(() => run(1), error);
    await t.throwsAsync(
      () => linearSoftmaxDivergenceAsync(student, teacher, { ...options, ...everything, memoryBudget: 1 }),
      error,
    );
  });

  test(`${title}: an abort stops it, and nothing is written`, async (t) => {
    const [student, teacher] = [linear(dtype, small, 1), linear(dtype, small, 2)];
    const out = { hidden: student.hidden.data.slice().fill(0) };
    const controller = new AbortController();
    const promise = linearSoftmaxDivergenceAsync(student, teacher, {
      gradients: ["hidden"],
      out,
      signal: controller.signal,
      backend,
    });
    controller.abort(new Error("enough"));
    await t.throwsAsync(promise, { message: "enough" });
    zeros(t, out.hidden);
  });
}

// Gradients.
for (const backend of backends) {
  test(`${backend}: gradients are those of the value, by central differences`, (t) => {
    const shape = { rows: 3, columns: 6, width: 4 };
    const [student, teacher] = [linear("float64", shape, 1), linear("float64", { ...shape, width: 2 }, 2)];
    const step = 1e-5;
    const differences = (array: NumericArray, value: () => number): number[] =>
      Array.from(array, (x, i) => {
        const at = (shifted: number): number => {
          array[i] = shifted;
          const found = value();
          array[i] = x;
          return found;
        };
        return (at(x + step) - at(x - step)) / (2 * step);
      });
    const { hidden, weights, bias } = student;
    const options = {
      temperature: { student: 1.3, teacher: 2 },
      temperatureScaling: "squared",
      rowWeights: [1, 0.5, 2],
      divisor: 7,
      backend,
    } as const;
    for (const divergence of ["forwardKl", "reverseKl", "squaredHellinger"] as const) {
      const value = (): number => linearSoftmaxDivergence(student, teacher, { ...options, divergence }).value;
      const { gradients: found } = linearSoftmaxDivergence(student, teacher, {
        ...options,
        divergence,
        gradients,
      });
      close(t, found.hidden, differences(hidden.data, value), { relative: 1e-8, what: divergence });
      close(t, found.weights, differences(weights.data, value), { relative: 1e-8, what: divergence });
      close(t, found.bias, differences(bias, value), { relative: 1e-8, what: divergence });
    }
    const labels = [5, 0, 2];
    const value = (): number => linearCrossEntropy(student, labels, { temperature: 1.3, backend }).value;
    const { gradients: found } = linearCrossEntropy(student, labels, {
      temperature: 1.3,
      gradOutput: -2,
      gradients,
      backend,
    });
    const negated = (array: NumericArray): number[] => differences(array, value).map((x) => -2 * x);
    close(t, found.hidden, negated(hidden.data), { relative: 1e-8 });
    close(t, found.weights, negated(weights.data), { relative: 1e-8 });
    close(t, found.bias, negated(bias), { relative: 1e-8 });
  });
}
