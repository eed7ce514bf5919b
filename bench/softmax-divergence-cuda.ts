// softmaxDivergence on CUDA: arrays that stay on the device, against what the device's memory and its exponentials
// allow, and against torch on the same device.
import { KullbackError, DeviceArray, softmaxDivergence, trimMemory } from "../lib/index.js";
import type { Addon, CudaDevice } from "../lib/backend/addon.js";
import { chooseBackend, foundCuda } from "../lib/backend/choose.js";
import { loadAddon } from "../lib/backend/load.js";
import { compared, inTurns, type Comparison, type Contender, type Milliseconds } from "./measure.js";
import { plainForwardKl } from "./peers/plain-javascript.js";
import { failures, introduced, startTorch, type Torch } from "./peers/torch.js";
import { logits, poolLength, requireAgreement } from "./problem.js";

interface Size {
  rows: number;
  columns: number;
  /** With the same from the host's arrays too. */
  staged?: boolean;
}

/** A batch of tokens, rows of a block, rows of the largest clusters, a warp a row, a small batch, one token. */
const sizes: readonly Size[] = [
  { rows: 8192, columns: 128256 },
  { rows: 32768, columns: 4096 },
  { rows: 2048, columns: 262144 },
  { rows: 8192, columns: 1024 },
  { rows: 512, columns: 32000, staged: true },
  { rows: 1, columns: 10 },
];

/** What the emulator can do in seconds. */
const quickSizes: readonly Size[] = [
  { rows: 4, columns: 1000 },
  { rows: 2, columns: 5000, staged: true },
  { rows: 1, columns: 40000 },
  { rows: 1, columns: 10 },
];

/** The fewest that a kernel takes: two sums, and the two probabilities of each column. */
const exponentialsPerColumn = 4;

export const cudaPeers = ["eager", "compile", "liger"] as const;
export type CudaPeer = (typeof cudaPeers)[number];
type Name = "valueAndGradient" | "value" | "staged" | "twoReads" | "twoReadsOneWrite" | "exponentials";
export type CudaMilliseconds = Partial<Milliseconds<Name | CudaPeer>>;

/** One size's outcome. */
export interface CudaSizeResult extends Comparison<CudaPeer> {
  rows: number;
  columns: number;
  /** Median milliseconds of one call; `exponentials`: of as many as the operation needs, and nothing else. */
  milliseconds: CudaMilliseconds;
  /** Percent of that: 100 would be as fast as computing exponentials alone. */
  percentOfExponentials: { valueAndGradient: number; value: number };
}

/** What times say of a size. */
export function cudaSize(rows: number, columns: number, milliseconds: CudaMilliseconds): CudaSizeResult {
  const { valueAndGradient, value, exponentials } = milliseconds as Record<Name, number>;
  return {
    rows,
    columns,
    milliseconds,
    ...compared(milliseconds, cudaPeers),
    percentOfExponentials: {
      valueAndGradient: (100 * exponentials) / valueAndGradient,
      value: (100 * exponentials) / value,
    },
  };
}

export interface CudaBenchOptions {
  quick: boolean;
  /** Whether torch is asked. */
  peers: boolean;
  onSize: (result: CudaSizeResult) => void;
  onPeers: (peers: string[]) => void;
  /** A size that is left out, a peer that fails. */
  onNote: (note: string) => void;
}

/** The device that will be measured. Throws BackendUnavailableError where there is none. */
export function cudaDevice(): CudaDevice {
  chooseBackend("cuda");
  return foundCuda().device!;
}

/** Measures every size. */
export async function benchCuda(options: CudaBenchOptions): Promise<CudaSizeResult[]> {
  const { quick, onSize, onNote } = options;
  const torch = options.peers ? await startTorch(["cuda"]) : undefined;
  options.onPeers(introduced(torch?.introduction));
  const results: CudaSizeResult[] = [];
  for (const size of quick ? quickSizes : sizes) {
    const own = await measureOrSkip(size, quick, onNote);
    if (own === undefined) continue;
    const peers = torch === undefined ? {} : await measureTorch(torch, size, onNote);
    const result = cudaSize(size.rows, size.columns, { ...own, ...peers });
    results.push(result);
    onSize(result);
  }
  torch?.stop();
  return results;
}

