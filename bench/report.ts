// Bench results as rows of a table and as a page of the documentation.
import type { BackendInfo } from "../lib/index.js";
import { line, percent, ratio, time } from "./cells.js";
import { familySection, type Family } from "./softmax-divergence-family.js";
import { smallSection, type SmallAnswers } from "./softmax-divergence-small.js";
import type { SizeResult } from "./softmax-divergence.js";

/** What a run of the bench found, and where. */
export interface Results {
  date: string;
  quick: boolean;
  info: BackendInfo;
  peers: string[];
  sizes: SizeResult[];
  family: Family;
  small: SmallAnswers[];
}

export const tableHead = [
  "rows x columns",
  "value + gradient",
  "% of 2 reads + 1 write",
  "value only",
  "% of 2 reads",
  "JavaScript",
  "tfjs",
  "torch",
] as const;

/** One size as cells of {@link tableHead}. */
export function tableRow({ rows, columns, milliseconds, ratios, percentOfLimit }: SizeResult): string[] {
  return [
    `${rows} x ${columns}`,
    time(milliseconds.valueAndGradient),
    percent(percentOfLimit.valueAndGradient),
    time(milliseconds.value),
    percent(percentOfLimit.value),
    ratio(ratios.javascript),
    ratio(ratios.tfjs),
    ratio(ratios.torch),
  ];
}

// torch has no arrays of the caller's to write into.
function besideTorch({ fresh, torch }: SizeResult["milliseconds"]): string {
  return fresh === undefined || torch === undefined
    ? ""
    : `, where torch takes ${ratio(torch / fresh)} as long`;
}

/** docs/benchmarks.md without what CUDA adds to it. */
export function markdownReport({ date, info, peers, sizes, family, small, quick }: Results): string {
  const { machine, cpu, versions } = info;
  return `# Benchmarks

This page is written by \`npm run bench -- softmax-divergence --save\`, its last part with \`--backend cuda\`.

## softmaxDivergence on a CPU, forward KL, float32

Of ${date}${quick ? " (quick)" : ""}, on
${machine.processor.replace(/\s+/g, " ")}, ${machine.platform}-${machine.arch}, ${cpu?.threads ?? 1} threads, instruction set
${cpu?.instructionSet ?? "none"} (${cpu?.compiler ?? "no addon"}), Node ${versions.node}, Kullback ${versions.kullback}.

Peers: ${peers.join("; ")}. Their columns say how many times as long they take for value and gradient.

${line(tableHead)}${line(tableHead.map(() => "---"))}${sizes.map((size) => line(tableRow(size))).join("")}
How to read it:

- Every number is a median over rounds in which all contenders took turns; peers are checked to compute the same value.
- *% of 2 reads + 1 write* compares with a loop that only reads two arrays and writes a third of this size, on the same
  threads, in the same rounds: 100 % would be computing for free. *% of 2 reads* likewise, without the write.
- Value and gradient are written into arrays that the caller keeps (\`out\`). New arrays each time, which torch always
  makes, cost page faults:
${sizes
  .map(
    ({ rows, columns, milliseconds }) =>
      `  ${time(milliseconds.fresh)} instead of ${time(milliseconds.valueAndGradient)} at ${rows} x ${columns}` +
      `${besideTorch(milliseconds)} (asynchronously, with its copies, ${time(milliseconds.async)})`,
  )
  .join(";\n")}.
- A call on 1 x 10 is all overhead: checking, crossing into C++ and back.

${familySection(family)}
${smallSection(small)}`;
}
