// Result types that follow the options: what was asked for is there, by name, and nothing else.
import type { NumericArray } from "./arrays.js";

/** A fresh array of the same element type. */
export type Fresh<A extends NumericArray> = A extends Float32Array
  ? Float32Array<ArrayBuffer>
  : Float64Array<ArrayBuffer>;

/**
 * The fields of `Fields` that the option `Key` of `Options` names. A list that is only known at run time makes them
 * optional.
 */
export type Asked<Options, Key extends string, Fields extends object> =
  Options extends Readonly<Record<Key, readonly (infer Name extends keyof Fields)[]>>
    ? number extends Options[Key]["length"]
      ? Partial<Pick<Fields, Name>>
      : Pick<Fields, Name>
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