async function measureTorch(torch: Torch, { rows, columns }: Size, onNote: (note: string) => void) {
  try {
    const times = await torch.measure(rows, columns, 11);
    failures(times).forEach(onNote);
    return times.milliseconds;
  } catch (error) {
    onNote((error as Error).message);
    return {};
  }
}

async function measureOrSkip(size: Size, quick: boolean, onNote: (note: string) => void) {
  try {
    return await measureSize(size, quick);
  } catch (error) {
    if ((error as KullbackError).code !== "ERR_KULLBACK_OUT_OF_MEMORY") throw error;
    onNote(`${size.rows} x ${size.columns}: ${(error as Error).message}`);
    return undefined;
  } finally {
    // Torch wants the memory next.
    trimMemory();
  }
}

async function measureSize(size: Size, quick: boolean): Promise<CudaMilliseconds> {
  const { rows, columns, staged } = size;
  const length = rows * columns;
  const pool = logits(Math.min(length, poolLength));
  const arrays: DeviceArray<"float32">[] = [];
  try {
    for (const side of [pool.student, pool.teacher, undefined]) arrays.push(onDevice(length, side));
    const [student, teacher, gradient] = arrays as [Device, Device, Device];
    for (const row of rows === 1 ? [0] : [0, rows - 1]) checkRow(row, columns, student, teacher, pool);
    const addon = loadAddon().addon!;
    const emulated = foundCuda().device!.emulated;
    return await inTurns<Name>(
      {
        ...operation(rows, columns, student, teacher, gradient),
        ...limits(addon, length, student, teacher, gradient),
        ...(staged && { staged: fromHost(rows, columns) }),
      },
      emulated ? 1 : quick ? 5 : 11,
      emulated ? 0 : quick ? 60 : 150,
    );
  } finally {
    for (const array of arrays) array.dispose();
  }
}

type Device = DeviceArray<"float32">;
const backend = "cuda";

function operation(rows: number, columns: number, student: Device, teacher: Device, gradient: Device) {
  const shape = [rows, columns];
  const sides = [
    { data: student, shape },
    { data: teacher, shape },
  ] as const;
  const out = { student: gradient };
  return {
    valueAndGradient: () => softmaxDivergence(...sides, { backend, gradients: ["student"], out }),
    value: () => softmaxDivergence(...sides, { backend }),
  };
}

function limits(addon: Addon, length: number, student: Device, teacher: Device, gradient: Device) {
  const [first, second, sum] = [student.handle(), teacher.handle(), gradient.handle()];
  return {
    twoReadsOneWrite: () => addon.cudaMemoryLimit(0, length, first, second, sum),
    twoReads: () => addon.cudaMemoryLimit(0, length, first, second, undefined),
    exponentials: () => addon.cudaExponentialLimit(0, exponentialsPerColumn * length),
  };
}

/** The operation from the host's arrays and back to them. */
function fromHost(rows: number, columns: number): Contender {
  const { student, teacher } = logits(rows * columns);
  const shape = [rows, columns];
  const out = { student: new Float32Array(rows * columns) };
  return () =>
    softmaxDivergence(
      { data: student, shape },
      { data: teacher, shape },
      { backend, gradients: ["student"], out },
    );
}

/** An array of the device with the pool's numbers over and over. */
function onDevice(length: number, pool: Float32Array | undefined): Device {
  const array = DeviceArray.alloc(length, "float32");
  for (let begin = 0; pool !== undefined && begin < length; begin += pool.length) {
    const part = array.subarray(begin, begin + pool.length);
    part.write(pool.subarray(0, part.length));
    part.dispose();
  }
  return array;
}

/** One row on the device against loops over what it must hold. */
function checkRow(
  row: number,
  columns: number,
  student: Device,
  teacher: Device,
  pool: { student: Float32Array; teacher: Float32Array },
): void {
  const begin = row * columns;
  const shape = [1, columns];
  const [ofStudent, ofTeacher] = [student, teacher].map((side) => side.subarray(begin, begin + columns));
  const host = (side: Float32Array): Float32Array =>
    Float32Array.from({ length: columns }, (_, i) => side[(begin + i) % side.length]!);
  requireAgreement({
    kullback: softmaxDivergence({ data: ofStudent!, shape }, { data: ofTeacher!, shape }, { backend }).value,
    javascript: plainForwardKl(host(pool.student), host(pool.teacher), 1, columns, undefined),
  });
  ofStudent!.dispose();
  ofTeacher!.dispose();
}
