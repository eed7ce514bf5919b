// What is refused of teachers that name K columns, in words, before anything is written.
import test from "ava";
import { softmaxDivergence, softmaxDivergenceAsync } from "../lib/index.js";
import { backends } from "./cases.js";
import { close, zeros } from "./close.js";
import { expectErrors, type Arguments } from "./error-cases.js";

const student = { data: new Float32Array(8), shape: [2, 4] };
const right = { data: new Float32Array(4).fill(-1), ids: Int32Array.of(0, 1, 2, 3), shape: [2, 2] };

/** A right call, but for what is given. */
const withTeacher =
  (teacher: object, options: object = {}) =>
  (): Arguments => [student, { ...right, ...teacher }, { teacher: "topK", tail: "tailBucket", ...options }];
const withOptions = (options: object): (() => Arguments) => withTeacher({}, options);
const dense =
  (options: object, teacher: object = {}) =>
  (): Arguments => [student, { ...student, ...teacher }, options];

const four = '"truncate", "renormalize", "tailBucket" or "zeroOutside"';
expectErrors([
  ["no tail", "option", `options.tail is undefined; it must be ${four}`, withOptions({ tail: undefined })],
  ["an unknown tail", "option", `options.tail is "drop"; it must be ${four}`, withOptions({ tail: "drop" })],
  [
    "a tail without K columns",
    "option",
    'options.tail is "truncate", which goes with teacher "topK"; the teacher is "logits"',
    dense({ tail: "truncate" }),
  ],
  [
    "a tail of log-probabilities",
    "option",
    'options.tail is "truncate", which goes with teacher "topK"; the teacher is "logProbs"',
    dense({ tail: "truncate", teacher: "logProbs" }),
  ],
  [
    "ids without K columns",
    "option",
    'teacher.ids goes with options.teacher "topK"; the teacher is "logits"',
    dense({}, { ids: new Int32Array(8) }),
  ],
  [
    "truncation of what it is not defined for",
    "option",
    'options.tail is "truncate", which is defined for divergence "forwardKl", "reverseKl" and "crossEntropy"; the ' +
      'divergence is "jeffreys"',
    withOptions({ tail: "truncate", divergence: "jeffreys" }),
  ],
  [
    "one temperature for both",
    "option",
    'options.temperature is 2; with tail "tailBucket" the teacher\'s must be 1, since what it leaves out cannot take a ' +
      "temperature: give { student: 2, teacher: 1 }",
    withOptions({ temperature: 2 }),
  ],
  [
    "the teacher's temperature",
    "option",
    'options.temperature.teacher is 2; with tail "truncate" the teacher\'s must be 1, since what it leaves out cannot ' +
      "take a temperature: give { student: 3, teacher: 1 }",
    withOptions({ temperature: { student: 3, teacher: 2 }, tail: "truncate" }),
  ],
  [
    "a teacher's gradient",
    "option",
    'options.gradients names "teacher", but a teacher of K columns has no gradient',
    withOptions({ gradients: ["teacher"] }),
  ],
  [
    "a teacher's prior",
    "option",
    "options.logPrior.teacher is given, but a teacher of K columns has none: add it to the log-probabilities",
    withOptions({ logPrior: { teacher: [0, 0, 0, 0] } }),
  ],
  [
    "a vocabulary beyond the student's",
    "option",
    "options.vocabSize is 5; it must be an integer from 1 to 4, the shorter last axis",
    withOptions({ vocabSize: 5 }),
  ],
  [
    "no ids",
    "option",
    "teacher.ids is undefined; it must be an Int32Array, as long as teacher.data",
    withTeacher({ ids: undefined }),
  ],
  [
    "ids that are no integers",
    "option",
    "teacher.ids is a Float32Array of length 4; it must be an Int32Array, as long as teacher.data",
    withTeacher({ ids: new Float32Array(4) }),
  ],
  [
    "too few ids",
    "shape",
    "teacher.ids has 3 elements; it must have 4, as teacher.data",
    withTeacher({ ids: new Int32Array(3) }),
  ],
  [
    "ids beyond the vocabulary",
    "option",
    "teacher.ids holds 3 in row 1, column 1; it must be from 0 to 2, a column of the student's, or -1 for none",
    withOptions({ vocabSize: 3 }),
  ],
  [
    "negative ids",
    "option",
    "teacher.ids holds -2 in row 0, column 1; it must be from 0 to 3, a column of the student's, or -1 for none",
    withTeacher({ ids: Int32Array.of(0, -2, 0, 1) }),
  ],
  [
    "a column twice",
    "option",
    "teacher.ids holds 2 in row 1, column 1, as in column 0; a row must name each column once at most",
    withTeacher({ ids: Int32Array.of(0, 2, 2, 2) }),
  ],
]);

