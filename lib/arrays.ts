// The arrays that operations take and return, and the checks that all operations share.
import { types } from "node:util";
import { isDeviceArray, type DeviceArray } from "./device-array.js";
import { DtypeError, OptionError, ShapeError } from "./errors.js";

/** The typed arrays whose elements are numbers as they stand. */
export type NumericArray = Float32Array | Float64Array;

/** The typed arrays of all element types: a Uint16Array holds the bits of 16-bit numbers. */
export type StoredArray = NumericArray | Uint16Array;

/** A Float16Array, where JavaScript has them; by its tag, since its type is newer than many compilers. */
export interface Float16Numbers extends ArrayBufferView {
  readonly [Symbol.toStringTag]: "Float16Array";
  readonly length: number;
}

/** What the numbers of an operation's main arguments may lie in. */
export type RowData = StoredArray | Float16Numbers | DeviceArray;

/** Element types, by name, in the order of `kullback_dtype`. */
export const dtypes = ["float32", "float64", "float16", "bfloat16"] as const;
/** `float16` is IEEE 754's binary16, `bfloat16` the upper half of a float32: computed with in float32, rounded once. */
export type Dtype = (typeof dtypes)[number];

/**
 * A row-major array. The last axis is the feature axis (here: the vocabulary); all axes before it flatten to rows, so
 * `[batch, tokens, vocabulary]` has batch * tokens rows.
 */
export interface Rows<A extends RowData = NumericArray> {
  /** As many elements as the shape says: its product. */
  data: A;
  /** One or more axes, each a non-negative integer; the last is at least 1. */
  shape: readonly number[];
  /** What the bits of a Uint16Array mean, which must be said; else checked against `data`. Default: what `data` is. */
  dtype?: Dtype;
}

/** One number for each row. */
export type PerRow = Float32Array | Float64Array | readonly number[];

/** Whether each row counts. */
export type RowMask = Uint8Array | readonly (boolean | 0 | 1)[];

/** Whether two arrays have memory in common. */
export function overlap(a: ArrayBufferView, b: ArrayBufferView): boolean {
  return (
    a.buffer === b.buffer &&
    a.byteOffset < b.byteOffset + b.byteLength &&
    b.byteOffset < a.byteOffset + a.byteLength
  );
}

/** What an argument was, for an error message. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return `an Array of length ${value.length}`;
  if (isDeviceArray(value)) return `a DeviceArray of length ${value.length}`;
  if (ArrayBuffer.isView(value)) {
    const { length } = value as { length?: number };
    const name = (value.constructor as { name?: string } | undefined)?.name ?? "typed array";
    return `${/^[AEIO]/.test(name) ? "an" : "a"} ${name}${length === undefined ? "" : ` of length ${length}`}`;
  }
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "object") return `an object with ${keysOf(value)}`;
  if (typeof value === "function") return "a function";
  if (typeof value === "bigint") return `${value}n`;
  // eslint-disable-next-line @typescript-eslint/no-base-to-string -- neither an object nor a string any more
  return String(value);
}

function keysOf(value: object): string {
  const keys = Object.keys(value);
  return keys.length === 0 ? "no fields" : `the fields ${keys.slice(0, 5).join(", ")}`;
}

/**
 * The element type of a typed array, or undefined where it has none of its own, as a Uint16Array. Works for arrays of
 * other realms, which `instanceof` does not.
 */
export function dtypeOf(data: unknown): Dtype | undefined {
  if (types.isFloat32Array(data)) return "float32";
  if (types.isFloat64Array(data)) return "float64";
  if (isFloat16Array(data)) return "float16";
  return undefined;
}

/** The typed array that holds an element type's numbers, or their bits. */
export function arrayTypeOf(dtype: Dtype): "Float32Array" | "Float64Array" | "Uint16Array" {
  return outputTypes[dtype].type;
}

function isFloat16Array(data: unknown): data is Float16Numbers {
  return ArrayBuffer.isView(data) && (data as Partial<Float16Numbers>)[Symbol.toStringTag] === "Float16Array";
}

/** The bits of a Float16Array, in the same memory; other arrays as they are. */
export function bitsOf<A extends StoredArray | DeviceArray>(data: A | Float16Numbers): A | Uint16Array {
  return isFloat16Array(data) ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data;
}

/** Bits as a Float16Array where `like` is one, in the same memory; else as they are. */
export function numbersLike(like: RowData, bits: StoredArray | DeviceArray): RowData {
  if (!isFloat16Array(like) || isDeviceArray(bits)) return bits;
  if (sameMemory(like, bits)) return like;
  const type = like.constructor as new (
    buffer: ArrayBufferLike,
    offset: number,
    length: number,
  ) => Float16Numbers;
  return new type(bits.buffer, bits.byteOffset, bits.length);
}

