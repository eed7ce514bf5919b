// How softmaxDivergence reads and writes memory: axes, padding, unaligned views, shared memory, the caller's arrays.
import test from "ava";
import { softmaxDivergence, type NumericArray, type Rows } from "../lib/index.js";
import {
  arrayOf,
  choices,
  everything,
  implementations,
  logitPair,
  named,
  sides,
  type Dtype,
} from "./cases.js";
import { identical, zeros } from "./close.js";

const bytesOf = { float32: 4, float64: 8 } as const;

/** The same numbers in a view that begins `offset` elements into its memory, between two garbage elements. */
function shifted(dtype: Dtype, values: ArrayLike<number>, offset: number, shared = false): NumericArray {
  const bytes = (values.length + offset + 1) * bytesOf[dtype];
  const buffer = shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
  const all = dtype === "float32" ? new Float32Array(buffer) : new Float64Array(buffer);
  all.fill(NaN);
  all.set(values, offset);
  return all.subarray(offset, offset + values.length);
}

/** Longer rows: what lies beyond `columns` would be seen if it were read. */
function padded({ data, shape }: Rows, stride: number, padding: (index: number) => number): Rows {
  const [rows, columns] = shape as [number, number];
  const longer = arrayOf(data instanceof Float32Array ? "float32" : "float64", { length: rows * stride });
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < stride; i++) {
      longer[row * stride + i] = i < columns ? (data[row * columns + i] as number) : padding(i);
    }
  }
  return { data: longer, shape: [rows, stride] };
}

/** The vocabulary's part of a padded gradient, and the rest. */
function split(
  gradient: NumericArray,
  stride: number,
  columns: number,
): [inside: number[], outside: number[]] {
  const [inside, outside]: [number[], number[]] = [[], []];
  gradient.forEach((x, i) => (i % stride < columns ? inside : outside).push(x));
  return [inside, outside];
}

