// The native boundary: what lib/ would never send is refused there too, in words, and nothing is reinterpreted.
import test, { type ExecutionContext } from "ava";
import { cpuDevice, type Addon } from "../lib/backend/addon.js";
import { loadAddon } from "../lib/backend/load.js";
import { backends } from "./cases.js";

const addon = loadAddon().addon!;
type Call = (...args: unknown[]) => unknown;
const call: Call = (...args) => (addon.softmaxDivergence as Call)(...args);

/** A right call of two rows of three columns, with everything that there is. */
function rightArguments(device: number): unknown[] {
  const logits = (): Float32Array => Float32Array.of(1, 2, 3, 3, 2, 1);
  const perRow = (): Float64Array => new Float64Array(2).fill(1);
  const perColumn = (): Float64Array => new Float64Array(3);
  return [
    device,
    0, // float32
    0, // forwardKl
    0.5,
    2,
    3,
    3,
    3,
    1,
    1,
    1,
    1,
    0, // oneTeacher
    0, // teacherInProbabilities
    0, // tail
    1, // accumulate
    logits(),
    logits(),
    undefined, // teacherIds
    logits(),
    logits(),
    perColumn(),
    perColumn(),
    perRow(),
    new Uint8Array(2),
    perRow(),
  ].concat(Array.from({ length: 6 }, perRow), new Uint8Array(2) as never);
}

const garbage: unknown[] = [
  undefined,
  null,
  -1,
  1.5,
  NaN,
  Infinity,
  2 ** 32,
  2 ** 40,
  2 ** 60,
  7,
  "3",
  {},
  [],
  () => 1,
  new Float32Array(1),
  new Float64Array(6),
  new Uint8Array(100),
  new BigInt64Array(6),
  new DataView(new ArrayBuffer(64)),
];

/** Throws an error with a code of Kullback's, or does not throw. */
function survives(t: ExecutionContext, call: () => unknown, what: string): void {
  try {
    call();
    t.pass();
  } catch (error) {
    t.regex(String((error as { code?: unknown }).code), /^ERR_KULLBACK_/, `${what}: ${String(error)}`);
  }
}

const devices = backends.includes("cuda") ? [cpuDevice, 0] : [cpuDevice];
for (const device of devices) {
  test(`garbage in any place of a call for device ${device} is an error or a number`, (t) => {
    t.is(typeof call(...rightArguments(device)), "number");
    rightArguments(device).forEach((_, position, right) => {
      for (const wrong of garbage) {
        survives(t, () => call(...right.with(position, wrong)), `argument ${position}`);
      }
    });
  });
}

test("arrays of another element type, or too short, are refused by name", (t) => {
  const names = [
    [16, "student"],
    [17, "teacher"],
    [19, "studentGradient"],
    [20, "teacherGradient"],
    [21, "studentLogPrior"],
    [22, "teacherLogPrior"],
    [23, "rowWeights"],
    [24, "rowMask"],
    [25, "gradOutputs"],
    [26, "values"],
    [27, "divergences"],
    [28, "studentLogSumExp"],
    [31, "teacherEntropy"],
    [32, "argmaxAgreement"],
  ] as const;
  for (const [position, name] of names) {
    const right = rightArguments(cpuDevice);
    const array = right[position] as Float32Array;
    const message = new RegExp(`\\b${name} `);
    t.throws(() => call(...right.with(position, new Int32Array(100))), { message });
    t.throws(() => call(...right.with(position, array.slice(1))), { message: /is too short/ }, name);
  }
});

test("device memory is refused where there is no such device, and handles that are none everywhere", (t) => {
  const functions = [
    "deviceAllocate",
    "deviceSlice",
    "deviceWrite",
    "deviceRead",
    "deviceTrim",
    "deviceHeld",
    "cudaDevice",
    "cudaMemoryLimit",
    "cudaExponentialLimit",
  ];
  for (const name of functions as (keyof Addon)[]) {
    for (const first of garbage) {
      for (const second of garbage) {
        survives(t, () => (addon[name] as Call)(first, second, second), `${name} of ${typeof first}`);
      }
    }
  }
  survives(
    t,
    () => (addon.deviceReadAsync as Call)(() => 1, cpuDevice, {}, new Float32Array(1)),
    "deviceReadAsync",
  );
});
