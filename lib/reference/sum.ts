// Sums that keep what each addition rounds off: Neumaier's.

/** Σ terms, right to the last digits whatever their number. */
export function sum(terms: Float64Array): number {
  let [total, lost] = [0, 0];
  for (const term of terms) {
    const next = total + term;
    lost += Math.abs(total) >= Math.abs(term) ? total - next + term : term - next + total;
    total = next;
  }
  // Of an infinite sum nothing can be said to be lost.
  return Number.isFinite(total) ? total + lost : total;
}
