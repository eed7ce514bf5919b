// What operations that sum over rows have in common: how they are weighed, masked, reduced and scaled.
import { requireMask, requirePerRow, type PerRow, type RowMask } from "./arrays.js";
import { OptionError } from "./errors.js";
import { requireNumber, requireOneOf } from "./options.js";

export const reductions = ["none", "sum", "mean"] as const;
export type Reduction = (typeof reductions)[number];
const temperatureScalings = ["none", "squared"] as const;

/** The options that say what each row counts and what becomes of all. */
export interface ReductionOptions {
  /**
   * `"squared"` multiplies value and gradients by the product of the two temperatures (Hinton's T²), which keeps the
   * gradients' size as the temperature rises. Default `"none"`.
   */
  temperatureScaling?: "none" | "squared";
  /**
   * - `"mean"` (default): `value`, the sum over rows divided by `divisor`
   * - `"sum"`: `value`, the sum over rows
   * - `"none"`: `values`, one a row
   */
  reduction?: "none" | "sum" | "mean";
  /**
   * What `"mean"` divides by; greater than 0. Default: the number of rows that `rowMask` leaves in, whatever their
   * weights; without any such row the mean is 0. Not allowed with the other reductions.
   */
  divisor?: number;
  /** A finite factor for each row's divergence and gradients. A weight of 0 gives exactly 0. Default: 1 for all. */
  rowWeights?: PerRow;
  /** Which rows count. The others are not read; their values, gradients and statistics are 0. Default: all. */
  rowMask?: RowMask;
  /**
   * The derivative of what is being minimised by this result, which multiplies the gradients: a number, or one a row.
   * Default 1.
   */
  gradOutput?: number | PerRow;
}

/** The names of these options. */
export const reductionOptionNames = [
  "temperatureScaling",
  "reduction",
  "divisor",
  "rowWeights",
  "rowMask",
  "gradOutput",
] as const satisfies readonly (keyof ReductionOptions)[];

/** The rows' own factors, checked. */
export interface Factors {
  rowWeights: Float64Array | undefined;
  rowMask: Uint8Array | undefined;
  gradOutput: number;
  gradOutputs: Float64Array | undefined;
}

export function requireFactors(options: ReductionOptions, rows: number): Factors {
  const { gradOutput = 1, rowWeights, rowMask } = options;
  const oneGradOutput = typeof gradOutput === "number";
  return {
    rowWeights:
      rowWeights === undefined
        ? undefined
        : requirePerRow("options.rowWeights", rowWeights, rows, { finite: true }),
    rowMask: rowMask === undefined ? undefined : requireMask("options.rowMask", rowMask, rows),
    gradOutput: oneGradOutput ? gradOutput : 1,
    gradOutputs: oneGradOutput
      ? undefined
      : requirePerRow("options.gradOutput", gradOutput, rows, { finite: false, orNumber: true }),
  };
}

/** What every row is multiplied by. `squared` is the temperatures' product. */
export function scaleOf(
  { rows, rowMask }: { rows: number; rowMask?: Uint8Array | undefined },
  options: ReductionOptions,
  squared: number,
): number {
  const { temperatureScaling = "none", reduction = "mean", divisor } = options;
  requireOneOf("options.reduction", reduction, reductions);
  requireOneOf("options.temperatureScaling", temperatureScaling, temperatureScalings);
  const scale = temperatureScaling === "squared" ? squared : 1;
  if (reduction !== "mean") {
    if (divisor !== undefined) {
      throw new OptionError(`options.divisor goes with reduction "mean"; the reduction is "${reduction}"`);
    }
    return scale;
  }
  if (divisor !== undefined) {
    const divided = scale / requireNumber("options.divisor", divisor, true);
    if (Number.isFinite(divided)) return divided;
    throw new OptionError(
      `options.divisor is ${divisor}; it is too small for what it divides to be a number`,
    );
  }
  const counted = rowMask ? rowMask.reduce((sum, counts) => sum + counts, 0) : rows;
  return counted === 0 ? 0 : scale / counted;
}

/** Throws if a weight multiplied by what every row is multiplied by is beyond all numbers. */
export function requireFiniteWeights(rowWeights: Float64Array | undefined, scale: number): void {
  const wrong = Number.isFinite(scale)
    ? (rowWeights?.findIndex((weight) => !Number.isFinite(weight * scale)) ?? -1)
    : -1;
  if (wrong < 0) return;
  throw new OptionError(
    `options.rowWeights[${wrong}] is ${rowWeights?.[wrong]}; multiplied by the scale of the reduction and of the ` +
      `temperatures, ${scale}, it must be a finite number`,
  );
}
