// A column for each row: the tokens of tokenLogProbs, the labels of linearCrossEntropy.
import { types } from "node:util";
import { describe, requireAttached } from "./arrays.js";
import { DtypeError, OptionError, ShapeError } from "./errors.js";

/** A token for each row: the index of one of its columns. */
export type Tokens = Int32Array | Uint32Array | readonly number[];

/** The tokens, and the rows that are left in by the mask and by `ignoreIndex`. */
export function tokensOf(
  name: string,
  given: Tokens,
  rows: number,
  columns: number,
  rowMask: Uint8Array | undefined,
  ignoreIndex: number | undefined,
): { tokens: Int32Array; rowMask: Uint8Array | undefined } {
  if (ignoreIndex !== undefined && !Number.isSafeInteger(ignoreIndex)) {
    throw new OptionError(`options.ignoreIndex is ${describe(ignoreIndex)}; it must be an integer`);
  }
  if (!types.isInt32Array(given) && !types.isUint32Array(given) && !Array.isArray(given)) {
    throw new DtypeError(
      `${name} is ${describe(given)}; it must be an Int32Array, a Uint32Array or an array of integers, one per row`,
    );
  }
  if (given.length !== rows) {
    if (ArrayBuffer.isView(given)) requireAttached(name, given);
    throw new ShapeError(`${name} has ${given.length} elements; it must have ${rows}, one per row`);
  }
  const tokens = new Int32Array(rows);
  let mask = rowMask;
  for (let row = 0; row < rows; row++) {
    const token = given[row] as number;
    if (mask?.[row] === 0) continue;
    if (ignoreIndex !== undefined && token === ignoreIndex) {
      mask ??= new Uint8Array(rows).fill(1);
      mask[row] = 0;
      continue;
    }
    if (!Number.isInteger(token) || token < 0 || token >= columns) {
      throw new OptionError(
        `${name}[${row}] is ${describe(token)}; it must be an integer from 0 to ${columns - 1}, a column of row ${row}`,
      );
    }
    tokens[row] = token;
  }
  return { tokens, rowMask: mask };
}
