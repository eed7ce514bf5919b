// Every error that softmaxDivergence's checks of options can give, with its whole message.
import test from "ava";
import { OptionError } from "../lib/index.js";
import {
  call,
  callAsync,
  detached,
  expectErrors,
  pair,
  two,
  withOptions,
  type ErrorCase,
} from "./error-cases.js";

/** A case of one option: what it was set to, how the message shows that, and what it must be. */
const wrong = (
  name: string,
  mustBe: string,
  values: [shown: string, value: unknown][],
  more: object = {},
): ErrorCase[] =>
  values.map(([shown, value]) => [
    name,
    "option",
    `options.${name} is ${shown}; it must be ${mustBe}`,
    withOptions({ ...more, [name]: value }),
  ]);

expectErrors([
  ["options", "option", "options is null; it must be an object", withOptions(null)],
  ["options", "option", 'options is "forwardKl"; it must be an object', withOptions("forwardKl")],
  ["options", "option", "options is an Array of length 1; it must be an object", withOptions([1])],
  ["options", "option", "options is 2; it must be an object", withOptions(2)],
  ["options", "option", "options is a function; it must be an object", withOptions(() => 1)],
]);

const names =
  "divergence, alpha, beta, lambda, normalized, teacher, tail, temperature, logPrior, broadcast, vocabSize, " +
  "temperatureScaling, reduction, divisor, rowWeights, rowMask, gradOutput, gradients, accumulate, statistics, out, " +
  "backend, device";

test("an unknown option is an error that lists the known ones, which of the asynchronous form are one more", async (t) => {
  const unknown = [...pair(), { temperatur: 2 }] as const;
  const message = `options.temperatur is not an option; the options are ${names}`;
  t.throws(() => call([...unknown]), { instanceOf: OptionError, message });
  await t.throwsAsync(() => callAsync([...unknown]), {
    instanceOf: OptionError,
    message: `${message}, signal`,
  });
  t.throws(() => call([...pair(), { signal: AbortSignal.abort() }]), {
    instanceOf: OptionError,
    message: `options.signal is not an option; the options are ${names}`,
  });
});

test("null is no default: what is not wanted is left out", (t) => {
  // Those that only go with some divergences.
  const needed: Record<string, string> = {
    alpha: "renyi",
    beta: "jensenShannon",
    lambda: "skewReverseKl",
    normalized: "jensenShannon",
  };
  for (const name of names.split(", ")) {
    t.throws(
      () => call([...pair(), { ...(needed[name] && { divergence: needed[name] }), [name]: null }]),
      { instanceOf: OptionError, message: /is null/ },
      name,
    );
  }
});

const divergences =
  '"forwardKl", "reverseKl", "crossEntropy", "jeffreys", "jensenShannon", "totalVariation", "squaredHellinger", ' +
  '"chiSquared", "reverseChiSquared", "alpha", "renyi", "skewForwardKl" or "skewReverseKl"';
expectErrors([
  ...wrong("divergence", divergences, [
    ['"kl"', "kl"],
    ['"forwardKL"', "forwardKL"],
    ['""', ""],
    ["0", 0],
    ["an Array of length 1", ["forwardKl"]],
    ["false", false],
  ]),
  ...wrong("temperatureScaling", '"none" or "squared"', [
    ["true", true],
    ['"square"', "square"],
    ["2", 2],
  ]),
  ...wrong("reduction", '"none", "sum" or "mean"', [
    ['"batchmean"', "batchmean"],
    ["an object with no fields", {}],
  ]),
  ...wrong("backend", '"auto", "cuda", "cpu" or "reference"', [
    ['"gpu"', "gpu"],
    ['""', ""],
    ["null", null],
    ['"toString"', "toString"],
  ]),
  ...wrong("gradients", 'an array of "student" or "teacher"', [
    ['"student"', "student"],
    ["true", true],
    ["an object with the fields student", { student: true }],
  ]),
  ...wrong("gradients[1]", '"student" or "teacher"', [['"both"', "both"]]).map(
    ([name, kind, message]): ErrorCase => [
      name,
      kind,
      message,
      withOptions({ gradients: ["student", "both"] }),
    ],
  ),
  [
    "gradients",
    "option",
    'options.gradients names "teacher" twice',
    withOptions({ gradients: ["teacher", "student", "teacher"] }),
  ],
  ...wrong(
    "statistics",
    'an array of "divergence", "studentLogSumExp", "teacherLogSumExp", "studentEntropy", "teacherEntropy" or "argmaxAgreement"',
    [['"studentEntropy"', "studentEntropy"]],
  ),
  [
    "statistics",
    "option",
    'options.statistics[0] is "entropy"; it must be "divergence", "studentLogSumExp", "teacherLogSumExp", "studentEntropy", ' +
      '"teacherEntropy" or "argmaxAgreement"',
    withOptions({ statistics: ["entropy"] }),
  ],
  [
    "statistics",
    "option",
    'options.statistics names "argmaxAgreement" twice',
    withOptions({ statistics: ["argmaxAgreement", "argmaxAgreement"] }),
  ],
]);

