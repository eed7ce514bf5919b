// Checks of option objects that all operations share.
import { describe } from "./arrays.js";
import { OptionError } from "./errors.js";

/** The options object itself, with no field beyond the known ones. */
export function requireOptions<O extends object>(name: string, options: O, known: readonly string[]): O {
  if (options === null || typeof options !== "object" || Array.isArray(options)) {
    throw new OptionError(`${name} is ${describe(options)}; it must be an object`);
  }
  for (const key in options) {
    // What hangs on a prototype, maybe on every object's, was not given to this call.
    if (!known.includes(key) && Object.hasOwn(options, key)) {
      throw new OptionError(`${name}.${key} is not an option; the options are ${known.join(", ")}`);
    }
  }
  return options;
}

/** One of a few words. */
export function requireOneOf<T extends string>(name: string, value: T, valid: readonly T[]): T {
  if (!valid.includes(value))
    throw new OptionError(`${name} is ${describe(value)}; it must be ${listed(valid)}`);
  return value;
}

/** Some of a few words, each at most once. */
export function requireSubset<T extends string>(
  name: string,
  values: readonly T[],
  valid: readonly T[],
): readonly T[] {
  const given: unknown = values;
  if (!Array.isArray(given)) {
    throw new OptionError(`${name} is ${describe(given)}; it must be an array of ${listed(valid)}`);
  }
  // Not forEach, which skips the holes of a sparse array.
  for (const [index, value] of values.entries()) {
    requireOneOf(`${name}[${index}]`, value, valid);
    if (values.indexOf(value) !== index) throw new OptionError(`${name} names ${describe(value)} twice`);
  }
  return values;
}

/** A finite number, greater than 0 where `positive`. */
export function requireNumber(name: string, value: number, positive: boolean): number {
  if (typeof value !== "number" || !Number.isFinite(value) || (positive && value <= 0)) {
    throw new OptionError(
      `${name} is ${describe(value)}; it must be a finite number${positive ? " greater than 0" : ""}`,
    );
  }
  return value;
}

/** An AbortSignal. */
export function requireSignal(name: string, signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined) return undefined;
  if (
    typeof signal !== "object" ||
    typeof signal?.throwIfAborted !== "function" ||
    typeof signal.addEventListener !== "function" ||
    typeof signal.removeEventListener !== "function"
  ) {
    throw new OptionError(`${name} is ${describe(signal)}; it must be an AbortSignal`);
  }
  return signal;
}

function listed(valid: readonly string[]): string {
  const quoted = valid.map((word) => JSON.stringify(word));
  return quoted.length < 2
    ? quoted.join("")
    : `${quoted.slice(0, -1).join(", ")} or ${quoted[quoted.length - 1]}`;
}
