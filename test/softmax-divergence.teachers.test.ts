// softmaxDivergence from teachers that are not logits, with log-priors, and from one teacher for many students.
import test from "ava";
import { softmaxDivergence, softmaxDivergenceAsync, type Rows } from "../lib/index.js";
import { encode } from "../lib/reference/elements.js";
import {
  agreementOf,
  backends,
  bothWays,
  choices,
  implementations,
  lengthsFor,
  logitPair,
  named,
  rowsOf,
  sides,
} from "./cases.js";
import { close, identical } from "./close.js";

/** Log-softmax of each row, in float64. */
function logProbs({ data, shape }: Rows): Float64Array {
  const columns = shape.at(-1) as number;
  const result = Float64Array.from(data);
  for (let begin = 0; begin < data.length; begin += columns) {
    const row = result.subarray(begin, begin + columns);
    const maximum = Math.max(...row);
    const logSum = Math.log(row.reduce((sum, x) => sum + Math.exp(x - maximum), 0));
    row.forEach((x, i) => (row[i] = x - maximum - logSum));
  }
  return result;
}

for (const { backend, dtype, title } of implementations) {
  test(`${title}: a teacher in log-probabilities or in probabilities is that of its logits`, (t) => {
    for (const [rows, columns] of lengthsFor(backend, [
      [4, 7],
      [2, 1500],
      [1, 9000],
    ] as const)) {
      const { student, teacher } = logitPair({ rows, columns, dtype });
      const logs = logProbs(teacher);
      const given = {
        logProbs: rowsOf(dtype, columns, logs),
        probabilities: rowsOf(dtype, columns, logs.map(Math.exp)),
      };
      for (const choice of choices) {
        for (const kind of ["logProbs", "probabilities"] as const) {
          const options = {
            ...choice,
            reduction: "none",
            temperature: { student: 1, teacher: 2 },
            gradients: ["student"],
            backend,
          } as const;
          const expected = softmaxDivergence(student, teacher, options);
          const actual = softmaxDivergence(student, given[kind], { ...options, teacher: kind });
          // Logarithms of the order of 10 have roundings of their own.
          const relative = 10 * agreementOf(choice, dtype);
          const what = `${named(choice)} ${kind}, ${columns} columns`;
          close(t, actual.values, expected.values, { relative, what });
          close(t, actual.gradients.student, expected.gradients.student, { relative, group: columns, what });
        }
      }
    }
  });

  test(`${title}: a probability of 0 is a logit of -Infinity`, (t) => {
    const student = rowsOf(dtype, 3, [1, 2, 3]);
    const options = { gradients: ["student"], backend } as const;
    const probabilities = rowsOf(dtype, 3, [0.25, 0, 0.75]);
    const actual = softmaxDivergence(student, probabilities, { ...options, teacher: "probabilities" });
    const logits = rowsOf(dtype, 3, [Math.log(0.25), -Infinity, Math.log(0.75)]);
    const expected = softmaxDivergence(student, logits, options);
    const relative = dtype === "float32" ? 1e-6 : 1e-15;
    close(t, actual.value, expected.value, { relative });
    close(t, actual.gradients.student, expected.gradients.student, { relative });
  });

  test(`${title}: rows that are no probabilities are refused by row, and nothing is written`, async (t) => {
    const student = rowsOf(dtype, 2, [1, 2, 3, 4, 5, 6]);
    const out = { student: student.data.map(() => 7) };
    const options = { teacher: "probabilities", gradients: ["student"], out, backend } as const;
    const wrong: [numbers: number[], message: RegExp][] = [
      [
        [0.5, 0.5, 0.5, 0.7, 1, 0],
        /^teacher's row 1 sums to 1\.(2|19).*; a row of .* must sum to 1 within 0\.001$/,
      ],
      [
        [0.5, 0.5, 1.5, -0.5, 1, 0],
        /^teacher's row 1 holds -0\.5 in column 1; probabilities must be at least 0$/,
      ],
      [[0.5, 0.5, 1, 0, NaN, 1], /^teacher's row 2 holds NaN in column 0; probabilities must be at least 0$/],
    ];
    for (const [numbers, message] of wrong) {
      const teacher = rowsOf(dtype, 2, numbers);
      t.throws(() => softmaxDivergence(student, teacher, options), { code: "ERR_KULLBACK_OPTION", message });
      await t.throwsAsync(softmaxDivergenceAsync(student, teacher, options), { message });
      t.true(out.student.every((x) => x === 7));
    }
    // Rows that do not count may hold anything.
    const rowMask = [1, 0, 1] as const;
    const value = softmaxDivergence(student, rowsOf(dtype, 2, [0.5, 0.5, 9, 9, 1, 0]), {
      ...options,
      rowMask,
    });
    t.true(Number.isFinite(value.value));
  });

  test(`${title}: a log-prior is added to logits / temperature`, (t) => {
    const { student, teacher } = logitPair({ rows: 3, columns: 600, dtype });
    const prior = Float64Array.from({ length: 600 }, (_, i) => (i === 5 ? -Infinity : Math.sin(i)));
    const temperature = { student: 2, teacher: 4 };
    const shifted = (rows: Rows, factor: number) =>
      rowsOf(
        dtype,
        600,
        Float64Array.from(rows.data, (x, i) => x + factor * (prior[i % 600] as number)),
      );
    for (const choice of choices) {
      const options = { ...choice, temperature, gradients: sides, reduction: "none", backend } as const;
      const actual = softmaxDivergence(student, teacher, {
        ...options,
        logPrior: { student: prior, teacher: prior },
      });
      const expected = softmaxDivergence(shifted(student, 2), shifted(teacher, 4), options);
      const relative = 3 * agreementOf(choice, dtype);
      close(t, actual.values, expected.values, { relative, what: named(choice) });
      for (const side of sides) {
        const what = `${named(choice)} ${side}`;
        close(t, actual.gradients[side], expected.gradients[side], { relative, group: 600, what });
        t.is(actual.gradients[side][5], 0);
      }
    }
  });

  test(`${title}: one teacher goes with every student`, async (t) => {
    for (const columns of lengthsFor(backend, [33, 9000])) {
      const { student, teacher } = logitPair({ rows: 5, columns, dtype });
      const one = { data: teacher.data.slice(0, columns), shape: [columns] };
      const repeated = {
        data: teacher.data.map((_, i) => one.data[i % columns] as number),
        shape: [5, columns],
      };
      for (const choice of choices) {
        const options = { ...choice, gradients: ["student"], reduction: "none", backend } as const;
        const expected = softmaxDivergence(student, repeated, options);
        for (const run of bothWays) {
          const actual = await run(student, one, { ...options, broadcast: true });
          identical(t, actual.values, expected.values, named(choice));
          identical(t, actual.gradients.student, expected.gradients.student, named(choice));
        }
      }
    }
  });
}

for (const backend of backends) {
  test(`${backend}: probabilities of 16 bits, one row of them, and none`, (t) => {
    const half = (numbers: number[], shape: number[]) => ({
      data: Uint16Array.from(numbers, (x) => encode("bfloat16", x)),
      shape,
      dtype: "bfloat16" as const,
    });
    const student = half([1, 2, 3, 4], [2, 2]);
    const options = { teacher: "probabilities", broadcast: true, backend } as const;
    const { value } = softmaxDivergence(student, half([0.25, 0.75], [2]), options);
    close(t, value, 0.25 * Math.log(0.25 * (1 + Math.E)) + 0.75 * Math.log((0.75 * (1 + Math.E)) / Math.E), {
      relative: 1e-6,
    });
    // Within what 16 bits may be off by.
    t.notThrows(() => softmaxDivergence(student, half([0.255, 0.75], [2]), options));
    t.throws(() => softmaxDivergence(student, half([0.27, 0.75], [2]), options), {
      message: /within 0\.01$/,
    });
    t.is(softmaxDivergence(half([], [0, 2]), half([0.25, 0.75], [2]), options).value, 0);
  });
}

test("teachers and priors that are none are refused", (t) => {
  const { student, teacher } = logitPair({ rows: 2, columns: 3, dtype: "float32" });
  const call =
    (options: object, theirs: Rows = teacher) =>
    () =>
      softmaxDivergence(student, theirs, options);
  const one = { data: new Float32Array(3), shape: [3] };
  t.throws(call({ teacher: "probs" }), {
    message: 'options.teacher is "probs"; it must be "logits", "logProbs", "probabilities" or "topK"',
  });
  t.throws(call({ teacher: "probabilities", gradients: ["teacher"] }), {
    message: /^options\.gradients names "teacher", but probabilities have no gradient: .*"logProbs"$/,
  });
  t.throws(call({ broadcast: true, gradients: ["teacher"] }, one), {
    message: 'options.gradients names "teacher", but with options.broadcast it has no gradient',
  });
  t.throws(call({ broadcast: 1 }), { message: "options.broadcast is 1; it must be true or false" });
  t.throws(call({ broadcast: true }), {
    message: "teacher has 2 rows; with options.broadcast it must have one",
  });
  t.throws(call({ logPrior: { students: [1, 2, 3] } }), {
    message: "options.logPrior.students is not an option; the options are student, teacher",
  });
  t.throws(call({ logPrior: { student: [1, 2] } }), {
    message: "options.logPrior.student has 2 elements; it must have 3, one per column",
  });
  t.throws(call({ logPrior: { teacher: [1, Infinity, 2] } }), {
    message: "options.logPrior.teacher[1] is Infinity; it must be finite or -Infinity",
  });
  t.throws(call({ logPrior: { teacher: [1, NaN, 2] } }), {
    message: "options.logPrior.teacher[1] is NaN; it must be finite or -Infinity",
  });
});
