// backendInfo: what runs here, and why. setThreadCount and threadCount.
import { arch, availableParallelism, cpus, platform } from "node:os";
import { describe } from "../arrays.js";
import { OptionError, type BackendAttempt } from "../errors.js";
import type { CudaDevice } from "./addon.js";
import { backendFromEnvironment, chooseBackend, findBackend, foundCuda } from "./choose.js";
import { loadAddon, maximalThreads, packageVersion } from "./load.js";
import { backendNames, type BackendChoice, type BackendName } from "./table.js";

/** One backend: whether it can run here, and if not, all that was tried. */
export interface BackendStatus {
  name: BackendName;
  available: boolean;
  attempts: BackendAttempt[];
}

/** What {@link backendInfo} returns. */
export interface BackendInfo {
  /** The backend of calls that do not name one, or null where KULLBACK_BACKEND names one that cannot run. */
  selected: BackendName | null;
  /** Why that one. */
  reason: string;
  /** All backends, in the order in which "auto" tries them. */
  backends: BackendStatus[];
  /** The CPU backend's, or null where it cannot run. */
  cpu: {
    /** What the kernels run on: "baseline", "avx2", "avx512" or "neon". */
    instructionSet: string;
    /** What this processor has of what was compiled. */
    instructionSets: string[];
    /** Threads that an operation may use, the calling one included. */
    threads: number;
    /** The file of the native addon. */
    path: string;
    compiler: string;
  } | null;
  /** The CUDA backend's, or null where it cannot run. */
  cuda: {
    /** How many devices there are. */
    devices: number;
    /** The first, which calls use that say nothing else. */
    device: CudaDevice;
    /** The file of the backend. */
    path: string;
  } | null;
  machine: { platform: string; arch: string; processor: string; cores: number };
  versions: { kullback: string; abi: number | null; node: string; napi: string };
  /** The environment variables that are set and that Kullback reads. */
  environment: Record<string, string>;
}

const environmentVariables = [
  "KULLBACK_BACKEND",
  "KULLBACK_CUDA_LIBRARY",
  "KULLBACK_CPU_ISA",
  "KULLBACK_NUM_THREADS",
] as const;

/**
 * Which backends there are, which one runs and why, what the processor offers, and the versions of the parts.
 * `npx kullback info` prints it.
 *
 * @throws OptionError where an environment variable of Kullback's has a value that it cannot have
 */
export function backendInfo(): BackendInfo {
  const choice = backendFromEnvironment();
  const backends = backendNames.map((name): BackendStatus => {
    const found = findBackend(name);
    return { name, available: found.backend !== undefined, attempts: found.attempts };
  });
  const selected = choice === "auto" || backends.some(({ name, available }) => name === choice && available);
  const name = selected ? chooseBackend().name : null;
  const { addon } = loadAddon();
  return {
    selected: name,
    reason: reasonFor(choice, name),
    backends,
    cpu: cpuInfo(),
    cuda: cudaInfo(),
    machine: {
      platform: platform(),
      arch: arch(),
      processor: cpus()[0]?.model.trim() ?? "unknown",
      cores: availableParallelism(),
    },
    versions: {
      kullback: packageVersion,
      abi: addon?.abiVersion ?? null,
      node: process.versions.node,
      napi: process.versions.napi ?? "unknown",
    },
    environment: Object.fromEntries(
      environmentVariables.flatMap((key) => (process.env[key] ? [[key, process.env[key]]] : [])),
    ),
  };
}

function reasonFor(choice: BackendChoice, selected: BackendName | null): string {
  if (choice === "auto") return `the first of ${backendNames.join(", ")} that can run here`;
  return `KULLBACK_BACKEND=${choice}${selected === null ? ", which cannot run here" : ""}`;
}

function cudaInfo(): BackendInfo["cuda"] {
  const { devices, device, path } = foundCuda();
  if (devices === undefined || device === undefined || path === undefined) return null;
  return { devices, device, path };
}

function cpuInfo(): BackendInfo["cpu"] {
  const { addon, path } = loadAddon();
  if (addon === undefined) return null;
  const sets = addon.instructionSets();
  return {
    instructionSet: sets.find(({ active }) => active)?.name ?? "unknown",
    instructionSets: sets.filter(({ supported }) => supported).map(({ name }) => name),
    threads: addon.threadCount(),
    path: path ?? "unknown",
    compiler: addon.compiler,
  };
}

/**
 * How many threads an operation may use from now on, the calling one included; for the whole process, all Workers of
 * it too. The default is KULLBACK_NUM_THREADS, or what the operating system lets this process run at once. Results do
 * not depend on it. Without the CPU backend it has no effect.
 *
 * @throws OptionError unless `count` is an integer from 1 to 1024
 */
export function setThreadCount(count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > maximalThreads) {
    throw new OptionError(`count is ${describe(count)}; it must be an integer from 1 to ${maximalThreads}`);
  }
  loadAddon().addon?.setThreadCount(count);
}

/** How many threads an operation may use; 1 without the CPU backend. */
export function threadCount(): number {
  return loadAddon().addon?.threadCount() ?? 1;
}
