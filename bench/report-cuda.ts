// The CUDA bench's results as rows of a table, and as the part of docs/benchmarks.md that is CUDA's.
import type { CudaDevice } from "../lib/backend/addon.js";
import { line, percent, ratio, time } from "./cells.js";
import type { CudaSizeResult } from "./softmax-divergence-cuda.js";

/** What a run of the bench found, and where. */
export interface CudaResults {
  date: string;
  commit: string;
  quick: boolean;
  /** Who called the backend: this bench, or the one without Node. */
  program: string;
  device: Pick<CudaDevice, "name" | "computeCapability" | "driverVersion" | "runtimeVersion" | "emulated">;
  peers: string[];
  /** Sizes that were left out, peers that failed. */
  notes: string[];
  sizes: CudaSizeResult[];
}

export const cudaTableHead = [
  "rows x columns",
  "value + gradient",
  "% of 2 reads + 1 write",
  "value only",
  "% of 2 reads",
  "% of exponentials",
  "memory GB/s",
  "torch eager",
  "torch.compile",
  "Liger",
] as const;

/** One size as cells of {@link cudaTableHead}. */
export function cudaTableRow(size: CudaSizeResult): string[] {
  const { rows, columns, milliseconds, ratios, percentOfLimit, percentOfExponentials } = size;
  const gigabytes = (12e-6 * rows * columns) / milliseconds.twoReadsOneWrite!;
  return [
    `${rows} x ${columns}`,
    time(milliseconds.valueAndGradient),
    percent(percentOfLimit.valueAndGradient),
    time(milliseconds.value),
    percent(percentOfLimit.value),
    percent(percentOfExponentials.valueAndGradient),
    gigabytes.toFixed(0),
    ratio(ratios.eager),
    ratio(ratios.compile),
    ratio(ratios.liger),
  ];
}

interface Target {
  what: string;
  rows: number;
  columns: number;
  /** The devices that it is for; without, all. */
  device?: RegExp;
  wanted: string;
  measured: (size: CudaSizeResult) => number | undefined;
  shown: (number: number) => string;
  met: (number: number) => boolean;
}

const large = { rows: 8192, columns: 128256 };
const most = (limit: number) => ({
  wanted: `at most ${limit.toFixed(2)} ms`,
  shown: time,
  met: (x: number) => x <= limit,
});
const percentAtLeast = (limit: number) => ({
  wanted: `at least ${limit} %`,
  shown: percent,
  met: (x: number) => x >= limit,
});
const timesAtLeast = (limit: number) => ({
  wanted: `at least ${limit}x`,
  shown: ratio,
  met: (x: number) => x >= limit,
});
const ofLimit = (size: CudaSizeResult): number => size.percentOfLimit.valueAndGradient;

const targets: readonly Target[] = [
  {
    ...large,
    ...most(3),
    what: "value and gradient",
    device: /H200/,
    measured: ({ milliseconds }) => milliseconds.valueAndGradient,
  },
  {
    ...large,
    ...most(1.95),
    what: "value only",
    device: /H200/,
    measured: ({ milliseconds }) => milliseconds.value,
  },
  { ...large, ...percentAtLeast(88), what: "of 2 reads + 1 write", measured: ofLimit },
  { rows: 32768, columns: 4096, ...percentAtLeast(80), what: "of 2 reads + 1 write", measured: ofLimit },
  { rows: 2048, columns: 262144, ...percentAtLeast(75), what: "of 2 reads + 1 write", measured: ofLimit },
  { ...large, ...timesAtLeast(3), what: "torch.compile", measured: ({ ratios }) => ratios.compile },
  { ...large, ...timesAtLeast(8), what: "torch eager", measured: ({ ratios }) => ratios.eager },
];

export const targetHead = ["target", "wanted", "measured", ""] as const;

/** The targets that these results say anything about, as cells of {@link targetHead}. */
export function targetRows({ device, sizes }: Pick<CudaResults, "device" | "sizes">): string[][] {
  return targets.flatMap((target) => {
    const { what, rows, columns, wanted, shown, met } = target;
    const size = sizes.find((one) => one.rows === rows && one.columns === columns);
    if (size === undefined || target.device?.test(device.name) === false) return [];
    const number = target.measured(size);
    const verdict = number === undefined ? "" : met(number) ? "met" : "missed";
    return [
      [
        `${rows} x ${columns}, ${what}`,
        wanted,
        number === undefined ? "not measured" : shown(number),
        verdict,
      ],
    ];
  });
}

/** The last part of docs/benchmarks.md. */
export function cudaSection(results: CudaResults | undefined): string {
  const title = "## softmaxDivergence on CUDA, forward KL, float32\n\n";
  if (results === undefined) {
    return `${title}Not measured yet: no GPU has been at hand. [How to](development.md#a-visit-to-a-gpu).\n`;
  }
  const { date, commit, quick, program, device, peers, notes, sizes } = results;
  const version = (number: number): string =>
    `${Math.floor(number / 1000)}.${Math.floor((number % 1000) / 10)}`;
  const rows = targetRows(results);
  const table = (head: readonly string[], body: readonly string[][]): string =>
    [head, head.map(() => "---"), ...body].map(line).join("");
  return `${title}Of ${date}${quick ? " (quick)" : ""}, commit ${commit}, on ${device.name}, compute capability
${(device.computeCapability / 10).toFixed(1)}, driver for CUDA ${version(device.driverVersion)}, built with CUDA
${version(device.runtimeVersion)}, called from ${program}. Peers: ${peers.join("; ")}.

${table(cudaTableHead, sizes.map(cudaTableRow))}
${rows.length > 0 ? `${table(targetHead, rows)}\n` : ""}How to read it:

- Arrays are the device's and stay there; a call ends when its value has come back to the host.
- *% of 2 reads + 1 write* and *% of 2 reads* compare with kernels that do nothing else to arrays of this size, in the
  same rounds; *memory GB/s* is what the first of them moves.
- *% of exponentials* compares with a kernel that computes four exponentials a column, as the operation does, and
  touches no memory.
- The last three columns say how many times as long torch takes for value and gradient, by CUDA's events.
${sizes
  .filter(({ milliseconds }) => milliseconds.staged !== undefined)
  .map(
    ({ rows: count, columns, milliseconds }) =>
      `- From the host's arrays and back to them, ${count} x ${columns} takes ${time(milliseconds.staged)}.\n`,
  )
  .join("")}${notes.map((note) => `- ${note}\n`).join("")}`;
}
