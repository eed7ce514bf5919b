// Every error that softmaxDivergence's checks of arrays can give, with its whole message; and that none leaves a trace in
// `out`. Errors about options are in softmax-divergence.option-errors.test.ts.
import test, { type ExecutionContext } from "ava";
import { KullbackError, OptionError, ShapeError, softmaxDivergence } from "../lib/index.js";
import { backends } from "./cases.js";
import { identical } from "./close.js";
import { call, detached, expectErrors, pair, two, withOptions, type Arguments } from "./error-cases.js";

/** One argument in the place of each side in turn. */
const asStudent = (student: unknown) => (): Arguments => [student, two(4, 3, 2, 1)];
const asTeacher = (teacher: unknown) => (): Arguments => [two(1, 2, 3, 4), teacher];
const data = Float32Array.of(1, 2, 3, 4);

/** What ES2024 calls a resizable buffer; this project's library is ES2023's. */
function resizable(bytes: number): ArrayBuffer {
  const Resizable = ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer;
  return new Resizable(bytes, { maxByteLength: 2 * bytes });
}

expectErrors([
  ["student", "shape", "student is undefined; it must be an object { data, shape }", asStudent(undefined)],
  ["student", "shape", "student is null; it must be an object { data, shape }", asStudent(null)],
  ["student", "shape", "student is 3; it must be an object { data, shape }", asStudent(3)],
  ["teacher", "shape", 'teacher is "rows"; it must be an object { data, shape }', asTeacher("rows")],
  ["teacher", "shape", "teacher is a function; it must be an object { data, shape }", asTeacher(() => data)],
  [
    "student",
    "shape",
    "student is a Float32Array of length 4; it must be an object { data, shape }",
    asStudent(data),
  ],
  [
    "teacher",
    "shape",
    "teacher is an Array of length 2; it must be an object { data, shape }",
    asTeacher([
      [1, 2],
      [3, 4],
    ]),
  ],
]);

const notFloats = (what: string): string =>
  `student.data is ${what}; it must be a Float32Array, a Float64Array, a Uint16Array or a DeviceArray`;
const ofData = (values: unknown, shape: unknown = [2, 2]) => asStudent({ data: values, shape });
expectErrors([
  ["data", "dtype", notFloats("undefined"), asStudent({ shape: [2, 2] })],
  ["data", "dtype", notFloats("an Array of length 4"), ofData([1, 2, 3, 4])],
  ["data", "dtype", notFloats("a Uint8Array of length 4"), ofData(new Uint8Array(4))],
  ["data", "dtype", notFloats("a BigInt64Array of length 4"), ofData(new BigInt64Array(4))],
  ["data", "dtype", notFloats("a DataView"), ofData(new DataView(new ArrayBuffer(16)))],
  ["data", "dtype", notFloats("an object with no fields"), ofData(new ArrayBuffer(16))],
  ["data", "dtype", notFloats("an object with the fields 0, length"), ofData({ 0: 1, length: 1 })],
  ["data", "shape", "student.data has 4 elements; its shape [3, 2] needs 6", ofData(data, [3, 2])],
  ["data", "shape", "student.data has 4 elements; its shape [2, 1, 3] needs 6", ofData(data, [2, 1, 3])],
  [
    "data",
    "shape",
    "teacher.data is detached: its memory was transferred elsewhere",
    () => [two(1, 2, 3, 4), { data: detached(4), shape: [2, 2] }],
  ],
  [
    "dtype",
    "dtype",
    'student.data is a Float32Array, but student.dtype says "float64"; they must agree ' +
      '("float32" for Float32Array, "float64" for Float64Array, ' +
      '"float16" or "bfloat16" for Uint16Array)',
    asStudent({ data, shape: [2, 2], dtype: "float64" }),
  ],
  [
    "dtype",
    "dtype",
    'teacher.data is a Float64Array, but teacher.dtype says "bfloat16"; they must agree ' +
      '("float32" for Float32Array, "float64" for Float64Array, ' +
      '"float16" or "bfloat16" for Uint16Array)',
    asTeacher({ data: new Float64Array(4), shape: [2, 2], dtype: "bfloat16" }),
  ],
  [
    "dtype",
    "dtype",
    "teacher is float64, student float32; both must have one element type",
    asTeacher({ data: new Float64Array(4), shape: [2, 2] }),
  ],
]);

const shapeIs = (what: string): string => `student.shape is ${what}; it must be an array of one axis or more`;
const axisIs = (axis: number, what: string): string =>
  `student.shape[${axis}] is ${what}; it must be a non-negative integer`;
