// Timing in turns: every contender runs once a round, so that what slows the machine for a while slows all of them.
import { measure } from "mitata";

/** Milliseconds of one call: the median over rounds of each round's median. */
export type Milliseconds<Name extends string> = Record<Name, number>;

/** Something to time; one that returns a number of milliseconds has timed itself. */
export type Contender = (() => unknown) | { milliseconds: () => Promise<number> };

/** Times all contenders, `rounds` times around. */
export async function inTurns<Name extends string>(
  contenders: Partial<Record<Name, Contender>>,
  rounds: number,
  millisecondsEach: number,
): Promise<Partial<Milliseconds<Name>>> {
  const names = Object.keys(contenders) as Name[];
  const samples = new Map<Name, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of names) samples.get(name)!.push(await timed(contenders[name]!, millisecondsEach));
  }
  return Object.fromEntries(names.map((name) => [name, median(samples.get(name)!)])) as Partial<
    Milliseconds<Name>
  >;
}

async function timed(contender: Contender, budget: number): Promise<number> {
  if (typeof contender !== "function") return contender.milliseconds();
  const { p50 } = await measure(contender, {
    min_samples: 2,
    min_cpu_time: budget * 1e6,
    warmup_samples: 1,
    batch_samples: 5,
  });
  return p50 / 1e6;
}

/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
