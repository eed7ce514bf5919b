// softmaxDivergence gives the same bits twice, on any number of threads, now or later, and row by row.
import test, { type ExecutionContext } from "ava";
import { setThreadCount, softmaxDivergence, softmaxDivergenceAsync, threadCount } from "../lib/index.js";
import {
  agreementOf,
  choices,
  cpuChoices,
  dtypes,
  everything,
  implementations,
  logitPair,
  named,
  sides,
  statistics,
} from "./cases.js";
import { close, identical } from "./close.js";

// setThreadCount is the whole process's, and test files run as its threads: others may see the counts that are set
// here, which is no more than this file promises them.
const threadsBefore = threadCount();
test.after.always(() => {
  setThreadCount(threadsBefore);
});

/** Everything that a call returns, with the bytes compared: argmaxAgreement is a Uint8Array, the rest floats. */
type Result = Awaited<ReturnType<typeof softmaxDivergenceAsync<Float32Array, typeof everything>>>;

function same(t: ExecutionContext, actual: Result, expected: Result, what: string): void {
  identical(t, actual.values, expected.values, `${what}, values`);
  for (const side of sides)
    identical(t, actual.gradients[side], expected.gradients[side], `${what}, ${side}`);
  for (const name of statistics)
    identical(t, actual.statistics[name], expected.statistics[name], `${what}, ${name}`);
}

/** Rows over threads, a few long rows whose segments go over threads, and what is too small for either. */
const shapes = [
  { rows: 3, columns: 5 },
  { rows: 2000, columns: 33 },
  { rows: 90, columns: 1031 },
  { rows: 1, columns: 151936 },
  { rows: 3, columns: 20000 },
];

for (const dtype of dtypes) {
  for (const { rows, columns } of shapes) {
    test(`cpu ${dtype}: ${rows} rows of ${columns} give the same bits on 1, 2, 3 and 8 threads, and every time`, (t) => {
      const { student, teacher } = logitPair({ rows, columns, dtype });
      for (const choice of cpuChoices) {
        const run = (threads: number) => {
          setThreadCount(threads);
          const temperature = { student: 2, teacher: 1.5 };
          const options = { ...choice, temperature, backend: "cpu" } as const;
          return {
            all: softmaxDivergence(student, teacher, { ...everything, ...options }) as Result,
            // Without gradients other paths are taken, and sums over rows are sums over threads' rows.
            values: softmaxDivergence(student, teacher, { ...options, reduction: "none" }).values,
            sum: softmaxDivergence(student, teacher, { ...options, reduction: "sum" }).value,
          };
        };
        const expected = run(1);
        for (const threads of [1, 2, 3, 8, 8]) {
          const actual = run(threads);
          const what = `${named(choice)} on ${threads} threads`;
          same(t, actual.all, expected.all, what);
          identical(t, actual.values, expected.values, what);
          identical(t, actual.sum, expected.sum, what);
        }
        const tolerance = { relative: agreementOf(choice, "float32"), group: 1, what: named(choice) };
        close(t, expected.values, expected.all.values, tolerance);
      }
    });
  }
}

test("cpu: many small calls on many threads all give the same bits", (t) => {
  const { student, teacher } = logitPair({ rows: 40, columns: 1000, dtype: "float32" });
  setThreadCount(8);
  const run = () => softmaxDivergence(student, teacher, { ...everything, backend: "cpu" }) as Result;
  const expected = run();
  for (let i = 0; i < 100; i++) same(t, run(), expected, `call ${i}`);
});

for (const { backend, dtype, title } of implementations) {
  test(`${title}: later is the same as now`, async (t) => {
    for (const [rows, columns] of [
      [7, 13],
      [50, 1200],
      [2, 20000],
    ] as const) {
      // The reference has one path, a slow one.
      if (backend === "reference" && rows * columns > 100) continue;
      const { student, teacher } = logitPair({ rows, columns, dtype });
      for (const choice of choices) {
        const options = { ...everything, ...choice, backend };
        const now = softmaxDivergence(student, teacher, options) as Result;
        const later = (await softmaxDivergenceAsync(student, teacher, options)) as Result;
        same(t, later, now, `${named(choice)}, ${rows} rows of ${columns}`);
        t.is(later.backend, backend);
        const sums = { ...choice, reduction: "sum", backend } as const;
        const sum = await softmaxDivergenceAsync(student, teacher, sums);
        identical(t, sum.value, softmaxDivergence(student, teacher, sums).value);
      }
    }
  });

  test(`${title}: a row is the same in a batch as alone`, (t) => {
    for (const [rows, columns] of [
      [9, 13],
      [40, 1500],
      [2, 20000],
    ] as const) {
      const { student, teacher } = logitPair({ rows, columns, dtype });
      const batch = softmaxDivergence(student, teacher, { ...everything, backend }) as Result;
      for (let row = 0; row < rows; row++) {
        const of = (data: Float32Array | Float64Array) => data.subarray(row * columns, (row + 1) * columns);
        const [one, other] = [of(student.data), of(teacher.data)];
        const options = { ...everything, backend };
        const alone = softmaxDivergence(
          { data: one, shape: [columns] },
          { data: other, shape: [columns] },
          options,
        );
        const what = `row ${row} of ${rows}, ${columns} columns`;
        identical(t, alone.values, batch.values.subarray(row, row + 1), what);
        for (const side of sides) identical(t, alone.gradients[side], of(batch.gradients[side]), what);
        for (const name of statistics) {
          identical(
            t,
            alone.statistics[name],
            batch.statistics[name].subarray(row, row + 1),
            `${what}, ${name}`,
          );
        }
      }
    }
  });
}
