// Bad calls of linearSoftmaxDivergence and linearCrossEntropy: the whole message, now and later, and nothing written.
import test from "ava";
import {
  DtypeError,
  linearCrossEntropy,
  linearCrossEntropyAsync,
  linearSoftmaxDivergence,
  linearSoftmaxDivergenceAsync,
  OptionError,
  ShapeError,
} from "../lib/index.js";
import { zeros } from "./close.js";

const rows = (columns: number, length: number): { data: Float32Array<ArrayBuffer>; shape: number[] } => ({
  data: new Float32Array(length).fill(1),
  shape: [length / columns, columns],
});
/** Two tokens, a width of 3, a vocabulary of 4. */
const side = () => ({ hidden: rows(3, 6), weights: rows(3, 12), bias: new Float32Array(4) });
const wide = () => ({
  hidden: { data: new Float64Array(6), shape: [2, 3] },
  weights: { data: new Float64Array(12), shape: [4, 3] },
});

type Case = [message: string, type: new (message: string) => Error, args: unknown[]];

const divergenceCases: Case[] = [
  [
    "student is a Float32Array of length 3; it must be an object { hidden, weights, bias? }",
    ShapeError,
    [new Float32Array(3), side()],
  ],
  [
    "student.weight is not an option; the options are hidden, weights, bias",
    OptionError,
    [{ ...side(), weight: 1 }, side()],
  ],
  [
    "student.hidden is undefined; it must be an object { data, shape }",
    ShapeError,
    [{ weights: rows(3, 12) }, side()],
  ],
  [
    "student.weights.shape is [6, 2]; it must be [vocabulary, 3], the last axis being that of student.hidden",
    ShapeError,
    [{ ...side(), weights: rows(2, 12) }, side()],
  ],
  [
    "student.weights is float64, student.hidden float32; both must have one element type",
    DtypeError,
    [{ ...side(), weights: wide().weights }, side()],
  ],
  [
    "student.hidden is float16; it must be float32 or float64",
    DtypeError,
    [{ ...side(), hidden: { data: new Uint16Array(6), shape: [2, 3], dtype: "float16" } }, side()],
  ],
  [
    "student.bias has 3 elements; it must have 4, one per row of student.weights",
    ShapeError,
    [{ ...side(), bias: new Float32Array(3) }, side()],
  ],
  [
    "student.bias is a Float64Array of length 4; it must be a Float32Array",
    DtypeError,
    [{ ...side(), bias: new Float64Array(4) }, side()],
  ],
  ["teacher is float64, student float32; both must have one element type", DtypeError, [side(), wide()]],
  [
    "teacher's vocabulary has 5 columns, student's 4; they must be the same",
    ShapeError,
    [side(), rows(5, 10)],
  ],
  ["teacher's leading axes are [3], student's [2]; they must be the same", ShapeError, [side(), rows(4, 12)]],
  [
    "options.memoryBudget is 0.5; it must be a positive integer, a number of bytes",
    OptionError,
    [side(), side(), { memoryBudget: 0.5 }],
  ],
  [
    "options.memoryBudget is 0; it must be a positive integer, a number of bytes",
    OptionError,
    [side(), side(), { memoryBudget: 0 }],
  ],
  [
    'options.gradients[0] is "student"; it must be "hidden", "weights" or "bias"',
    OptionError,
    [side(), side(), { gradients: ["student"] }],
  ],
  [
    'options.gradients names "bias", but there is none',
    OptionError,
    [{ hidden: rows(3, 6), weights: rows(3, 12) }, side(), { gradients: ["bias"] }],
  ],
  [
    'options.out.weights is given, but options.gradients does not name "weights"',
    OptionError,
    [side(), side(), { out: { weights: new Float32Array(12) } }],
  ],
  [
    "options.out.weights has 11 elements; it must have 12",
    ShapeError,
    [side(), side(), { gradients: ["weights"], out: { weights: new Float32Array(11) } }],
  ],
  [
    'options.out.values goes with reduction "none"; the reduction is "mean"',
    OptionError,
    [side(), side(), { out: { values: new Float64Array(2) } }],
  ],
  [
    "options.temperature.teacher is 0; it must be a finite number greater than 0",
    OptionError,
    [side(), side(), { temperature: { student: 1, teacher: 0 } }],
  ],
  [
    'options.divisor goes with reduction "mean"; the reduction is "sum"',
    OptionError,
    [side(), side(), { reduction: "sum", divisor: 3 }],
  ],
];

