// Numbers of any element type as float64, and back: rounded once, to nearest, ties to even.
import type { Dtype, StoredArray } from "../backend/table.js";

/** A binary floating-point format of 16 bits: bits of mantissa, and the exponent of its least normal number. */
interface Format {
  mantissaBits: number;
  leastExponent: number;
}

const formats = {
  float16: { mantissaBits: 10, leastExponent: -14 },
  bfloat16: { mantissaBits: 7, leastExponent: -126 },
} as const satisfies Partial<Record<Dtype, Format>>;

/** What an element is worth. */
export function decode(dtype: Dtype, element: number): number {
  if (dtype === "float32" || dtype === "float64") return element;
  const { mantissaBits, leastExponent } = formats[dtype];
  const sign = element & 0x8000 ? -1 : 1;
  const exponentField = (element & 0x7fff) >> mantissaBits;
  const mantissa = (element & ((1 << mantissaBits) - 1)) / 2 ** mantissaBits;
  if (exponentField === (1 << (15 - mantissaBits)) - 1) return mantissa === 0 ? sign * Infinity : NaN;
  // Subnormal numbers have the exponent of the least normal one, and no leading 1.
  if (exponentField === 0) return sign * mantissa * 2 ** leastExponent;
  return sign * (1 + mantissa) * 2 ** (exponentField - 1 + leastExponent);
}

/** The element that is nearest to a number. */
export function encode(dtype: Dtype, number: number): number {
  if (dtype === "float32" || dtype === "float64") return number;
  const { mantissaBits, leastExponent } = formats[dtype];
  const infinity = ((1 << (15 - mantissaBits)) - 1) << mantissaBits;
  if (Number.isNaN(number)) return infinity | (1 << (mantissaBits - 1));
  const sign = number < 0 || Object.is(number, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(number);
  if (magnitude === Infinity) return sign | infinity;
  const exponent = magnitude === 0 ? leastExponent : Math.max(exponentOf(magnitude), leastExponent);
  // How many of the format's smallest steps here: consecutive numbers have consecutive bits, whatever their exponents.
  const steps = roundToEven(magnitude / 2 ** (exponent - mantissaBits));
  const bits = steps + (exponent - leastExponent) * 2 ** mantissaBits;
  return sign | Math.min(bits, infinity);
}

function exponentOf(magnitude: number): number {
  const guess = Math.floor(Math.log2(magnitude));
  if (2 ** guess > magnitude) return guess - 1;
  return 2 ** (guess + 1) <= magnitude ? guess + 1 : guess;
}

function roundToEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

/** `count` elements from `begin` on. */
export function decodeRange(dtype: Dtype, data: StoredArray, begin: number, count: number): Float64Array {
  return Float64Array.from(data.subarray(begin, begin + count), (element) => decode(dtype, element));
}
