// Result types that follow the options: what was asked for is there, by name, and nothing else.
import type { Float16Numbers, RowData } from "./arrays.js";
import type { DeviceArray } from "./device-array.js";

/** A fresh array of the same element type, in the same memory. */
export type Fresh<A extends RowData> =
  A extends DeviceArray<infer D>
    ? DeviceArray<D>
    : A extends Float32Array
      ? Float32Array<ArrayBuffer>
      : A extends Float64Array
        ? Float64Array<ArrayBuffer>
        : A extends Float16Numbers
          ? A
          : Uint16Array<ArrayBuffer>;

type IsUnion<T, All = T> = T extends unknown ? ([All] extends [T] ? false : true) : never;

/** The words of a list that are known at compile time, each for itself. */
type CertainIn<List> = List extends readonly [infer First, ...infer Rest]
  ? (IsUnion<First> extends true ? never : First) | CertainIn<Rest>
  : never;

/**
 * The fields of `Fields` that the option `Key` of `Options` names. A name that is only known at run time makes its
 * field optional.
 */
export type Asked<Options, Key extends string, Fields extends object> =
  Options extends Readonly<Record<Key, readonly (infer Name extends keyof Fields)[]>>
    ? Pick<Fields, CertainIn<Options[Key]> & Name> &
        Partial<Pick<Fields, Exclude<Name, CertainIn<Options[Key]>>>>
    : Key extends keyof Options
      ? Partial<Fields>
      : object;

/** `value` for a reduced result, `values` for one a row. */
export type Reduced<Options> = Options extends { readonly reduction: "none" }
  ? { /** One a row, in nats. */ values: Float64Array<ArrayBuffer> }
  : Options extends { readonly reduction: "sum" | "mean" }
    ? { /** In nats. */ value: number }
    : "reduction" extends keyof Options
      ? { value?: number; values?: Float64Array<ArrayBuffer> }
      : { /** In nats. */ value: number };
