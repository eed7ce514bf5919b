// tokenLogProbs: closed forms, identities, gradients, error bound, edges, determinism, errors.
import test from "ava";
import {
  DtypeError,
  OptionError,
  setThreadCount,
  ShapeError,
  softmaxDivergence,
  threadCount,
  tokenLogProbs,
  tokenLogProbsAsync,
  type NumericArray,
  type TokenLogProbsOptions,
} from "../lib/index.js";
import { arrayOf, backends, implementations, inFloat64, lengthsFor, logitPair, rowsOf } from "./cases.js";
import { close, identical, vanishes, zeros } from "./close.js";

const estimators = ["k1", "k2", "k3"] as const;
const everything = {
  gradients: ["logits"],
  statistics: ["entropy", "logSumExp"],
  gradOutput: 1.5,
  entropyGradOutput: -0.5,
} as const;
type Result = ReturnType<typeof everythingOf>;
const everythingOf = (
  rows: ReturnType<typeof rowsOf>,
  tokens: readonly number[],
  more: TokenLogProbsOptions,
) => tokenLogProbs(rows, tokens, { ...more, ...everything });
const tokensFor = (rows: number, columns: number): number[] =>
  Array.from({ length: rows }, (_, row) => (row * 3 + 1) % columns);

for (const { backend, dtype, title } of implementations) {
  const relative = { float32: 3e-6, float64: 1e-13 }[dtype];

  // Closed forms.
  test(`${title}: two columns, and n equal ones`, (t) => {
    const rows = rowsOf(dtype, 2, [0, Math.log(3), 0, Math.log(3)]);
    const { logProbs, statistics, gradients } = tokenLogProbs(rows, [0, 1], {
      gradients: ["logits"],
      statistics: ["entropy", "logSumExp"],
      backend,
    });
    close(t, logProbs, [Math.log(1 / 4), Math.log(3 / 4)], { relative, group: 1 });
    const entropy = Math.log(4) - 0.75 * Math.log(3);
    close(t, statistics.entropy, [entropy, entropy], { relative });
    close(t, statistics.logSumExp, [Math.log(4), Math.log(4)], { relative });
    close(t, gradients.logits, [0.75, -0.75, -0.25, 0.25], { relative });
    for (const columns of [1, 3, 1000, 9000]) {
      const equal = rowsOf(dtype, columns, new Float64Array(columns).fill(2));
      const all = tokenLogProbs(equal, [columns - 1], { ...everything, backend });
      if (columns === 1) {
        zeros(t, all.logProbs);
        zeros(t, all.gradients.logits);
      } else {
        close(t, all.logProbs, -Math.log(columns), { relative });
        close(t, all.statistics.entropy, Math.log(columns), { relative });
      }
    }
  });

  test(`${title}: the estimators and their digits where both policies are near`, (t) => {
    const rows = rowsOf(dtype, 2, [0, Math.log(3)]);
    const run = (estimator: (typeof estimators)[number], d: number) => {
      const { logProbs } = tokenLogProbs(rows, [1], { backend });
      const reference = { logProbs: [logProbs[0]! + d] };
      const options = { estimator, reference, gradients: ["logits"], gradOutput: 0, backend } as const;
      const { estimates, gradients } = tokenLogProbs(rows, [1], { ...options, estimateGradOutput: 2 });
      // The exact d of the sum, which is rounded.
      return {
        estimate: estimates[0]!,
        slope: gradients.logits[1]! / 0.5,
        d: reference.logProbs[0]! - logProbs[0]!,
      };
    };
    for (const given of [-3, -0.1, -1e-5, 1e-7, 0.3, 2]) {
      for (const estimator of estimators) {
        const { estimate, slope, d } = run(estimator, given);
        const k3 = Math.abs(d) < 1e-3 ? d * d * (0.5 + d / 6 + (d * d) / 24) : Math.expm1(d) - d;
        const [expected, derivative] = { k1: [-d, 1], k2: [(d * d) / 2, -d], k3: [k3, -Math.expm1(d)] }[
          estimator
        ] as [number, number];
        close(t, estimate, expected, { relative: 1e-12, what: `${estimator} at ${d}` });
        // The estimate's slope times that of its log-probability, 1 − 3/4, with the 2 of estimateGradOutput.
        close(t, slope, derivative, { relative, what: `${estimator}′ at ${d}` });
      }
    }
  });

  // Identities.
  test(`${title}: one-hot teachers, entropies and the sum of the gradient`, (t) => {
    for (const columns of lengthsFor(backend, [5, 130, 1030, 8200])) {
      const { student } = logitPair({ rows: 4, columns, dtype });
      const tokens = tokensFor(4, columns);
      const hot = Float64Array.from({ length: 4 * columns }, (_, i) =>
        tokens[Math.floor(i / columns)] === i % columns ? 0 : -Infinity,
      );
      const options = { temperature: 1.5, backend } as const;
      const all = tokenLogProbs(student, tokens, {
        ...options,
        gradients: ["logits"],
        statistics: ["entropy"],
      });
      const cross = softmaxDivergence(student, rowsOf(dtype, columns, hot), {
        ...options,
        divergence: "crossEntropy",
        reduction: "none",
        gradients: ["student"],
        statistics: ["studentEntropy"],
      });
      close(
        t,
        all.logProbs,
        cross.values.map((x) => -x),
        { relative: 4 * relative },
      );
      close(t, all.statistics.entropy, cross.statistics.studentEntropy, { relative });
      const expected = cross.gradients.student.map((x: number) => -x);
      close(t, all.gradients.logits, expected, { relative: 4 * relative, what: `${columns} columns` });
      const { gradients } = tokenLogProbs(student, tokens, { ...everything, ...options });
      for (let row = 0; row < 4; row++) {
        const part = Array.from(gradients.logits.subarray(row * columns, (row + 1) * columns));
        const [sum, scale] = [part.reduce((s, x) => s + x, 0), part.reduce((s, x) => s + Math.abs(x), 0)];
        vanishes(t, sum, { bound: 4 * relative * scale, scale, what: `row ${row}` });
      }
    }
  });

  // Error bound: against float64, from one column to beyond two segments.
  test(`${title}: log-probabilities, entropy and gradient are right to the documented bound`, (t) => {
    for (const columns of lengthsFor(backend, [2, 17, 1025, 20001])) {
      const { student } = logitPair({ rows: 3, columns, dtype });
      const tokens = tokensFor(3, columns);
      const more = { temperature: 0.75, estimator: "k3", reference: { logProbs: [-1, -2, -3] } } as const;
      const options = { ...more, estimateGradOutput: [1, 0.5, 0.25] };
      const actual = everythingOf(student, tokens, { ...options, backend });
      const exact = everythingOf(inFloat64(student), tokens, { ...options, backend: "reference" });
      const what = `${columns} columns`;
      close(t, actual.logProbs, exact.logProbs, { relative, group: 1, what });
      close(t, actual.statistics.entropy, exact.statistics.entropy, { relative, group: 1, what });
      close(t, actual.statistics.logSumExp, exact.statistics.logSumExp, { relative, group: 1, what });
      // Between steps of the exponential and the derivative of k3 at these d lies a factor of some ten.
      close(t, actual.gradients.logits, exact.gradients.logits, {
        relative: 4 * relative,
        group: columns,
        what,
      });
    }
  });

  // Edges.
  test(`${title}: infinities, NaN, padding, masks, ignored tokens, no rows`, (t) => {
    const inf = Infinity;
    const rows = rowsOf(dtype, 4, [
      ...[0, 0, -inf, 9], // the token has probability 0; the last column is padding
      ...[-inf, -inf, -inf, 9],
      ...[0, NaN, 0, 9],
      ...[0, inf, 0, 9],
      ...[NaN, NaN, NaN, NaN], // masked
      ...[NaN, NaN, NaN, NaN], // ignored
      ...[-inf, 1, -inf, 9],
    ]);
    const tokens = Int32Array.of(2, 0, 0, 0, 77, -100, 1);
    const rowMask = [1, 1, 1, 1, 0, 1, 1] as const;
    const all = tokenLogProbs(rows, tokens, {
      ...everything,
      vocabSize: 3,
      rowMask,
      ignoreIndex: -100,
      backend,
    });
    identical(t, all.logProbs, [-inf, NaN, NaN, NaN, 0, 0, 0]);
    close(t, all.statistics.entropy[0]!, Math.LN2, { relative });
    identical(t, all.statistics.entropy.subarray(1), [NaN, NaN, NaN, 0, 0, 0]);
    const row = (index: number): NumericArray => all.gradients.logits.subarray(4 * index, 4 * index + 4);
    close(t, row(0), [-0.75, -0.75, 1.5, 0], { relative });
    for (const broken of [1, 2, 3]) {
      t.true(row(broken).subarray(0, 3).every(Number.isNaN), `row ${broken}`);
      zeros(t, row(broken)[3]!);
    }
    for (const left of [4, 5, 6]) zeros(t, row(left), `row ${left}`);
    const none = tokenLogProbs({ data: arrayOf(dtype, []), shape: [0, 3] }, [], { ...everything, backend });
    t.is(none.logProbs.length + none.gradients.logits.length, 0);
    const still = tokenLogProbs(rows, tokens, {
      gradients: ["logits"],
      gradOutput: [0, 0, 0, 0, 0, 0, 0],
      vocabSize: 3,
      rowMask,
      ignoreIndex: -100,
      backend,
    });
    zeros(t, still.gradients.logits);
  });

  // Determinism.
  test(`${title}: later, alone, into given arrays and on any number of threads the same bits`, async (t) => {
    for (const columns of lengthsFor(backend, [13, 1500, 20000])) {
      const { student } = logitPair({ rows: 5, columns, dtype });
      const tokens = tokensFor(5, columns);
      const same = (actual: Result, expected: Result): void => {
        identical(t, actual.logProbs, expected.logProbs);
        identical(t, actual.gradients.logits, expected.gradients.logits);
        identical(t, actual.statistics.entropy, expected.statistics.entropy);
      };
      const now = everythingOf(student, tokens, { backend });
      const uint = Uint32Array.from(tokens);
      same(await tokenLogProbsAsync(student, uint, { ...everything, backend }), now);
      const out = { logits: arrayOf(dtype, { length: 5 * columns }), logProbs: new Float64Array(5) };
      same(everythingOf(student, tokens, { backend, out }), now);
      identical(t, out.logits, now.gradients.logits);
      identical(t, tokenLogProbs(student, tokens, { backend }).logProbs, now.logProbs);
      const one = { data: student.data.subarray(2 * columns, 3 * columns), shape: [columns] };
      identical(t, tokenLogProbs(one, [tokens[2]!], { backend }).logProbs, now.logProbs.subarray(2, 3));
      const threads = threadCount();
      for (const count of backend === "cpu" ? [1, 3] : []) {
        setThreadCount(count);
        same(everythingOf(student, tokens, { backend }), now);
      }
      setThreadCount(Math.max(1, threads));
    }
  });
}

