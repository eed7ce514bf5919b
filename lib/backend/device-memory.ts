// A device's memory, through the addon, with the addon's errors as the library's own.
import type { StoredArray } from "../arrays.js";
import { describe } from "../arrays.js";
import { BackendUnavailableError, OptionError } from "../errors.js";
import type { DeviceHandle } from "./addon.js";
import { foundCuda } from "./choose.js";
import { loadAddon } from "./load.js";
import { runJob, translated } from "./native.js";

export interface DeviceMemory {
  allocate(device: number, dtype: number, length: number): DeviceHandle;
  slice(handle: DeviceHandle, begin: number, length: number): DeviceHandle;
  write(handle: DeviceHandle, from: StoredArray): void;
  read(handle: DeviceHandle, to: StoredArray): void;
  readAsync(
    device: number,
    handle: DeviceHandle,
    to: StoredArray,
    signal: AbortSignal | undefined,
  ): Promise<number>;
  dispose(handle: DeviceHandle): void;
  trim(device: number): void;
  info(device: number): { freeBytes: number; totalBytes: number; arrayBytes: number; arrays: number };
}

let memory: DeviceMemory | undefined;

/**
 * Throws BackendUnavailableError where CUDA does not run, and OptionError where there is no such device. With `survivor`
 * it is for an array that is there, maybe longer than its device: it can still be disposed of.
 */
export function deviceMemory(device: number, survivor = false): DeviceMemory {
  if (survivor && memory !== undefined) return memory;
  const { backend, attempts, onError } = foundCuda();
  const { addon } = loadAddon();
  if (backend === undefined || addon === undefined || onError === undefined) {
    throw new BackendUnavailableError(
      "device arrays need the cuda backend, which cannot run here:",
      attempts,
    );
  }
  requireDevice("device", device);
  const guarded = <T>(call: () => T): T => translated(call, onError);
  memory ??= {
    allocate: (...args) => guarded(() => addon.deviceAllocate(...args)),
    slice: (...args) => guarded(() => addon.deviceSlice(...args)),
    write: (...args) => guarded(() => addon.deviceWrite(...args)),
    read: (...args) => guarded(() => addon.deviceRead(...args)),
    readAsync: (index, handle, to, signal) =>
      runJob(signal, (callback) => addon.deviceReadAsync(callback, index, handle, to), onError),
    dispose: (handle) => addon.deviceDispose(handle),
    trim: (index) => guarded(() => addon.deviceTrim(index)),
    info: (index) => {
      const { freeBytes, totalBytes } = guarded(() => addon.cudaDevice(index));
      const [arrays, arrayBytes] = addon.deviceHeld(index);
      return { freeBytes, totalBytes, arrayBytes, arrays };
    },
  };
  return memory;
}

/** Throws OptionError unless there is such a device, and CudaError unless it passes its self-test. */
export function requireDevice(name: string, device: number): void {
  const { devices = 0, trust } = foundCuda();
  if (Number.isInteger(device) && device >= 0 && device < devices) {
    trust?.(device);
    return;
  }
  const most =
    devices === 1 ? "it must be 0, the only device" : `it must be an integer from 0 to ${devices - 1}`;
  throw new OptionError(`${name} is ${describe(device)}; ${most}`);
}