expectErrors([
  ["shape", "shape", shapeIs("undefined"), asStudent({ data })],
  ["shape", "shape", shapeIs("an Array of length 0"), ofData(data, [])],
  ["shape", "shape", shapeIs("4"), ofData(data, 4)],
  ["shape", "shape", shapeIs("a Float32Array of length 4"), ofData(data, data)],
  ["shape", "shape", axisIs(0, "-1"), ofData(data, [-1, 4])],
  ["shape", "shape", axisIs(1, "1.5"), ofData(data, [2, 1.5])],
  ["shape", "shape", axisIs(0, "NaN"), ofData(data, [NaN])],
  ["shape", "shape", axisIs(1, "Infinity"), ofData(data, [2, Infinity])],
  ["shape", "shape", axisIs(0, '"2"'), ofData(data, ["2", 2])],
  ["shape", "shape", axisIs(1, "undefined"), ofData(data, new Array<number>(2).fill(2, 0, 1))],
  ["shape", "shape", axisIs(0, "null"), ofData(data, [null, 2])],
  ["shape", "shape", axisIs(0, "9007199254740992"), ofData(data, [2 ** 53, 2])],
  [
    "shape",
    "shape",
    "teacher.stride is not known here; the fields are data, shape, dtype, ids",
    asTeacher({ ...two(1, 2, 3, 4), stride: 4 }),
  ],
  [
    "shape",
    "shape",
    "student.shape is [0]; its last axis must be at least 1",
    ofData(new Float32Array(), [0]),
  ],
  [
    "shape",
    "shape",
    "student.shape is [4, 0]; its last axis must be at least 1",
    ofData(new Float32Array(), [4, 0]),
  ],
  [
    "shape",
    "shape",
    "student.shape is [67108864, 134217728]; its product must be at most 2^53 - 1",
    ofData(data, [2 ** 26, 2 ** 27]),
  ],
  [
    "shape",
    "shape",
    "teacher has 1 rows, student 2; they must have the same, unless options.broadcast is true",
    asTeacher(two(1, 2)),
  ],
  [
    "shape",
    "shape",
    "teacher's last axis is 4, student's 2; they must agree, unless options.vocabSize says how much of each is the " +
      "vocabulary",
    asTeacher({ data: new Float32Array(8), shape: [2, 4] }),
  ],
]);

const out = (name: string, array: unknown, more: object = {}) =>
  withOptions({ gradients: ["student", "teacher"], reduction: "none", ...more, out: { [name]: array } });
expectErrors([
  ["out", "option", "options.out is 4; it must be an object", withOptions({ out: 4 })],
  [
    "out",
    "option",
    "options.out.gradient is not an option; the options are student, teacher, values",
    out("gradient", data),
  ],
  [
    "out",
    "dtype",
    "options.out.student is an Array of length 4; it must be a Float32Array",
    out("student", [1, 2, 3, 4]),
  ],
  [
    "out",
    "dtype",
    "options.out.teacher is a Float64Array of length 4; it must be a Float32Array",
    out("teacher", new Float64Array(4)),
  ],
  [
    "out",
    "dtype",
    "options.out.values is a Float32Array of length 2; it must be a Float64Array",
    out("values", new Float32Array(2)),
  ],
  ["out", "dtype", "options.out.student is null; it must be a Float32Array", out("student", null)],
  ["out", "shape", "options.out.student has 3 elements; it must have 4", out("student", new Float32Array(3))],
  ["out", "shape", "options.out.values has 4 elements; it must have 2", out("values", new Float64Array(4))],
  [
    "out",
    "shape",
    "options.out.teacher is detached: its memory was transferred elsewhere",
    out("teacher", detached(4)),
  ],
  [
    "out",
    "shape",
    "options.out.student lies in a resizable buffer; it must have a fixed length",
    out("student", new Float32Array(resizable(16))),
  ],
  [
    "out",
    "option",
    'options.out.teacher is given, but options.gradients does not name "teacher"',
    out("teacher", new Float32Array(4), { gradients: ["student"] }),
  ],
  [
    "out",
    "option",
    'options.out.values goes with reduction "none"; the reduction is "sum"',
    out("values", new Float64Array(2), { reduction: "sum" }),
  ],
]);

expectErrors([
  [
    "out",
    "shape",
    "options.out.student is detached: its memory was transferred elsewhere",
    (): Arguments => {
      const none = { data: new Float32Array(0), shape: [0, 2] };
      return [none, none, { gradients: ["student"], out: { student: detached(0) } }];
    },
  ],
]);

