// Finds the CUDA backend: its shared library, a device that it can use, and a first row that comes out right.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { CudaError, type BackendAttempt } from "../errors.js";
import type { Addon, CudaDevice } from "./addon.js";
import { loadAddon, packageFile, prebuiltFolder, shownPath } from "./load.js";
import { cudaBackend } from "./native.js";
import { referenceBackend } from "./reference.js";
import type { Backend, SoftmaxDivergenceRequest } from "./table.js";

/** What came of looking for CUDA. */
export interface FoundCuda {
  backend?: Backend;
  /** The file that was loaded, whether or not a device can be used. */
  path?: string;
  device?: CudaDevice;
  /** How many devices there are. */
  devices?: number;
  /** To be told of every error of CUDA's. */
  onError?: (error: CudaError) => void;
  /** Throws CudaError unless the device computes a first row right; asks a device once. */
  trust?: (device: number) => void;
  /** What failed may not fail the next time: for want of memory, which others may give back. */
  transient?: boolean;
  attempts: BackendAttempt[];
}

const extension = process.platform === "win32" ? "dll" : "so";

/** KULLBACK_CUDA_LIBRARY alone where it is set; else prebuilt first, then what `npm run build:cuda` leaves behind. */
function candidates(): string[] {
  const given = process.env.KULLBACK_CUDA_LIBRARY;
  if (given !== undefined && given !== "") return [resolve(given)];
  return [
    packageFile(`${prebuiltFolder}/kullback_cuda.${extension}`),
    packageFile(`build-cuda/Release/kullback_cuda.${extension}`),
  ];
}

/** Looks for a library and a device. `onLost` is called when the device has become useless to this process. */
export function openCuda(onLost: (attempt: BackendAttempt) => void): FoundCuda {
  const { addon, attempts: addonAttempts } = loadAddon();
  if (addon === undefined) {
    return { attempts: addonAttempts.map(({ reason }) => ({ backend: "cuda", reason })) };
  }
  const found: FoundCuda = { attempts: [] };
  for (const path of candidates()) {
    const shown = shownPath(path);
    const problem = existsSync(path) ? addon.loadCuda(path) : "does not exist";
    if (problem === undefined) {
      found.path = path;
      const reason = tryDevice(addon, found, onLost);
      if (reason !== undefined) found.attempts.push({ backend: "cuda", reason: `${shown}: ${reason}` });
      return found;
    }
    const reason =
      problem === "does not exist" ? `${shown} ${problem}` : `${shown} could not be loaded: ${problem}`;
    found.attempts.push({ backend: "cuda", reason });
  }
  return found;
}

function tryDevice(
  addon: Addon,
  found: FoundCuda,
  onLost: (attempt: BackendAttempt) => void,
): string | undefined {
  const devices = addon.cudaDevices();
  if (typeof devices === "string") return devices;
  try {
    const device = addon.cudaDevice(0);
    const trusted = new Set<number>();
    const onError = (): void => {
      // Most errors are one call's; one that has poisoned the device's context shows in the next question.
      // Asked of those alone that are in use, since the question makes a device ready, which takes its memory.
      for (const index of trusted) {
        try {
          addon.cudaDevice(index);
        } catch (error) {
          if (isOutOfMemory(error)) continue;
          onLost({ backend: "cuda", reason: (error as Error).message });
          return;
        }
      }
    };
    const backend = cudaBackend(addon, onError);
    const trust = (index: number): void => {
      if (trusted.has(index)) return;
      trusted.add(index);
      try {
        selfTest(backend, index);
      } catch (error) {
        trusted.delete(index);
        throw error;
      }
    };
    trust(0);
    Object.assign(found, { backend, device, devices, onError, trust });
    return undefined;
  } catch (error) {
    found.transient = isOutOfMemory(error);
    return (error as Error).message;
  }
}

function isOutOfMemory(error: unknown): boolean {
  return (error as { code?: unknown }).code === "ERR_KULLBACK_OUT_OF_MEMORY";
}

// One row against the reference, before anybody's data is trusted to the device.
function selfTest(backend: Backend, device: number): void {
  const logits = { student: [1, -2, 0.5, 3, 0], teacher: [0.25, 1, -1, 2, 0.5] };
  const request = (): SoftmaxDivergenceRequest & { student: { gradient: Float32Array } } => ({
    divergence: "forwardKl",
    parameter: 0,
    dtype: "float32",
    device,
    rows: 1,
    columns: 5,
    student: {
      logits: Float32Array.from(logits.student),
      stride: 5,
      temperature: 1,
      gradient: new Float32Array(5),
    },
    teacher: { logits: Float32Array.from(logits.teacher), stride: 5, temperature: 1 },
    scale: 1,
    gradOutput: 1,
  });
  const [expected, actual] = [request(), request()];
  const values = [referenceBackend.softmaxDivergence(expected), backend.softmaxDivergence(actual)];
  const pairs = [
    values,
    ...Array.from(expected.student.gradient, (x, i) => [x, actual.student.gradient[i] as number]),
  ] as [number, number][];
  const off = pairs.find(([wanted, got]) => !(Math.abs(got - wanted) <= 1e-6));
  if (off === undefined) return;
  throw new CudaError(
    `the self-test of device ${device} got ${off[1]} where ${off[0]} is right: the device or its driver computes wrongly`,
  );
}
