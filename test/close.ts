// Comparisons that refuse to be meaningless: close() fails where zeros, or the expected numbers times 1.1, would pass.
import type { ExecutionContext } from "ava";

type Numbers = number | ArrayLike<number>;

export interface CloseOptions {
  /** Allowed error, times the largest |expected| of those that share a scale. */
  relative?: number;
  /** Allowed error on top of that. */
  absolute?: number;
  /** How many elements in a row share a scale: a row's columns, or 1 for each on its own. Default: all of them. */
  group?: number;
  /** Opens the message of a failure. */
  what?: string;
}

/**
 * Passes where every number is within tolerance of the expected one, and where that says something. Returns the
 * largest error relative to its scale. Expected numbers that are all zero, tiny beside `absolute`, or not finite are
 * for zeros(), vanishes() and identical().
 */
export function close(
  t: ExecutionContext,
  actual: Numbers,
  expected: Numbers,
  options: CloseOptions,
): number {
  const [got, wanted] = [toArray(actual), toArray(expected)];
  if (got.length !== wanted.length || wanted.length === 0) {
    return fail(t, options, `${got.length} numbers, expected ${wanted.length}, at least one`);
  }
  const group = options.group ?? wanted.length;
  let largest = 0;
  for (let begin = 0; begin < wanted.length; begin += group) {
    largest = Math.max(largest, closeGroup(t, got, wanted, begin, begin + group, options));
  }
  t.pass();
  return largest;
}

function closeGroup(
  t: ExecutionContext,
  got: ArrayLike<number>,
  wanted: ArrayLike<number>,
  begin: number,
  end: number,
  options: CloseOptions,
): number {
  let scale = 0;
  let error = 0;
  let worst = begin;
  for (let i = begin; i < end; i++) {
    const [a, b] = [got[i] as number, wanted[i] as number];
    if (!Number.isFinite(b)) return fail(t, options, `expected[${i}] is ${b}; use identical()`);
    scale = Math.max(scale, Math.abs(b));
    // Written so that a NaN counts as an error.
    if (!(Math.abs(a - b) <= error)) {
      error = Number.isNaN(a) ? Infinity : Math.abs(a - b);
      worst = i;
    }
  }
  const tolerance = (options.relative ?? 0) * scale + (options.absolute ?? 0);
  if (!(tolerance < 0.1 * scale)) {
    return fail(
      t,
      options,
      `tolerance ${tolerance} is blind at scale ${scale} (from [${begin}] on): zeros or 1.1 * expected pass`,
    );
  }
  if (error > tolerance) {
    return fail(
      t,
      options,
      `[${worst}] is ${got[worst]}, expected ${wanted[worst]}: off by ${error}, tolerance ${tolerance}`,
    );
  }
  return error / scale;
}

/** Passes where all numbers are exactly 0 (of either sign), and there is at least one. */
export function zeros(t: ExecutionContext, actual: Numbers, what?: string): void {
  const got = toArray(actual);
  if (got.length === 0) fail(t, { what }, "no numbers at all");
  for (let i = 0; i < got.length; i++) {
    if (got[i] !== 0) fail(t, { what }, `[${i}] is ${got[i]}, expected exactly 0`);
  }
  t.pass();
}

/**
 * Passes where |actual| <= bound, for what is 0 in exact arithmetic only. `scale` is how large a wrong answer would be
 * (the sum of the absolute values of what cancels, say), and must be ten times the bound or more.
 */
export function vanishes(
  t: ExecutionContext,
  actual: number,
  { bound, scale, what }: { bound: number; scale: number; what?: string },
): void {
  if (!(scale >= 10 * bound)) fail(t, { what }, `bound ${bound} is blind at scale ${scale}`);
  if (!(Math.abs(actual) <= bound)) fail(t, { what }, `${actual}, expected 0 within ${bound}`);
  t.pass();
}

/** Passes where both have the same bits, except that any NaN equals any other. For numbers, Infinity, NaN and -0. */
export function identical(t: ExecutionContext, actual: Numbers, expected: Numbers, what?: string): void {
  const [got, wanted] = [toArray(actual), toArray(expected)];
  if (got.length !== wanted.length) fail(t, { what }, `${got.length} numbers, expected ${wanted.length}`);
  for (let i = 0; i < wanted.length; i++) {
    if (!Object.is(got[i], wanted[i]))
      fail(t, { what }, `[${i}] is ${shown(got[i])}, expected exactly ${shown(wanted[i])}`);
  }
  t.pass();
}

function toArray(numbers: Numbers): ArrayLike<number> {
  return typeof numbers === "number" ? [numbers] : numbers;
}

function shown(number: number | undefined): string {
  return Object.is(number, -0) ? "-0" : String(number);
}

function fail(t: ExecutionContext, { what }: { what?: string | undefined }, message: string): never {
  return t.fail(what === undefined ? message : `${what}: ${message}`);
}