for (const { backend, dtype, title } of implementations) {
  test(`${title}: axes before the last flatten to rows`, (t) => {
    const { student, teacher } = logitPair({ rows: 6, columns: 9, dtype });
    const flat = softmaxDivergence(student, teacher, { ...everything, backend });
    for (const shape of [
      [2, 3, 9],
      [1, 6, 1, 9],
      [6, 9],
    ]) {
      const options = { ...everything, backend };
      const actual = softmaxDivergence({ ...student, shape }, { ...teacher, shape }, options);
      identical(t, actual.values, flat.values);
      for (const side of sides) identical(t, actual.gradients[side], flat.gradients[side]);
    }
    const one = { data: student.data.slice(0, 9), shape: [9] };
    const other = { data: teacher.data.slice(0, 9), shape: [9] };
    const alone = softmaxDivergence(one, other, { ...everything, backend });
    identical(t, alone.values, flat.values.slice(0, 1));
  });

  test(`${title}: padding is not read, its gradient is 0, and the rest is as without padding`, (t) => {
    for (const columns of [1, 5, 16, 1030]) {
      const { student, teacher } = logitPair({ rows: 3, columns, dtype });
      for (const choice of choices) {
        const options = { ...everything, ...choice, backend };
        const plain = softmaxDivergence(student, teacher, options);
        for (const [studentStride, teacherStride, padding] of [
          [columns + 3, columns, NaN],
          [columns, columns + 17, 1e30],
          [columns + 16, columns + 5, Infinity],
          [columns + 1, columns + 1, NaN],
        ] as const) {
          const strides = { student: studentStride, teacher: teacherStride };
          const out = {
            student: arrayOf(dtype, new Array<number>(3 * studentStride).fill(NaN)),
            teacher: arrayOf(dtype, new Array<number>(3 * teacherStride).fill(-7)),
          };
          const actual = softmaxDivergence(
            padded(student, studentStride, () => padding),
            padded(teacher, teacherStride, () => padding),
            { ...options, vocabSize: columns, out },
          );
          const what = `${named(choice)}, ${columns} columns in ${studentStride} and ${teacherStride}`;
          identical(t, actual.values, plain.values, what);
          identical(t, actual.statistics.studentEntropy, plain.statistics.studentEntropy, what);
          t.deepEqual(actual.statistics.argmaxAgreement, plain.statistics.argmaxAgreement, what);
          for (const side of sides) {
            t.is(actual.gradients[side], out[side] as never);
            const [inside, outside] = split(out[side], strides[side], columns);
            identical(t, inside, plain.gradients[side], `${what}, ${side}`);
            if (outside.length > 0) zeros(t, outside, `${what}, ${side}`);
          }
        }
      }
    }
  });

  test(`${title}: padding of masked and of weightless rows has gradient 0 too, in arrays full of garbage`, (t) => {
    const { student, teacher } = logitPair({ rows: 3, columns: 21, dtype });
    for (const rowOptions of [
      { rowMask: [0, 0, 0] },
      { rowWeights: [0, 0, 0] },
      { gradOutput: 0 },
    ] as const) {
      const out = { student: student.data.map(() => NaN), teacher: teacher.data.map(() => 1e30) };
      const options = { ...rowOptions, vocabSize: 20, gradients: sides, out, backend };
      softmaxDivergence(student, teacher, options);
      for (const side of sides) zeros(t, out[side], JSON.stringify(rowOptions));
    }
  });

  test(`${title}: vocabSize equal to the last axis changes nothing`, (t) => {
    const { student, teacher } = logitPair({ rows: 2, columns: 19, dtype });
    const plain = softmaxDivergence(student, teacher, { ...everything, backend });
    const actual = softmaxDivergence(student, teacher, { ...everything, vocabSize: 19, backend });
    identical(t, actual.values, plain.values);
    for (const side of sides) identical(t, actual.gradients[side], plain.gradients[side]);
  });

  test(`${title}: views that begin anywhere, of any length, are read and written in place`, (t) => {
    for (const columns of [1, 7, 16, 33, 1025]) {
      const { student, teacher } = logitPair({ rows: 2, columns, dtype });
      const plain = softmaxDivergence(student, teacher, { ...everything, backend });
      for (const [studentOffset, teacherOffset, outOffset] of [
        [1, 3, 1],
        [3, 0, 5],
        [2, 1, 0],
      ] as const) {
        const out = {
          student: shifted(dtype, student.data, outOffset),
          teacher: shifted(dtype, teacher.data, outOffset + 1),
          values: shifted("float64", [5, 5], outOffset) as Float64Array,
        };
        const actual = softmaxDivergence(
          { data: shifted(dtype, student.data, studentOffset), shape: student.shape },
          { data: shifted(dtype, teacher.data, teacherOffset), shape: teacher.shape },
          { ...everything, out, backend },
        );
        const what = `${columns} columns, offsets ${studentOffset}, ${teacherOffset}, ${outOffset}`;
        identical(t, actual.values, plain.values, what);
        t.is(actual.values, out.values as never);
        for (const side of sides) {
          identical(t, out[side], plain.gradients[side], `${what}, ${side}`);
          const around = new (out[side].constructor as Float64ArrayConstructor)(
            out[side].buffer as ArrayBuffer,
          );
          const offset = out[side].byteOffset / bytesOf[dtype];
          // What lies around the view is the caller's.
          t.true(
            [...around.subarray(0, offset), ...around.subarray(offset + 2 * columns)].every(Number.isNaN),
            what,
          );
        }
      }
    }
  });

  test(`${title}: shared memory is read and written like any other`, (t) => {
    const { student, teacher } = logitPair({ rows: 3, columns: 130, dtype });
    const plain = softmaxDivergence(student, teacher, { ...everything, backend });
    const out = {
      student: shifted(dtype, student.data, 0, true),
      teacher: shifted(dtype, teacher.data, 1, true),
    };
    const actual = softmaxDivergence(
      { data: shifted(dtype, student.data, 1, true), shape: student.shape },
      { data: shifted(dtype, teacher.data, 0, true), shape: teacher.shape },
      { ...everything, out, backend },
    );
    identical(t, actual.values, plain.values);
    for (const side of sides) identical(t, out[side], plain.gradients[side], side);
  });

  test(`${title}: inputs are left as they were, and may be one and the same array`, (t) => {
    const { student, teacher } = logitPair({ rows: 3, columns: 40, dtype });
    const copies = { student: student.data.slice(), teacher: teacher.data.slice() };
    const plain = softmaxDivergence(student, teacher, { ...everything, backend });
    identical(t, student.data, copies.student);
    identical(t, teacher.data, copies.teacher);
    // Two halves of one array, one of them read twice.
    const joined = arrayOf(dtype, [...copies.student, ...copies.teacher]);
    const half = (index: number): Rows => ({
      data: joined.subarray(index * 120, (index + 1) * 120),
      shape: [3, 40],
    });
    const actual = softmaxDivergence(half(0), half(1), { ...everything, backend });
    identical(t, actual.values, plain.values);
    zeros(t, softmaxDivergence(half(1), half(1), { ...everything, backend }).values);
  });

  test(`${title}: gradients have the type and the length of their argument's data`, (t) => {
    const { student, teacher } = logitPair({ rows: 2, columns: 4, dtype });
    const { gradients } = softmaxDivergence(student, teacher, { gradients: sides, backend });
    for (const side of sides) {
      t.is(gradients[side].constructor, student.data.constructor as never);
      t.is(gradients[side].length, 8);
    }
  });
}
