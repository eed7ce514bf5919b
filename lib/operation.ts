// How each operation runs, now or on Kullback's own threads: its options checked, an abort heeded, and device memory
// given back where the call fails.
import type { Tensor } from "./backend/table.js";
import { requireOptions, requireSignal } from "./options.js";
import { disposeFresh } from "./tensors.js";

/** What the options of all operations have in common. */
interface CommonOptions {
  out?: object;
}

/** The steps of an operation, with its arguments in hand. */
export interface Steps<O extends CommonOptions, C> {
  optionNames: readonly string[];
  /** Checks everything, and makes what is to be written to. */
  toCall(options: O): C;
  /** What the call writes to, of which it may have made some. */
  outputsOf(call: C): readonly (Tensor | undefined)[];
}

/** Runs now. */
export function callNow<O extends CommonOptions, C, R>(
  steps: Steps<O, C>,
  options: O,
  run: (call: C) => R,
): R {
  const call = steps.toCall(requireOptions("options", options, steps.optionNames));
  try {
    return run(call);
  } catch (error) {
    disposeFresh(steps.outputsOf(call), Object.values(options.out ?? {}));
    throw error;
  }
}

/** Runs on Kullback's own threads, until `options.signal` stops it. */
export async function callLater<O extends CommonOptions & { signal?: AbortSignal }, C, R>(
  steps: Steps<O, C>,
  options: O,
  run: (call: C, signal: AbortSignal | undefined) => Promise<R>,
): Promise<R> {
  requireOptions("options", options, [...steps.optionNames, "signal"]);
  const signal = requireSignal("options.signal", options.signal);
  signal?.throwIfAborted();
  const call = steps.toCall(options);
  // Once more: what an option's getter does may be an abort.
  signal?.throwIfAborted();
  try {
    return await run(call, signal);
  } catch (error) {
    disposeFresh(steps.outputsOf(call), Object.values(options.out ?? {}));
    throw error;
  }
}