// Gradients.
for (const backend of backends) {
  test(`${backend}: the gradient is that of the sum of all three, by central differences`, (t) => {
    const [columns, step] = [6, 1e-5];
    const { student } = logitPair({ rows: 2, columns, dtype: "float64" });
    for (const estimator of estimators) {
      const options = {
        temperature: 1.3,
        estimator,
        reference: { logProbs: [-1, -2.5] },
        gradOutput: [1, -0.5],
        entropyGradOutput: [0.3, 0.7],
        estimateGradOutput: [0.2, 1.1],
        backend,
      } as const;
      const objective = (data: NumericArray): number => {
        const run = tokenLogProbs({ data, shape: [2, columns] }, [3, 1], {
          ...options,
          statistics: ["entropy"],
        });
        const terms = [0, 1].map(
          (row) =>
            options.gradOutput[row]! * run.logProbs[row]! +
            options.entropyGradOutput[row]! * run.statistics.entropy[row]! +
            options.estimateGradOutput[row]! * run.estimates[row]!,
        );
        return terms[0]! + terms[1]!;
      };
      const numeric = Array.from(student.data, (x, i) => {
        const at = (shifted: number): number => objective(student.data.with(i, shifted));
        return (at(x + step) - at(x - step)) / (2 * step);
      });
      const { gradients } = tokenLogProbs(student, [3, 1], { ...options, gradients: ["logits"] });
      close(t, gradients.logits, numeric, { relative: 1e-8, what: estimator });
    }
  });
}

