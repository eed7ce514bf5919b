// Errors in units in the last place, against a wider format.
import type { Decimal } from "decimal.js";
import { exactly } from "./oracle.js";

/** The distance between the neighbours of `value` in a format of so many mantissa bits. */
function unit(value: number, bits: number, least: number): number {
  // log2 may round up to the next integer: the power of two itself decides.
  let exponent = Math.floor(Math.log2(Math.abs(value)));
  if (2 ** exponent > Math.abs(value)) exponent--;
  return 2 ** Math.max(exponent - bits, least);
}

/** The error of a float32 result in ulp of the true value, which float64 knows well enough. */
export function ulpsOfFloat32(actual: number, expected: number): number {
  return Math.abs(actual - expected) / unit(expected, 23, -149);
}

/** The error of a float64 result in ulp of the true value. */
export function ulpsOfFloat64(actual: number, expected: Decimal): number {
  if (!Number.isFinite(actual)) return Infinity;
  const error = exactly(actual).sub(expected).abs().toNumber();
  return error / unit(expected.toNumber(), 52, -1074);
}
