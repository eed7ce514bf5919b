// What results look like in tables.

/** How many times as long. */
export function ratio(value: number | undefined): string {
  return value === undefined ? "not measured" : `${value.toFixed(1)}x`;
}

/** Milliseconds, or microseconds where they are few. */
export function time(milliseconds: number | undefined): string {
  if (milliseconds === undefined) return "not measured";
  return milliseconds < 0.1 ? `${(1000 * milliseconds).toFixed(2)} µs` : `${milliseconds.toFixed(2)} ms`;
}

/** Of a limit. */
export function percent(value: number): string {
  return `${value.toFixed(0)} %`;
}

/** A line of a table in Markdown. */
export function line(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |\n`;
}