// Errors.
const right = { data: new Float32Array(6), shape: [2, 3] };
const cases: [message: string, error: object, call: () => unknown][] = [
  [
    "tokens[1] is 3; it must be an integer from 0 to 2, a column of row 1",
    OptionError,
    () => tokenLogProbs(right, [0, 3]),
  ],
  [
    "tokens[0] is -100; it must be an integer from 0 to 2, a column of row 0",
    OptionError,
    () => tokenLogProbs(right, Int32Array.of(-100, 0)),
  ],
  [
    "tokens[0] is 0.5; it must be an integer from 0 to 2, a column of row 0",
    OptionError,
    () => tokenLogProbs(right, [0.5, 0]),
  ],
  ["tokens has 1 elements; it must have 2, one per row", ShapeError, () => tokenLogProbs(right, [0])],
  [
    "tokens is a Float32Array of length 2; it must be an Int32Array, a Uint32Array or an array of integers, one per row",
    DtypeError,
    () => tokenLogProbs(right, new Float32Array(2) as never),
  ],
  [
    'options.estimator is "k3", which needs options.reference: { logProbs }, one per row',
    OptionError,
    () => tokenLogProbs(right, [0, 0], { estimator: "k3" }),
  ],
  [
    'options.estimator is "k4"; it must be "k1", "k2" or "k3"',
    OptionError,
    () => tokenLogProbs(right, [0, 0], { estimator: "k4" as never, reference: { logProbs: [0, 0] } }),
  ],
  [
    "options.estimateGradOutput is given, but options.estimator does not say of what",
    OptionError,
    () => tokenLogProbs(right, [0, 0], { estimateGradOutput: 1 }),
  ],
  [
    "options.vocabSize is 4; it must be an integer from 1 to 3, the last axis",
    OptionError,
    () => tokenLogProbs(right, [0, 0], { vocabSize: 4 }),
  ],
  [
    'options.out.logits is given, but options.gradients does not name "logits"',
    OptionError,
    () => tokenLogProbs(right, [0, 0], { out: { logits: new Float32Array(6) } }),
  ],
];
for (const [message, instanceOf, call] of cases) {
  test(`error: ${message}`, (t) => {
    t.throws(call, { instanceOf: instanceOf as never, message });
  });
}

test("errors of the asynchronous form reject", async (t) => {
  await t.throwsAsync(() => tokenLogProbsAsync(right, [0]), { instanceOf: ShapeError });
});