const positive = "a finite number greater than 0";
const notPositive: [string, unknown][] = [
  ["0", 0],
  ["-1", -1],
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
  ['"2"', "2"],
  ["true", true],
];
expectErrors([
  ...wrong("temperature", positive, [...notPositive, ["a function", Number]]),
  ...notPositive.map(([shown, student]): ErrorCase => [
    "temperature",
    "option",
    `options.temperature.student is ${shown}; it must be ${positive}`,
    withOptions({ temperature: { student, teacher: 1 } }),
  ]),
  ...wrong("temperature", "from 1e-30 to 1e30", [
    ["1e-31", 1e-31],
    ["1e+31", 1e31],
  ]),
  [
    "temperature",
    "option",
    `options.temperature.teacher is undefined; it must be ${positive}`,
    withOptions({ temperature: { student: 2 } }),
  ],
  [
    "temperature",
    "option",
    "options.temperature.both is not an option; the options are student, teacher",
    withOptions({ temperature: { student: 2, teacher: 2, both: 2 } }),
  ],
  ...wrong("divisor", positive, [...notPositive, ["null", null]]),
  [
    "divisor",
    "option",
    "options.divisor is 1e-320; it is too small for what it divides to be a number",
    withOptions({ divisor: 1e-320 }),
  ],
  ...(["sum", "none"] as const).map((reduction): ErrorCase => [
    "divisor",
    "option",
    `options.divisor goes with reduction "mean"; the reduction is "${reduction}"`,
    withOptions({ divisor: 3, reduction }),
  ]),
]);

const numbers = "a Float32Array, a Float64Array or an array of numbers, one per row";
const flags = "a Uint8Array or an array of booleans, one per row";
const perRow = (name: string, message: string, value: unknown, kind: ErrorCase[1] = "option"): ErrorCase => [
  name,
  kind,
  `options.${message}`,
  withOptions({ [name]: value }),
];
expectErrors([
  ...wrong("rowWeights", numbers, [
    ["2", 2],
    ["a Uint8Array of length 2", new Uint8Array(2)],
    ["an object with the fields 0, 1, length", { 0: 1, 1: 1, length: 2 }],
    ['"12"', "12"],
    ["false", false],
    ["0", 0],
    ['""', ""],
  ]),
  perRow("rowWeights", "rowWeights has 3 elements; it must have 2, one per row", [1, 2, 3], "shape"),
  perRow(
    "rowWeights",
    "rowWeights has 1 elements; it must have 2, one per row",
    new Float32Array(1),
    "shape",
  ),
  perRow("rowWeights", "rowWeights is detached: its memory was transferred elsewhere", detached(2), "shape"),
  perRow("rowWeights", "rowWeights[1] is NaN; it must be a finite number", [1, NaN]),
  [
    "rowWeights",
    "option",
    "options.rowWeights[1] is 1e+308; multiplied by the scale of the reduction and of the temperatures, " +
      "1e+30, it must be a finite number",
    withOptions({
      rowWeights: [1, 1e308],
      temperature: 1e15,
      temperatureScaling: "squared",
      reduction: "sum",
    }),
  ],
  perRow(
    "rowWeights",
    "rowWeights[0] is -Infinity; it must be a finite number",
    Float64Array.of(-Infinity, 1),
  ),
  perRow("rowWeights", 'rowWeights[1] is "1"; it must be a finite number', [1, "1"]),
  perRow("rowWeights", "rowWeights[0] is undefined; it must be a finite number", new Array(2)),
  ...wrong("rowMask", flags, [
    ["2", 2],
    ["a Float32Array of length 2", new Float32Array(2)],
    ["a Uint8ClampedArray of length 2", new Uint8ClampedArray(2)],
    ["false", false],
    ["0", 0],
    ['""', ""],
  ]),
  perRow("rowMask", "rowMask has 1 elements; it must have 2, one per row", [true], "shape"),
  perRow("rowMask", "rowMask has 3 elements; it must have 2, one per row", new Uint8Array(3), "shape"),
  perRow("rowMask", "rowMask[1] is 2; it must be true, false, 1 or 0", Uint8Array.of(1, 2)),
  perRow("rowMask", "rowMask[0] is null; it must be true, false, 1 or 0", [null, true]),
  perRow("rowMask", 'rowMask[0] is "1"; it must be true, false, 1 or 0', ["1", true]),
  perRow("gradOutput", "gradOutput has 1 elements; it must have 2, one per row", [1], "shape"),
  perRow("gradOutput", "gradOutput[1] is true; it must be a number", [1, true]),
  ...wrong("gradOutput", `a number, ${numbers}`, [
    ['"1"', "1"],
    ["null", null],
    ["an object with the fields data, shape", two(1, 2)],
  ]),
]);