// Arrays that lie partly or wholly in one memory, and must not.
const sharing = (written: string, other: string): string =>
  `options.out.${written} shares memory with ${other}; it must have memory of its own`;
const overlapping = (make: (all: Float32Array<ArrayBuffer>) => Arguments) => (): Arguments =>
  make(new Float32Array(16));
const gradients = ["student", "teacher"];
expectErrors([
  [
    "memory",
    "option",
    sharing("student", "student.data"),
    overlapping((all) => [
      { data: all.subarray(0, 4), shape: [2, 2] },
      two(1, 2, 3, 4),
      { gradients, out: { student: all.subarray(3, 7) } },
    ]),
  ],
  [
    "memory",
    "option",
    sharing("teacher", "student.data"),
    overlapping((all) => [
      { data: all.subarray(4, 8), shape: [2, 2] },
      { data: all.subarray(0, 4), shape: [2, 2] },
      { gradients, out: { student: all.subarray(8, 12), teacher: all.subarray(4, 8) } },
    ]),
  ],
  [
    "memory",
    "option",
    sharing("student", "options.out.teacher"),
    overlapping((all) => [
      ...pair(),
      { gradients, out: { student: all.subarray(0, 4), teacher: all.subarray(2, 6) } },
    ]),
  ],
  [
    "memory",
    "option",
    sharing("teacher", "options.out.values"),
    overlapping((all) => [
      ...pair(),
      {
        gradients,
        reduction: "none",
        out: { teacher: all.subarray(4, 8), values: new Float64Array(all.buffer, 24, 2) },
      },
    ]),
  ],
]);

test("arrays side by side in one memory share none of it", (t) => {
  const all = Float32Array.from({ length: 16 }, (_, i) => i);
  const [student, teacher] = [0, 4].map((begin) => ({ data: all.subarray(begin, begin + 4), shape: [2, 2] }));
  t.notThrows(() =>
    call([student, teacher, { gradients, out: { student: all.subarray(8, 12), teacher: all.subarray(12) } }]),
  );
});

const written: (readonly [what: string, options: object])[] = [
  ["an unknown option", { gradientOf: 1 }],
  ["a bad temperature", { temperature: -1 }],
  ["a bad weight in the last row", { rowWeights: [1, NaN] }],
  ["a bad gradOutput", { gradOutput: [1] }],
  ["a bad teacher array", { out: { student: new Float32Array(4), teacher: new Float32Array(5) } }],
  ["an unknown backend", { backend: "gpu" }],
  ...(backends.includes("cuda") ? [] : [["a backend that cannot run", { backend: "cuda" }] as const]),
  ["an unknown statistic", { statistics: ["mode"] }],
];

for (const [what, options] of written) {
  test(`nothing is written to out where there is ${what}`, (t: ExecutionContext) => {
    const kept = { student: Float32Array.of(7, 8, 9, 10), teacher: Float32Array.of(1, 3, 5, 7) };
    const mine = { student: kept.student.slice(), teacher: kept.teacher.slice() };
    const outs = { ...mine, ...(options as { out?: object }).out, student: mine.student };
    t.throws(() => call([...pair(), { gradients, ...options, out: outs }]), { instanceOf: KullbackError });
    identical(t, mine.student, kept.student);
    identical(t, mine.teacher, kept.teacher);
  });
}

test("axes that flatten to as many rows, but differ, are refused", (t) => {
  const rows = (...shape: number[]) => ({ data: new Float32Array(12), shape });
  t.throws(() => softmaxDivergence(rows(2, 2, 3), rows(4, 3)), {
    instanceOf: ShapeError,
    message: "teacher's leading axes are [4], student's [2, 2]; they must be the same",
  });
});

test("cpu: two SharedArrayBuffers that are one memory are found out, and refused", (t) => {
  const shared = new SharedArrayBuffer(16);
  const student = { data: new Float32Array(shared, 0, 3), shape: [1, 3] };
  const teacher = { data: new Float32Array(new SharedArrayBuffer(12)), shape: [1, 3] };
  const out = { student: new Float32Array(structuredClone(shared), 4) };
  student.data.set([1, 2, 3]);
  t.throws(() => softmaxDivergence(student, teacher, { gradients: ["student"], out, backend: "cpu" }), {
    instanceOf: OptionError,
    message: "options.out.student shares memory with student.data; it must have memory of its own",
  });
  t.deepEqual([...student.data], [1, 2, 3]);
});
