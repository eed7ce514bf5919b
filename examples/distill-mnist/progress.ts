// One progress bar per phase on a terminal; one line at its start and one at its end in a log, a pipe or CI.
import { SingleBar } from "cli-progress";

/** Runs `work`, which reports each finished step, and then prints what `summarize` says about its result. */
export async function withProgress<Result>(
  title: string,
  steps: number,
  work: (onStep: (step: number) => void) => Promise<Result>,
  summarize: (result: Result) => string,
): Promise<Result> {
  const bar = process.stdout.isTTY ? startBar(title, steps) : undefined;
  if (bar === undefined) console.log(`${title} (${steps} steps) ...`);
  let result: Result;
  try {
    result = await work((step) => bar?.update(step));
  } finally {
    // Also on Ctrl-C and on errors, because the bar hides the cursor.
    bar?.stop();
  }
  console.log(`  ${summarize(result)}`);
  return result;
}

function startBar(title: string, steps: number): SingleBar {
  const bar = new SingleBar({
    format: `${title} [{bar}] {value}/{total} steps, {eta_formatted} left`,
    stream: process.stdout,
    barsize: 30,
    hideCursor: true,
  });
  bar.start(steps, 0);
  return bar;
}