/** Throws unless the typed array still has its memory. */
export function requireAttached(name: string, data: ArrayBufferView): void {
  // A detached buffer has no length; only an attempt to look at it tells it from an empty one.
  if (data.byteLength > 0) return;
  try {
    new Uint8Array(data.buffer);
  } catch {
    throw new ShapeError(`${name} is detached: its memory was transferred elsewhere`);
  }
}

/** A checked array: `data` holds rows * columns elements. */
export interface CheckedRows {
  data: StoredArray | DeviceArray;
  dtype: Dtype;
  rows: number;
  columns: number;
  /** All axes but the last. */
  leading: readonly number[];
}

/** What an array argument may have. */
export const rowsFields: readonly string[] = ["data", "shape", "dtype"] satisfies (keyof Rows)[];

/** Checks an array argument of an operation. */
export function requireRows(
  name: string,
  array: Rows<RowData>,
  { fields = rowsFields }: { fields?: readonly string[] } = {},
): CheckedRows {
  if (array === null || typeof array !== "object" || ArrayBuffer.isView(array) || Array.isArray(array)) {
    throw new ShapeError(`${name} is ${describe(array)}; it must be an object { data, shape }`);
  }
  for (const key in array) {
    if (!fields.includes(key) && Object.hasOwn(array, key)) {
      throw new ShapeError(`${name}.${key} is not known here; the fields are ${fields.join(", ")}`);
    }
  }
  const { data, shape, dtype: stated } = array;
  const dtype = requireDtype(name, data, stated);
  const { rows, columns, leading } = requireShape(`${name}.shape`, shape);
  if (data.length !== rows * columns) {
    if (!isDeviceArray(data)) requireAttached(`${name}.data`, data);
    throw new ShapeError(
      `${name}.data has ${data.length} elements; its shape [${shape.join(", ")}] needs ${rows * columns}`,
    );
  }
  return { data: bitsOf(data), dtype, rows, columns, leading };
}

function requireDtype(name: string, data: unknown, stated: unknown): Dtype {
  if (types.isUint16Array(data) && !isFloat16Array(data)) {
    if (stated === "float16" || stated === "bfloat16") return stated;
    throw new DtypeError(
      `${name}.dtype is ${describe(stated)}; for a Uint16Array it must be "float16" or "bfloat16"`,
    );
  }
  const host = dtypeOf(data);
  const dtype = host ?? (isDeviceArray(data) ? data.dtype : undefined);
  if (dtype === undefined) {
    throw new DtypeError(
      `${name}.data is ${describe(data)}; it must be a Float32Array, a Float64Array, a Uint16Array or a DeviceArray`,
    );
  }
  if (stated !== undefined && stated !== dtype) {
    const what =
      host === undefined ? `a DeviceArray of ${dtype}` : describe(data).replace(/ of length .*/, "");
    throw new DtypeError(
      `${name}.data is ${what}, but ${name}.dtype says ${describe(stated)}; they must agree ("float32" for ` +
        `Float32Array, "float64" for Float64Array, "float16" or "bfloat16" for Uint16Array)`,
    );
  }
  return dtype;
}

/** Checks an array argument of an elementwise operation: an array itself, or one with a shape. */
export function requireElements<A extends NumericArray | DeviceArray>(
  name: string,
  array: A | Rows<A>,
): { data: A; dtype: Dtype } {
  if (isDeviceArray(array)) return { data: array, dtype: array.dtype };
  const dtype = dtypeOf(array);
  if (dtype !== undefined) {
    requireAttached(name, array as NumericArray);
    return { data: array as A, dtype };
  }
  if (array === null || typeof array !== "object" || ArrayBuffer.isView(array) || Array.isArray(array)) {
    throw new DtypeError(
      `${name} is ${describe(array)}; it must be a Float32Array, a Float64Array, a DeviceArray, or { data, shape } ` +
        "with one",
    );
  }
  const { data, dtype: found } = requireRows(name, array);
  return { data: data as A, dtype: found };
}

/** For operations that have no 16-bit kernels. */
export function requireFullWidth(name: string, dtype: Dtype): "float32" | "float64" {
  if (dtype === "float32" || dtype === "float64") return dtype;
  throw new DtypeError(`${name} is ${dtype}; it must be float32 or float64`);
}

function requireShape(
  name: string,
  shape: readonly number[],
): { rows: number; columns: number; leading: number[] } {
  if (!Array.isArray(shape) || shape.length === 0) {
    throw new ShapeError(`${name} is ${describe(shape)}; it must be an array of one axis or more`);
  }
  let rows = 1;
  for (let axis = 0; axis < shape.length; axis++) {
    const size: unknown = shape[axis];
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
      throw new ShapeError(`${name}[${axis}] is ${describe(size)}; it must be a non-negative integer`);
    }
    if (axis < shape.length - 1) rows *= size;
  }
  const columns = shape[shape.length - 1] as number;
  if (columns === 0)
    throw new ShapeError(`${name} is [${shape.join(", ")}]; its last axis must be at least 1`);
  if (!Number.isSafeInteger(rows * columns)) {
    throw new ShapeError(`${name} is [${shape.join(", ")}]; its product must be at most 2^53 - 1`);
  }
  return { rows, columns, leading: (shape as readonly number[]).slice(0, -1) };
}

