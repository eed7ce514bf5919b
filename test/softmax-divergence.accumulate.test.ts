// softmaxDivergence into gradients that hold something: added to it, or written over the argument itself.
import test from "ava";
import { softmaxDivergence } from "../lib/index.js";
import { decode, encode } from "../lib/reference/elements.js";
import {
  backends,
  bothWays,
  choices,
  cpuChoices,
  implementations,
  lengthsFor,
  logitPair,
  named,
  rowsOf,
  sides,
} from "./cases.js";
import { close, identical } from "./close.js";

for (const { backend, dtype, title } of implementations) {
  test(`${title}: accumulate adds what a call without it writes`, async (t) => {
    for (const [rows, columns] of lengthsFor(backend, [
      [3, 5],
      [2, 1031],
      [1, 9000],
    ] as const)) {
      const { student, teacher } = logitPair({ rows, columns, dtype });
      for (const choice of backend === "cuda" ? cpuChoices : choices) {
        const options = { ...choice, gradients: sides, backend } as const;
        const { gradients, value } = softmaxDivergence(student, teacher, options);
        const held = student.data.map((_, i) => Math.cos(i) / columns);
        const expected = (side: "student" | "teacher") =>
          held.map((x, i) => x + (gradients[side][i] as number));
        const what = `${named(choice)}, ${columns} columns`;
        for (const run of bothWays) {
          const out = { student: held.slice(), teacher: held.slice() };
          const result = await run(student, teacher, { ...options, accumulate: true, out });
          t.is(result.gradients.student, out.student);
          t.is(result.value, value);
          for (const side of sides) {
            // The reference rounds to float32 once, where the sum of two rounded numbers rounds twice.
            const relative = dtype === "float32" ? 1.2e-7 : 1e-15;
            close(t, out[side], expected(side), { relative, what });
          }
        }
      }
    }
  });

  test(`${title}: accumulate leaves masked rows, padding and rows of weight 0 as they are`, (t) => {
    const { student, teacher } = logitPair({ rows: 4, columns: 10, dtype });
    const held = student.data.map((_, i) => i + 0.5);
    const out = { student: held.slice() };
    student.data[30] = NaN;
    softmaxDivergence(student, teacher, {
      gradients: ["student"],
      accumulate: true,
      out,
      vocabSize: 7,
      rowMask: [1, 0, 1, 1],
      rowWeights: [1, 1, 0, 0],
      backend,
    });
    out.student.forEach((x, i) => {
      t.is(x !== held[i], i < 7, `element ${i}`);
    });
  });

  test(`${title}: a gradient may be written over its own argument`, async (t) => {
    for (const [rows, columns] of lengthsFor(backend, [
      [3, 5],
      [2, 1031],
      [1, 20000],
    ] as const)) {
      const pair = () => logitPair({ rows, columns, dtype });
      for (const choice of backend === "cuda" ? cpuChoices : choices) {
        for (const gradients of [["student"], ["teacher"], sides] as const) {
          const what = `${named(choice)} ${gradients.join()}, ${columns} columns`;
          const { student, teacher } = pair();
          const expected = softmaxDivergence(student, teacher, { ...choice, gradients, backend });
          for (const run of bothWays) {
            const over = pair();
            const out = Object.fromEntries(gradients.map((side) => [side, over[side].data]));
            const actual = await run(over.student, over.teacher, { ...choice, gradients, out, backend });
            t.is(actual.value, expected.value, what);
            for (const side of sides) {
              const wanted = (gradients as readonly string[]).includes(side)
                ? (expected.gradients as Record<string, Float32Array>)[side]!
                : pair()[side].data;
              identical(t, over[side].data, wanted, `${what}, ${side}`);
            }
          }
        }
      }
    }
  });

  test(`${title}: the divergence of each row, whatever its weight, the scale and the reduction`, (t) => {
    const { student, teacher } = logitPair({ rows: 4, columns: 50, dtype });
    for (const choice of choices) {
      const { values } = softmaxDivergence(student, teacher, { ...choice, reduction: "none", backend });
      const { statistics } = softmaxDivergence(student, teacher, {
        ...choice,
        temperatureScaling: "squared",
        rowWeights: [0, -3, 5, 1],
        rowMask: [1, 1, 1, 0],
        statistics: ["divergence"],
        backend,
      });
      identical(t, statistics.divergence, values.with(3, 0), named(choice));
    }
  });
}

for (const backend of backends) {
  for (const dtype of ["float16", "bfloat16"] as const) {
    test(`${backend} ${dtype}: a sum of gradients is rounded once`, (t) => {
      const bits = (numbers: ArrayLike<number>): Uint16Array =>
        Uint16Array.from(numbers, (x) => encode(dtype, x));
      const { student, teacher } = logitPair({ rows: 3, columns: 200, dtype: "float32" });
      const rows = (data: Uint16Array) => ({ data, shape: [3, 200], dtype });
      const [ours, theirs] = [rows(bits(student.data)), rows(bits(teacher.data))];
      const floats = ({ data }: { data: Uint16Array }) =>
        rowsOf(
          "float32",
          200,
          Array.from(data, (x) => decode(dtype, x)),
        );
      const options = { gradients: ["student"], reduction: "sum", backend } as const;
      const { gradients } = softmaxDivergence(floats(ours), floats(theirs), options);
      const held = bits(student.data.map((_, i) => Math.sin(i) / 100));
      const out = { student: held.slice() };
      softmaxDivergence(ours, theirs, { ...options, accumulate: true, out });
      const expected = Uint16Array.from(held, (x, i) =>
        encode(dtype, Math.fround(decode(dtype, x) + (gradients.student[i] as number))),
      );
      const apart = out.student.filter((x, i) => Math.abs(x - (expected[i] as number)) > 0).length;
      // The reference adds in float64, which now and then lies on the other side of a tie.
      t.true(apart <= (backend === "reference" ? 3 : 0), `${apart} apart`);
      t.notDeepEqual(out.student, held);
    });
  }
}

test("accumulate wants arrays to add to", (t) => {
  const { student, teacher } = logitPair({ rows: 2, columns: 3, dtype: "float32" });
  const out = { student: new Float32Array(6) };
  const call = (options: object) => () => softmaxDivergence(student, teacher, options);
  t.throws(call({ accumulate: 1 }), { message: "options.accumulate is 1; it must be true or false" });
  t.throws(call({ accumulate: true }), {
    message: "options.accumulate is true, but options.gradients names nothing that it could add",
  });
  t.throws(call({ accumulate: true, gradients: ["student", "teacher"], out }), {
    message: "options.accumulate adds to options.out.teacher, which is not given",
  });
  t.throws(call({ gradients: ["student"], out: { student: teacher.data } }), {
    message: "options.out.student shares memory with teacher.data; it must have memory of its own",
  });
  // Also where the argument that it may be written over is the same array.
  t.throws(
    () => softmaxDivergence(student, student, { gradients: ["student"], out: { student: student.data } }),
    { message: "options.out.student shares memory with teacher.data; it must have memory of its own" },
  );
});
