// One listener for all calls that share an AbortSignal, however many: Node takes more than ten for a leak.
const waiting = new WeakMap<AbortSignal, { calls: Set<() => void>; listener: () => void }>();

/** Calls `abort` when the signal is aborted; returns what ends that. */
export function onAbort(signal: AbortSignal | undefined, abort: () => void): () => void {
  if (signal === undefined) return () => undefined;
  let entry = waiting.get(signal);
  if (entry === undefined) {
    const calls = new Set<() => void>();
    entry = { calls, listener: () => [...calls].forEach((call) => call()) };
    waiting.set(signal, entry);
    signal.addEventListener("abort", entry.listener, { once: true });
  }
  const { calls, listener } = entry;
  calls.add(abort);
  return () => {
    if (!calls.delete(abort) || calls.size > 0) return;
    signal.removeEventListener("abort", listener);
    waiting.delete(signal);
  };
}
