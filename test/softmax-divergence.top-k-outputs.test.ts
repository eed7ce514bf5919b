// softmaxDivergence from a teacher that names K columns: what goes into a call beside it, and what is written where.
import test from "ava";
import { DeviceArray, setThreadCount, softmaxDivergence, threadCount } from "../lib/index.js";
import type { NumericArray, Rows } from "../lib/index.js";
import { arrayOf, backends, bothWays, implementations, rowsOf } from "./cases.js";
import { close, identical, zeros } from "./close.js";
import { sparse, tails } from "./top-k-oracle.js";

for (const { backend, dtype, title } of implementations) {
  test(`${title}: weights, masks, slopes and priors do what they do with other teachers`, async (t) => {
    const { student, teacher } = sparse({ rows: 4, columns: 30, slots: 5, dtype });
    const prior = Float64Array.from({ length: 30 }, (_, i) => Math.cos(i));
    const shifted = rowsOf(
      dtype,
      30,
      student.data.map((x, i) => x + prior[i % 30]!),
    );
    const relative = dtype === "float32" ? 3e-6 : 1e-13;
    for (const tail of tails) {
      const options = { teacher: "topK", tail, gradients: ["student"], backend, reduction: "none" } as const;
      const plain = softmaxDivergence(shifted, teacher, options);
      const of = (array: NumericArray, row: number): NumericArray => array.slice(row * 30, row * 30 + 30);
      for (const run of bothWays) {
        const { values, gradients, statistics } = await run(student, teacher, {
          ...options,
          rowWeights: [1, 2, 0, 3],
          rowMask: [1, 1, 1, 0],
          gradOutput: [1, 0.5, 1, 1],
          logPrior: { student: prior },
          statistics: ["divergence"],
        });
        const [first, second] = plain.values as unknown as [number, number];
        close(t, values.slice(0, 2), [first, 2 * second], { relative, what: tail });
        close(t, statistics.divergence, [...plain.values.slice(0, 3), 0], { relative, what: tail });
        for (const row of [0, 1]) {
          close(t, of(gradients.student, row), of(plain.gradients.student, row), { relative, what: tail });
        }
        zeros(t, [...values.slice(2), ...gradients.student.slice(60)], tail);
      }
    }
  });

  test(`${title}: gradients are written beside, over or onto what is there, and not into padding`, async (t) => {
    const { student, teacher } = sparse({ rows: 2, columns: 30, slots: 5, dtype });
    const inPadding = (i: number): boolean => i % 32 >= 30;
    const padded = rowsOf(
      dtype,
      32,
      Array.from({ length: 64 }, (_, i) =>
        inPadding(i) ? NaN : student.data[Math.floor(i / 32) * 30 + (i % 32)]!,
      ),
    );
    for (const tail of tails) {
      const options = { teacher: "topK", tail, gradients: ["student"], backend } as const;
      const plain = softmaxDivergence(student, teacher, options).gradients.student;
      const expected = padded.data.map((_, i) =>
        inPadding(i) ? 0 : plain[Math.floor(i / 32) * 30 + (i % 32)]!,
      );
      for (const run of bothWays) {
        const within = { ...options, vocabSize: 30 };
        const fresh = await run(padded, teacher, within);
        identical(t, fresh.gradients.student, expected, tail);
        const over = { data: padded.data.slice(), shape: padded.shape };
        await run(over, teacher, { ...within, out: { student: over.data } });
        identical(t, over.data, expected, tail);
        const held = arrayOf(dtype, new Float64Array(64).fill(1));
        await run(padded, teacher, { ...within, accumulate: true, out: { student: held } });
        identical(
          t,
          held,
          arrayOf(
            dtype,
            expected.map((x) => 1 + x),
          ),
          tail,
        );
      }
    }
  });

  test(`${title}: one teacher goes with every student`, (t) => {
    const { student, teacher } = sparse({ rows: 4, columns: 40, slots: 6, dtype }, 1);
    const repeat = (array: ArrayLike<number>): number[] =>
      Array.from({ length: 4 * 6 }, (_, i) => array[i % 6]!);
    const repeated = {
      data: arrayOf(dtype, repeat(teacher.data)),
      ids: Int32Array.from(repeat(teacher.ids)),
      shape: [4, 6],
    };
    for (const tail of tails) {
      const options = { teacher: "topK", tail, gradients: ["student"], reduction: "none", backend } as const;
      const expected = softmaxDivergence(student, repeated, options);
      const actual = softmaxDivergence(student, teacher, { ...options, broadcast: true });
      identical(t, actual.values, expected.values, tail);
      identical(t, actual.gradients.student, expected.gradients.student, tail);
    }
  });
}

if (backends.includes("cpu")) {
  test.serial("cpu: the number of threads changes no bit", (t) => {
    const before = threadCount();
    t.teardown(() => setThreadCount(before));
    for (const [rows, columns] of [
      [1, 70000],
      [64, 2000],
    ] as const) {
      const { student, teacher } = sparse({ rows, columns, slots: 16, dtype: "float32" });
      for (const tail of tails) {
        const run = (threads: number): { values: Float64Array; student: Float32Array } => {
          setThreadCount(threads);
          const options = { teacher: "topK", tail, reduction: "none", gradients: ["student"] } as const;
          const { values, gradients } = softmaxDivergence(student as Rows<Float32Array>, teacher as never, {
            ...options,
            backend: "cpu",
          });
          return { values, student: gradients.student };
        };
        const [one, four] = [run(1), run(4)];
        identical(t, four.values, one.values, tail);
        identical(t, four.student, one.student, tail);
      }
    }
  });
}

if (backends.includes("cuda")) {
  test("cuda: on the device, ids stay with the host and all else is the same", (t) => {
    const { student, teacher } = sparse({ rows: 3, columns: 1100, slots: 9, holes: true, dtype: "float32" });
    const there = (rows: Rows): { data: DeviceArray<"float32">; shape: readonly number[] } => ({
      data: DeviceArray.from(rows.data as Float32Array),
      shape: rows.shape,
    });
    const [studentThere, teacherThere] = [there(student), { ...there(teacher), ids: teacher.ids }];
    for (const tail of tails) {
      const options = { teacher: "topK", tail, gradients: ["student"], reduction: "none" } as const;
      const expected = softmaxDivergence(student, teacher, { ...options, backend: "cuda" });
      const actual = softmaxDivergence(studentThere, teacherThere, options);
      identical(t, actual.values, expected.values, tail);
      identical(t, actual.gradients.student.read(), expected.gradients.student, tail);
      actual.gradients.student.dispose();
    }
    const wrong = { ...teacherThere, data: DeviceArray.from(new Float32Array(27).fill(1)) };
    t.throws(() => softmaxDivergence(studentThere, wrong, { teacher: "topK", tail: "truncate" }), {
      code: "ERR_KULLBACK_OPTION",
      message: /^teacher holds rows that are no log-probabilities: each must be at most 0, /,
    });
  });
}
