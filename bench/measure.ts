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

/** How times stand beside those of the limits and of the peers in the same run. */
export interface Comparison<Peer extends string> {
  /** How many times as long each peer takes for value and gradient. */
  ratios: Partial<Record<Peer, number>>;
  /** Percent of the memory limit: 100 would be as fast as reading and writing alone. */
  percentOfLimit: { valueAndGradient: number; value: number };
}

/** Compares own times, of value and gradient and of the value alone, with those that were measured beside them. */
export function compared<Peer extends string>(
  milliseconds: Partial<Milliseconds<string>>,
  peers: readonly Peer[],
): Comparison<Peer> {
  const { valueAndGradient, value, twoReads, twoReadsOneWrite } = milliseconds as Record<string, number>;
  const ratios = peers.flatMap((peer) => {
    const time = milliseconds[peer];
    return time === undefined ? [] : [[peer, time / valueAndGradient!]];
  });
  return {
    ratios: Object.fromEntries(ratios) as Partial<Record<Peer, number>>,
    percentOfLimit: {
      valueAndGradient: (100 * twoReadsOneWrite!) / valueAndGradient!,
      value: (100 * twoReads!) / value!,
    },
  };
}
