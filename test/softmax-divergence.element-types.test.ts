// softmaxDivergence with 16-bit elements: exact on the way in, computed in float32, rounded once on the way out.
import test from "ava";
import { softmaxDivergence, softmaxDivergenceAsync, type Rows, type StoredArray } from "../lib/index.js";
import { decode, encode } from "../lib/reference/elements.js";
import {
  agreementOf,
  backends,
  choices,
  logitPair,
  named,
  nativeBackends,
  normals,
  sides,
  statistics,
} from "./cases.js";
import { close, identical } from "./close.js";

const halves = ["float16", "bfloat16"] as const;
type Half = (typeof halves)[number];

const all = { reduction: "none", gradients: sides, statistics } as const;

function halfRows(dtype: Half, numbers: ArrayLike<number>, columns: number): Rows<Uint16Array> {
  const data = Uint16Array.from(numbers, (x) => encode(dtype, x));
  return { data, shape: [data.length / columns, columns], dtype };
}

function halfPair(dtype: Half, rows: number, columns: number): [Rows<Uint16Array>, Rows<Uint16Array>] {
  const { student, teacher } = logitPair({ rows, columns, dtype: "float64" });
  return [halfRows(dtype, student.data, columns), halfRows(dtype, teacher.data, columns)];
}

const wide = (rows: Rows<StoredArray>, dtype: Half): Rows<Float32Array> => ({
  data: Float32Array.from(rows.data, (bits) => decode(dtype, bits)),
  shape: rows.shape,
});

test("float16 and bfloat16 are IEEE 754's: known numbers, both ways", (t) => {
  const known: [dtype: Half, bits: number, number: number][] = [
    ["float16", 0x3c00, 1],
    ["float16", 0xc000, -2],
    ["float16", 0x7bff, 65504],
    ["float16", 0x0001, 2 ** -24],
    ["float16", 0x03ff, 1023 * 2 ** -24],
    ["float16", 0x0400, 2 ** -14],
    ["float16", 0x3555, 0.333251953125],
    ["float16", 0x7c00, Infinity],
    ["float16", 0xfc00, -Infinity],
    ["bfloat16", 0x3f80, 1],
    ["bfloat16", 0xc2f7, -123.5],
    ["bfloat16", 0x7f7f, 3.3895313892515355e38],
    ["bfloat16", 0x0001, 2 ** -133],
    ["bfloat16", 0xff80, -Infinity],
  ];
  for (const [dtype, bits, number] of known) {
    t.is(decode(dtype, bits), number);
    t.is(encode(dtype, number), bits);
  }
  // Ties go to the even neighbour; beyond half a step above the largest number there is only infinity.
  t.is(encode("float16", 1 + 2 ** -11), 0x3c00);
  t.is(encode("float16", 1 + 3 * 2 ** -11), 0x3c02);
  t.is(encode("float16", 65519), 0x7bff);
  t.is(encode("float16", 65520), 0x7c00);
  t.is(encode("float16", 2 ** -25), 0);
  t.is(encode("float16", 1.5 * 2 ** -24), 2);
  t.is(encode("bfloat16", 1 + 2 ** -8), 0x3f80);
  for (const dtype of halves) {
    for (let bits = 0; bits < 0x10000; bits++) {
      const number = decode(dtype, bits);
      if (Number.isNaN(number)) t.true(Number.isNaN(decode(dtype, encode(dtype, number))));
      else if (encode(dtype, number) !== bits) t.fail(`${dtype} ${bits.toString(16)}`);
    }
  }
});

for (const backend of nativeBackends) {
  for (const dtype of halves) {
    test(`${backend} ${dtype}: every number is read as what it is`, (t) => {
      // Against a column of 0 the log-sum-exp tells a logit; the temperature brings all of them within its reach.
      const temperature = dtype === "float16" ? 4096 : 1e30;
      const numbers = Array.from({ length: 0x10000 }, (_, bits) => decode(dtype, bits)).filter((x) =>
        Number.isFinite(x),
      );
      const pairs = halfRows(
        dtype,
        numbers.flatMap((x) => [x, 0]),
        2,
      );
      const options = { temperature, statistics: ["studentLogSumExp"], backend } as const;
      const { statistics: actual } = softmaxDivergence(pairs, pairs, options);
      const expected = softmaxDivergence(wide(pairs, dtype), wide(pairs, dtype), options);
      identical(t, actual.studentLogSumExp, expected.statistics.studentLogSumExp);
    });

    test(`${backend} ${dtype}: values are those of the same numbers in float32, gradients those rounded`, (t) => {
      for (const [rows, columns] of [
        [3, 5],
        [2, 1031],
        [1, 20000],
      ] as const) {
        const [student, teacher] = halfPair(dtype, rows, columns);
        for (const choice of choices) {
          const options = { ...all, ...choice, temperature: { student: 2, teacher: 1.5 }, backend };
          const actual = softmaxDivergence(student, teacher, options);
          const expected = softmaxDivergence(wide(student, dtype), wide(teacher, dtype), options);
          const what = `${named(choice)}, ${columns} columns`;
          identical(t, actual.values, expected.values, what);
          for (const name of statistics)
            identical(t, actual.statistics[name], expected.statistics[name], what);
          for (const side of sides) {
            const rounded = Uint16Array.from(expected.gradients[side], (x) => encode(dtype, x));
            t.deepEqual(actual.gradients[side], rounded, `${what}, ${side}`);
          }
        }
      }
    });

    test(`${backend} ${dtype}: agrees with the reference, which rounds once from float64`, (t) => {
      const [student, teacher] = halfPair(dtype, 4, 300);
      for (const choice of choices) {
        const options = { ...all, ...choice } as const;
        const actual = softmaxDivergence(student, teacher, { ...options, backend });
        const expected = softmaxDivergence(student, teacher, { ...options, backend: "reference" });
        close(t, actual.values, expected.values, {
          relative: agreementOf(choice, "float32"),
          what: named(choice),
        });
        for (const side of sides) {
          // Where float32 and float64 lie on either side of a tie, the next number.
          let apart = 0;
          actual.gradients[side].forEach((bits, i) => {
            const difference = Math.abs(bits - (expected.gradients[side][i] as number));
            t.true(difference <= 1, `${named(choice)} ${side}[${i}]`);
            apart += difference;
          });
          t.true(apart <= actual.gradients[side].length / 100, `${named(choice)} ${side}: ${apart} apart`);
        }
      }
    });

    test(`${backend} ${dtype}: a gradient beyond the format is an infinity, one below it 0, in NaN's row NaN`, (t) => {
      const student = halfRows(dtype, [3, 0, 3, 0, NaN, 0], 2);
      const teacher = halfRows(dtype, [0, 3, 0, 3, 0, 3], 2);
      const options = { gradients: ["student"], reduction: "none", backend } as const;
      const gradOutput = dtype === "float16" ? [1e6, 1e-9, 1] : [1e39, 1e-42, 1];
      const { gradients } = softmaxDivergence(student, teacher, { ...options, gradOutput });
      const numbers = Array.from(gradients.student, (bits) => decode(dtype, bits));
      if (dtype === "float16") t.deepEqual(numbers, [Infinity, -Infinity, 0, -0, NaN, NaN]);
      else t.deepEqual(numbers.slice(0, 2), [Infinity, -Infinity]);
      t.true(numbers.slice(4).every(Number.isNaN));
    });
  }
}