/**
 * One float64 a row, or whatever `unit` says; `finite` refuses infinities and NaN. `orNumber` is for the message only.
 */
export function requirePerRow(
  name: string,
  values: PerRow,
  rows: number,
  { finite, orNumber = false, unit = "row" }: { finite: boolean; orNumber?: boolean; unit?: string },
): Float64Array {
  const given: unknown = values;
  if (!types.isFloat32Array(given) && !types.isFloat64Array(given) && !Array.isArray(given)) {
    throw new OptionError(
      `${name} is ${describe(given)}; it must be ${orNumber ? "a number, " : ""}a Float32Array, a Float64Array or ` +
        `an array of numbers, one per ${unit}`,
    );
  }
  if (values.length !== rows) {
    if (ArrayBuffer.isView(values)) requireAttached(name, values);
    throw new ShapeError(`${name} has ${values.length} elements; it must have ${rows}, one per ${unit}`);
  }
  const result = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const value: unknown = values[row];
    if (typeof value !== "number" || (finite && !Number.isFinite(value))) {
      throw new OptionError(
        `${name}[${row}] is ${describe(value)}; it must be a ${finite ? "finite " : ""}number`,
      );
    }
    result[row] = value;
  }
  return result;
}

/** One byte a row, 0 or 1. */
export function requireMask(name: string, mask: RowMask, rows: number): Uint8Array {
  const given: unknown = mask;
  if (!types.isUint8Array(given) && !Array.isArray(given)) {
    throw new OptionError(
      `${name} is ${describe(given)}; it must be a Uint8Array or an array of booleans, one per row`,
    );
  }
  if (mask.length !== rows) {
    if (ArrayBuffer.isView(mask)) requireAttached(name, mask);
    throw new ShapeError(`${name} has ${mask.length} elements; it must have ${rows}, one per row`);
  }
  const result = new Uint8Array(rows);
  for (let row = 0; row < rows; row++) {
    const value: unknown = mask[row];
    if (value !== true && value !== false && value !== 0 && value !== 1) {
      throw new OptionError(`${name}[${row}] is ${describe(value)}; it must be true, false, 1 or 0`);
    }
    result[row] = value ? 1 : 0;
  }
  return result;
}

const outputTypes = {
  float32: {
    type: "Float32Array",
    is: types.isFloat32Array,
    make: (length: number) => new Float32Array(length),
  },
  float64: {
    type: "Float64Array",
    is: types.isFloat64Array,
    make: (length: number) => new Float64Array(length),
  },
  float16: {
    type: "Uint16Array",
    is: types.isUint16Array,
    make: (length: number) => new Uint16Array(length),
  },
  bfloat16: {
    type: "Uint16Array",
    is: types.isUint16Array,
    make: (length: number) => new Uint16Array(length),
  },
} as const;

/** An array for an operation to write into: the caller's where there is one, and then checked, or a new one. */
export function outputArray(
  name: string,
  dtype: Dtype,
  length: number,
  given: StoredArray | undefined,
): StoredArray {
  const expected = outputTypes[dtype];
  if (given === undefined) return expected.make(length);
  if (!expected.is(given))
    throw new DtypeError(`${name} is ${describe(given)}; it must be a ${expected.type}`);
  const { buffer } = given as { buffer: { resizable?: boolean; growable?: boolean } };
  if (buffer.resizable === true || buffer.growable === true) {
    throw new ShapeError(`${name} lies in a resizable buffer; it must have a fixed length`);
  }
  requireAttached(name, given);
  if (given.length !== length) {
    throw new ShapeError(`${name} has ${given.length} elements; it must have ${length}`);
  }
  return given;
}

/**
 * Throws if any array written to shares memory with another array of the call. It may be all of the argument that `over`
 * names, unless another argument reads the same memory.
 */
export function requireDisjoint(
  written: readonly (readonly [name: string, array: ArrayBufferView, over?: string])[],
  read: readonly (readonly [name: string, array: ArrayBufferView])[],
): void {
  let earlier = 0;
  for (const [name, array, over] of written) {
    earlier++;
    for (const others of [written.slice(earlier), read]) {
      for (const [otherName, other] of others) {
        if (otherName === over && sameMemory(array, other)) continue;
        if (overlap(array, other)) {
          throw new OptionError(`${name} shares memory with ${otherName}; it must have memory of its own`);
        }
      }
    }
  }
}

function sameMemory(a: ArrayBufferView, b: ArrayBufferView): boolean {
  return a.buffer === b.buffer && a.byteOffset === b.byteOffset && a.byteLength === b.byteLength;
}