for (const backend of backends) {
  test(`${backend}: numbers that are no log-probabilities are refused by row and column, and nothing is written`, async (t) => {
    const out = { student: new Float32Array(8).fill(7) };
    const options = { teacher: "topK", tail: "renormalize", gradients: ["student"], out, backend } as const;
    const cases: [numbers: number[], message: RegExp][] = [
      [
        [-1, -1, -1, 0.5],
        /^teacher's row 1 holds 0\.5 in column 1; log-probabilities must be at most 0, within 0\.001$/,
      ],
      [[-1, NaN, -1, -1], /^teacher's row 0 holds NaN in column 1; log-probabilities must be at most 0/],
      [
        [-1, -1, -0.5, -0.5],
        /^teacher's row 1 holds log-probabilities whose probabilities sum to 1\.21.*; they must sum to at most 1, within 0\.001$/,
      ],
    ];
    for (const [numbers, message] of cases) {
      const teacher = { ...right, data: Float32Array.from(numbers) };
      const expected = { code: "ERR_KULLBACK_OPTION", message };
      t.throws(() => softmaxDivergence(student, teacher, options), expected);
      await t.throwsAsync(softmaxDivergenceAsync(student, teacher, options), expected);
      t.true(out.student.every((x) => x === 7));
    }
    // As they are rounded, they may be a little more.
    const rounded = { ...right, data: Float32Array.of(1e-4, -20, Math.log(0.5002), Math.log(0.5002)) };
    t.true(Number.isFinite(softmaxDivergence(student, rounded, options).value));
    // Rows that do not count may hold anything, and name anything.
    const wild = {
      ...right,
      data: Float32Array.of(-1, -1, 9, 9),
      ids: Int32Array.of(0, 1, 77, 77),
    };
    t.true(Number.isFinite(softmaxDivergence(student, wild, { ...options, rowMask: [1, 0] }).value));
  });

  test(`${backend}: a NaN or an infinity of the student's stays in its row`, (t) => {
    const data = Float32Array.of(1, NaN, 2, 3, 1, 2, 3, 4, 1, Infinity, 2, 3, 1, 2, -Infinity, 3);
    const teacher = {
      data: new Float32Array(8).fill(-1),
      ids: Int32Array.of(0, 2, 0, 2, 0, 2, 0, 3),
      shape: [4, 2],
    };
    for (const tail of ["truncate", "tailBucket", "zeroOutside", "renormalize"] as const) {
      const { values, gradients } = softmaxDivergence({ data, shape: [4, 4] }, teacher, {
        teacher: "topK",
        tail,
        reduction: "none",
        gradients: ["student"],
        backend,
      } as const);
      // What is not named is not read where both sides are compared on what is.
      const read = tail !== "renormalize";
      t.deepEqual(
        Array.from(values, (x) => Number.isNaN(x)),
        [read, false, read, false],
        tail,
      );
      for (const row of [1, 3]) {
        const gradient = gradients.student.slice(row * 4, row * 4 + 4);
        t.true(gradient.every(Number.isFinite), tail);
        t.true(
          gradient.some((x) => x !== 0),
          tail,
        );
      }
      zeros(t, gradients.student.slice(14, 15), tail);
    }
  });

  test(`${backend}: a tail far below everything else is no less a tail`, (t) => {
    // q outside is e^-200 / 2, which is no float32.
    const far = { data: Float32Array.of(0, -200, -200, 0), shape: [1, 4] };
    const teacher = {
      data: Float32Array.of(Math.log(0.5), Math.log(0.25)),
      ids: Int32Array.of(0, 3),
      shape: [1, 2],
    };
    const { value, gradients } = softmaxDivergence(far, teacher, {
      teacher: "topK",
      tail: "tailBucket",
      gradients: ["student"],
      backend,
    });
    close(t, value, 0.25 * Math.log(0.25) + 0.25 * Math.log(0.5) + 0.25 * 200, { relative: 1e-6 });
    close(t, gradients.student, [0, -0.125, -0.125, 0.25], { relative: 1e-6 });
  });

  test(`${backend}: probabilities that sum to a rounding more than 1 leave no tail`, (t) => {
    const student = { data: Float32Array.of(1, 2, 3, 4), shape: [1, 4] };
    const teacher = {
      data: Float32Array.of(Math.log(0.5001), Math.log(0.5001)),
      ids: Int32Array.of(2, 1),
      shape: [1, 2],
    };
    const options = { teacher: "topK", gradients: ["student"], backend } as const;
    const bucket = softmaxDivergence(student, teacher, { ...options, tail: "tailBucket" });
    const zero = softmaxDivergence(student, teacher, { ...options, tail: "zeroOutside" });
    close(t, bucket.value, zero.value, { relative: 1e-6 });
    close(t, bucket.gradients.student, zero.gradients.student, { relative: 1e-6 });
  });
}
