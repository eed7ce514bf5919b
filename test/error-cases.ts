// Tables of bad calls, and the check that both forms of the operation answer each with the right error.
import test from "ava";
import {
  DtypeError,
  KullbackError,
  OptionError,
  ShapeError,
  softmaxDivergence,
  softmaxDivergenceAsync,
} from "../lib/index.js";

const classes = {
  shape: { instanceOf: ShapeError, code: "ERR_KULLBACK_SHAPE", name: "ShapeError" },
  dtype: { instanceOf: DtypeError, code: "ERR_KULLBACK_DTYPE", name: "DtypeError" },
  option: { instanceOf: OptionError, code: "ERR_KULLBACK_OPTION", name: "OptionError" },
} as const;

/** An argument list that JavaScript may pass and TypeScript would not. */
export type Arguments = [student: unknown, teacher: unknown, options?: unknown];
export type ErrorCase = [what: string, kind: keyof typeof classes, message: string, args: () => Arguments];

export const call = (args: Arguments): unknown =>
  softmaxDivergence(...(args as Parameters<typeof softmaxDivergence>));

export const callAsync = (args: Arguments): Promise<unknown> =>
  softmaxDivergenceAsync(...(args as Parameters<typeof softmaxDivergenceAsync>));

/** One test for each. */
export function expectErrors(cases: ErrorCase[]): void {
  for (const [what, kind, message, args] of cases) {
    test(`${what}: ${message}`, async (t) => {
      const error = t.throws(() => call(args()), { ...classes[kind], message });
      t.true(error instanceof KullbackError);
      // The asynchronous twin rejects with the same, and does not throw.
      await t.throwsAsync(() => callAsync(args()), { ...classes[kind], message });
    });
  }
}

/** Rows of two columns. */
export const two = (...values: number[]): { data: Float32Array<ArrayBuffer>; shape: number[] } => ({
  data: Float32Array.from(values),
  shape: [values.length / 2, 2],
});
export const pair = (): [unknown, unknown] => [two(1, 2, 3, 4), two(4, 3, 2, 1)];
/** Options, beside two good rows of two. */
export const withOptions = (options: unknown) => (): Arguments => [...pair(), options];
/** An array whose memory was transferred. */
export function detached(length: number): Float32Array<ArrayBuffer> {
  const array = new Float32Array(length);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}
