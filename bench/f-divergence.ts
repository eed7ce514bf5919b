// fDivergence on the CPU against the memory limit and against loops in JavaScript, a million samples at a time.
import { loadAddon } from "../lib/backend/load.js";
import { fDivergence, type FDivergenceOptions } from "../lib/index.js";
import { percent, ratio, time } from "./cells.js";
import { inTurns, type Contender } from "./measure.js";
import { logits, requireAgreement } from "./problem.js";

const choices: Record<string, FDivergenceOptions> = {
  forwardKl: {},
  reverseKl: { divergence: "reverseKl" },
  jeffreys: { divergence: "jeffreys" },
  jensenShannon: { divergence: "jensenShannon" },
  totalVariation: { divergence: "totalVariation" },
  squaredHellinger: { divergence: "squaredHellinger" },
  chiSquared: { divergence: "chiSquared" },
  "alpha 1.5": { divergence: "alpha", alpha: 1.5 },
  skewForwardKl: { divergence: "skewForwardKl" },
  skewReverseKl: { divergence: "skewReverseKl" },
};

/** One divergence's median milliseconds. */
export interface FDivergenceTime {
  divergence: string;
  elements: number;
  /** Values and their gradients. */
  both: number;
  /** Three arrays moved, in the same rounds. */
  limit: number;
  /** The same as a loop in JavaScript; forward KL's. */
  javascript: number;
}

/** f(u) and u f'(u) of forward KL as one writes them by hand. */
function plain(logRatios: Float32Array, values: Float32Array, valueGradients: Float32Array): void {
  for (let i = 0; i < logRatios.length; i++) {
    const growth = Math.exp(logRatios[i]!) - 1;
    values[i] = growth - logRatios[i]!;
    valueGradients[i] = growth;
  }
}

/** Measures every divergence, in the same rounds. */
export async function benchFDivergence(quick: boolean): Promise<FDivergenceTime[]> {
  const elements = quick ? 1 << 18 : 1 << 22;
  const logRatios = logits(elements).student;
  const out = { values: new Float32Array(elements), valueGradients: new Float32Array(elements) };
  const outputs = ["values", "valueGradients"] as const;
  const run = (options: FDivergenceOptions): void => {
    fDivergence(logRatios, { ...options, outputs, out, backend: "cpu" });
  };
  const first = (): number => out.values.subarray(0, 1000).reduce((sum, x) => sum + x, 0);
  run({});
  const own = first();
  plain(logRatios, out.values, out.valueGradients);
  requireAgreement({ kullback: own, javascript: first() });
  const contenders: Record<string, Contender> = {
    limit: () => loadAddon().addon!.memoryLimit(elements, logRatios, out.values, out.valueGradients),
    javascript: () => plain(logRatios, out.values, out.valueGradients),
  };
  for (const [name, options] of Object.entries(choices)) contenders[name] = () => run(options);
  const times = (await inTurns(contenders, quick ? 3 : 7, quick ? 15 : 60)) as Record<string, number>;
  return Object.keys(choices).map((divergence) => ({
    divergence,
    elements,
    both: times[divergence]!,
    limit: times.limit!,
    javascript: times.javascript!,
  }));
}

export const fDivergenceHead = [
  "divergence",
  "f(u) and u f′(u)",
  "an element",
  "% of moving 3 arrays",
  "JavaScript (forwardKl)",
] as const;

/** One divergence as cells of {@link fDivergenceHead}. */
export function fDivergenceRow({ divergence, elements, both, limit, javascript }: FDivergenceTime): string[] {
  return [
    divergence,
    time(both),
    `${((1e6 * both) / elements).toFixed(2)} ns`,
    percent((100 * limit) / both),
    ratio(javascript / both),
  ];
}