const crossEntropyCases: Case[] = [
  ["labels[1] is 4; it must be an integer from 0 to 3, a column of row 1", OptionError, [side(), [0, 4]]],
  [
    "labels[0] is -100; it must be an integer from 0 to 3, a column of row 0",
    OptionError,
    [side(), [-100, 0]],
  ],
  ["labels has 3 elements; it must have 2, one per row", ShapeError, [side(), [0, 1, 2]]],
  [
    "logits.bias has 5 elements; it must have 4, one per row of logits.weights",
    ShapeError,
    [{ ...side(), bias: new Float32Array(5) }, [0, 1]],
  ],
  [
    "options.temperature is 1e+40; it must be from 1e-30 to 1e30",
    OptionError,
    [side(), [0, 1], { temperature: 1e40 }],
  ],
  ["options.ignoreIndex is 0.5; it must be an integer", OptionError, [side(), [0, 1], { ignoreIndex: 0.5 }]],
];

type Call = (...args: unknown[]) => unknown;
for (const [name, now, later, cases] of [
  [
    "linearSoftmaxDivergence",
    linearSoftmaxDivergence as Call,
    linearSoftmaxDivergenceAsync as Call,
    divergenceCases,
  ],
  ["linearCrossEntropy", linearCrossEntropy as Call, linearCrossEntropyAsync as Call, crossEntropyCases],
] as const) {
  for (const [message, instanceOf, args] of cases) {
    test(`${name}: ${message}`, async (t) => {
      t.throws(() => now(...args), { instanceOf, message });
      await t.throwsAsync(() => later(...args) as Promise<unknown>, { instanceOf, message });
    });
  }
}

test("an option that there is not shows those that there are", (t) => {
  t.throws(() => linearSoftmaxDivergence(side(), side(), { statistics: [] } as never), {
    instanceOf: OptionError,
    message:
      "options.statistics is not an option; the options are divergence, alpha, beta, lambda, normalized, " +
      "temperatureScaling, reduction, divisor, rowWeights, rowMask, gradOutput, gradients, memoryBudget, out, backend, " +
      "device, temperature",
  });
});

test("a gradient that shares memory with an argument, or with another, is refused, and nothing is written", (t) => {
  const student = side();
  const memory = new Float32Array(18);
  const gradients = ["hidden", "weights"] as const;
  t.throws(
    () => linearSoftmaxDivergence(student, side(), { gradients, out: { weights: student.weights.data } }),
    {
      instanceOf: OptionError,
      message: "options.out.weights shares memory with student.weights.data; it must have memory of its own",
    },
  );
  const out = { hidden: memory.subarray(0, 6), weights: memory.subarray(5, 17) };
  t.throws(() => linearSoftmaxDivergence(student, side(), { gradients, out }), {
    instanceOf: OptionError,
    message: "options.out.hidden shares memory with options.out.weights; it must have memory of its own",
  });
  t.throws(
    () =>
      linearSoftmaxDivergence(student, side(), {
        gradients,
        memoryBudget: 1,
        out: { hidden: memory.subarray(0, 6) },
      }),
    {
      instanceOf: OptionError,
      message: /^options\.memoryBudget is 1; it must be at least \d+ bytes, which one row takes$/,
    },
  );
  zeros(t, memory);
});
