// Which arrays asynchronous calls are adding to. Each such call starts from what the array holds as it is called and
// writes its sum as it ends, so that of two that overlap in time one would be lost.
import { overlap } from "./arrays.js";
import { OptionError } from "./errors.js";

const addedTo = new Set<ArrayBufferView>();

/** Throws if a call that has not ended adds to this array's memory. */
export function requireNotAddedTo(name: string, array: ArrayBufferView): void {
  for (const other of addedTo) {
    if (!overlap(array, other)) continue;
    throw new OptionError(
      `${name} is being added to by a call that has not ended; await that one first, or give this one another array`,
    );
  }
}

/** Runs a call that adds to these arrays. */
export async function whileAddingTo<R>(
  arrays: readonly ArrayBufferView[],
  run: () => Promise<R>,
): Promise<R> {
  for (const array of arrays) addedTo.add(array);
  try {
    return await run();
  } finally {
    for (const array of arrays) addedTo.delete(array);
  }
}