for (const backend of backends) {
  for (const dtype of halves) {
    test(`${backend} ${dtype}: asynchronous calls, padded rows, masks and the caller's arrays`, async (t) => {
      const [student, teacher] = halfPair(dtype, 5, 40);
      const out = { student: new Uint16Array(200).fill(0x3c00) };
      const options = {
        gradients: ["student"],
        reduction: "none",
        vocabSize: 33,
        rowMask: [1, 1, 0, 1, 1],
        backend,
      } as const;
      const now = softmaxDivergence(student, teacher, { ...options, out });
      t.is(now.gradients.student, out.student);
      const later = await softmaxDivergenceAsync(student, teacher, options);
      identical(t, later.values, now.values);
      t.deepEqual(later.gradients.student, now.gradients.student);
      t.is(now.values[2], 0);
      now.gradients.student.forEach((bits, i) => {
        const counts = i % 40 < 33 && Math.floor(i / 40) !== 2;
        t.is(bits !== 0, counts, `element ${i}`);
      });
    });
  }
}

// A stand-in for what newer JavaScript has: its numbers are bits here too.
class Float16Array extends Uint16Array {
  override get [Symbol.toStringTag](): "Uint16Array" {
    return "Float16Array" as never;
  }
}

test("a Float16Array comes back as one, in the memory that was given", (t) => {
  const [{ data, shape }, teacher] = halfPair("float16", 2, 10);
  const student = { data: new Float16Array(data) as never, shape };
  const options = { gradients: ["student"], backend: backends[0]! } as const;
  const expected = softmaxDivergence({ data, shape, dtype: "float16" }, teacher, options);
  const fresh = softmaxDivergence<never, typeof options>(student, teacher as never, options);
  const gradient = fresh.gradients.student as unknown;
  t.true(gradient instanceof Float16Array);
  t.deepEqual([...(gradient as Float16Array)], [...(expected.gradients.student as Uint16Array)]);
  const out = { student: new Float16Array(20) as never };
  const into = softmaxDivergence(student, teacher as never, { ...options, out });
  t.is(into.gradients.student, out.student);
  t.deepEqual([...(out.student as Float16Array)], [...(expected.gradients.student as Uint16Array)]);
});

test("bits without a meaning, and meanings that bits do not have, are refused", (t) => {
  const data = new Uint16Array(4);
  const rows = (dtype?: string): never => ({ data, shape: [2, 2], ...(dtype && { dtype }) }) as never;
  const float = { data: new Float32Array(4), shape: [2, 2] };
  t.throws(() => softmaxDivergence(rows(), rows("float16")), {
    message: 'student.dtype is undefined; for a Uint16Array it must be "float16" or "bfloat16"',
  });
  t.throws(() => softmaxDivergence(rows("float32"), rows("float16")), {
    message: 'student.dtype is "float32"; for a Uint16Array it must be "float16" or "bfloat16"',
  });
  t.throws(() => softmaxDivergence(rows("float16"), rows("bfloat16")), {
    message: "teacher is bfloat16, student float16; both must have one element type",
  });
  t.throws(() => softmaxDivergence(rows("float16"), float as never), {
    message: "teacher is float32, student float16; both must have one element type",
  });
  t.throws(
    () =>
      softmaxDivergence(rows("float16"), rows("float16"), {
        gradients: ["student"],
        out: { student: new Float32Array(4) },
      }),
    { message: "options.out.student is a Float32Array of length 4; it must be a Uint16Array" },
  );
});

test("random numbers round as the nearest of the format does", (t) => {
  const normal = normals(3);
  for (let i = 0; i < 2000; i++) {
    const x = normal() * 10 ** (4 * normal());
    for (const dtype of halves) {
      const bits = encode(dtype, x);
      if (!Number.isFinite(decode(dtype, bits))) continue;
      const error = Math.abs(decode(dtype, bits) - x);
      for (const neighbour of [bits - 1, bits + 1]) {
        const other = decode(dtype, neighbour & 0xffff);
        if (Number.isFinite(other)) t.true(error <= Math.abs(other - x), `${dtype} ${x}`);
      }
    }
  }
});