expectErrors(
  wrong("vocabSize", "an integer from 1 to 2, the shorter last axis", [
    ["0", 0],
    ["-1", -1],
    ["3", 3],
    ["1.5", 1.5],
    ["NaN", NaN],
    ["Infinity", Infinity],
    ["null", null],
    ['"2"', "2"],
    ["an Array of length 1", [2]],
    ["an object with no fields", Object.create(null)],
  ]),
);

// Each parameter goes with its divergences, within its limits.
const notNumbers: [string, unknown][] = [
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
  ['"0.5"', "0.5"],
  ["true", true],
  ["null", null],
  ["an Array of length 1", [0.5]],
];
const skew = "a number that is at least 0 and less than 1";
expectErrors([
  ...wrong("alpha", "a finite number", [["undefined", undefined], ...notNumbers], { divergence: "alpha" }),
  ...wrong("alpha", positive, [["undefined", undefined], ["0", 0], ["-0.5", -0.5], ...notNumbers], {
    divergence: "renyi",
  }),
  ...wrong("beta", "a number from 0 to 1", [["-0.1", -0.1], ["1.1", 1.1], ...notNumbers], {
    divergence: "jensenShannon",
  }),
  ...wrong(
    "normalized",
    "true or false",
    [
      ["1", 1],
      ['"true"', "true"],
      ["null", null],
    ],
    { divergence: "jensenShannon", beta: 0 },
  ),
  ...wrong("lambda", skew, [["-0.1", -0.1], ["1", 1], ...notNumbers], { divergence: "skewForwardKl" }),
  ...wrong("lambda", skew, [["1.1", 1.1]], { divergence: "skewReverseKl" }),
]);

const uses: [name: string, value: unknown, users: string, divergence: string | undefined][] = [
  ["alpha", 0.5, '"alpha" or "renyi"', undefined],
  ["alpha", 0.5, '"alpha" or "renyi"', "squaredHellinger"],
  ["beta", 0.5, '"jensenShannon"', "renyi"],
  ["beta", 0.5, '"jensenShannon"', "totalVariation"],
  ["lambda", 0.1, '"skewForwardKl" or "skewReverseKl"', "jensenShannon"],
  ["lambda", "much", '"skewForwardKl" or "skewReverseKl"', "jeffreys"],
  ["normalized", false, '"jensenShannon"', "skewForwardKl"],
];
expectErrors(
  uses.map(([name, value, users, divergence]): ErrorCase => [
    name,
    "option",
    `options.${name} goes with divergence ${users}; the divergence is "${divergence ?? "forwardKl"}"`,
    withOptions({ divergence, alpha: divergence === "renyi" ? 2 : undefined, [name]: value }),
  ]),
);
