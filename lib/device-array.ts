/// <reference lib="esnext.disposable" preserve="true" />
// DeviceArray: numbers that stay on a GPU between calls. And what a device's memory is used for.
import { types } from "node:util";
import {
  arrayTypeOf,
  bitsOf,
  describe,
  dtypeOf,
  dtypes,
  outputArray,
  requireAttached,
  type Dtype,
  type Float16Numbers,
  type StoredArray,
} from "./arrays.js";
import type { DeviceHandle } from "./backend/addon.js";
import { deviceMemory } from "./backend/device-memory.js";
import { DisposedError, DtypeError, OptionError, ShapeError } from "./errors.js";
import { requireOneOf, requireOptions, requireSignal } from "./options.js";

/** The typed array of an element type: a Uint16Array holds the bits of 16-bit numbers. */
export type HostArray<D extends Dtype> = D extends "float32"
  ? Float32Array<ArrayBuffer>
  : D extends "float64"
    ? Float64Array<ArrayBuffer>
    : Uint16Array<ArrayBuffer>;

type WrittenArray<D extends Dtype> = D extends "float32"
  ? Float32Array
  : D extends "float64"
    ? Float64Array
    : D extends "float16"
      ? Uint16Array | Float16Numbers
      : Uint16Array;

const bytesOf = { float32: 4, float64: 8, float16: 2, bfloat16: 2 } as const satisfies Record<Dtype, number>;

/** Where a new array goes. */
export interface DeviceArrayOptions {
  /** The device's index, as CUDA counts them. Default 0. */
  device?: number;
}

const hidden = Symbol("DeviceArray");

/** Whether it is an array of a device. */
export function isDeviceArray(value: unknown): value is DeviceArray {
  return typeof value === "object" && value !== null && DeviceArray.has(value);
}

/**
 * Numbers in a CUDA device's memory, as `data` of an operation's arguments: the operation then runs on that device, and
 * its gradients are device arrays too, so that a training step crosses the bus with nothing but its loss.
 *
 * Memory is freed by `dispose()`, at the end of a block by `using`, or some time after the last reference has gone.
 * Arrays from `subarray` share it, and it lives as long as one of them. A call that still runs keeps what it works on.
 *
 * @example
 * using logits = DeviceArray.from(new Float32Array(8 * 32000));
 * const { gradients } = softmaxDivergence(
 *   { data: logits, shape: [8, 32000] }, { data: teacher, shape: [8, 32000] }, { gradients: ["student"] });
 * const onHost = gradients.student.read();
 * gradients.student.dispose();
 */
export class DeviceArray<D extends Dtype = Dtype> {
  readonly dtype: D;
  /** Elements. */
  readonly length: number;
  /** The index of the device that has them. */
  readonly device: number;
  #handle: DeviceHandle | undefined;

  /** Not for callers: use `from`, `alloc` or `subarray`. */
  constructor(key: symbol, dtype: D, length: number, device: number, handle: DeviceHandle) {
    if (key !== hidden) throw new OptionError("DeviceArray is made by DeviceArray.from or DeviceArray.alloc");
    this.dtype = dtype;
    this.length = length;
    this.device = device;
    this.#handle = handle;
    // What it says of itself must stay what it is.
    Object.freeze(this);
  }

  /** For isDeviceArray, which nothing but one of these must pass. */
  static has(value: object): value is DeviceArray {
    return #handle in value;
  }

  /**
   * A copy of a typed array on a device.
   *
   * @throws DtypeError, OptionError, BackendUnavailableError, CudaError; KullbackError `ERR_KULLBACK_OUT_OF_MEMORY`
   * says how much was asked for and how much is free
   */
  static from(array: Float32Array, options?: DeviceArrayOptions): DeviceArray<"float32">;
  static from(array: Float64Array, options?: DeviceArrayOptions): DeviceArray<"float64">;
  static from(array: Float16Numbers, options?: DeviceArrayOptions): DeviceArray<"float16">;
  static from<D extends "float16" | "bfloat16">(
    array: Uint16Array,
    options: DeviceArrayOptions & { dtype: D },
  ): DeviceArray<D>;
  static from(array: StoredArray, options?: DeviceArrayOptions & { dtype?: Dtype }): DeviceArray;
  static from(
    array: StoredArray | Float16Numbers,
    options: DeviceArrayOptions & { dtype?: Dtype } = {},
  ): DeviceArray {
    const { dtype: stated, ...where } = requireOptions("options", options, ["device", "dtype"]);
    const dtype = dtypeOfArray(array, stated);
    requireAttached("array", array);
    const result = DeviceArray.alloc(array.length, dtype, where);
    try {
      result.write(bitsOf<StoredArray>(array));
    } catch (error) {
      result.dispose();
      throw error;
    }
    return result;
  }

  /** Memory for `length` elements, whatever it holds. Throws as `from` does. */
  static alloc<D extends Dtype>(length: number, dtype: D, options: DeviceArrayOptions = {}): DeviceArray<D> {
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new OptionError(`length is ${describe(length)}; it must be a non-negative integer`);
    }
    requireOneOf("dtype", dtype, dtypes);
    const { device = 0 } = requireOptions("options", options, ["device"]);
    const memory = deviceMemory(device);
    const handle = memory.allocate(device, dtypes.indexOf(dtype), length);
    return new DeviceArray(hidden, dtype, length, device, handle);
  }

  /** Bytes of the device's memory. */
  get byteLength(): number {
    return this.length * bytesOf[this.dtype];
  }

  /** Whether `dispose()` has been called. */
  get disposed(): boolean {
    return this.#handle === undefined;
  }

  /** For the backend: what the addon knows the memory by. Throws DisposedError. */
  handle(name = "this DeviceArray"): DeviceHandle {
    if (this.#handle === undefined) throw new DisposedError(`${name} has been disposed of`);
    return this.#handle;
  }

  /** Overwrites the whole array with a typed array of the same element type and length. */
  write(from: WrittenArray<D>): void {
    const handle = this.handle();
    deviceMemory(this.device, true).write(handle, this.#requireHost("from", from));
  }

  /** Copies the array to the host: into `to`, of the same element type and length, or into a new typed array. */
  read(to?: HostArray<D>): HostArray<D> {
    const handle = this.handle();
    const target = to === undefined ? this.#newHost() : this.#requireHost("to", to);
    deviceMemory(this.device, true).read(handle, target);
    return target as HostArray<D>;
  }

  /** {@link read} beside JavaScript, after what the device was asked to do before. */
  async readAsync(to?: HostArray<D>, options: { signal?: AbortSignal } = {}): Promise<HostArray<D>> {
    const signal = requireSignal("options.signal", requireOptions("options", options, ["signal"]).signal);
    signal?.throwIfAborted();
    const handle = this.handle();
    const target = to === undefined ? this.#newHost() : this.#requireHost("to", to);
    await deviceMemory(this.device, true).readAsync(this.device, handle, target, signal);
    return target as HostArray<D>;
  }

  /** Elements `begin` to `end` as an array that shares their memory. Negative numbers count from the end. */
  subarray(begin = 0, end = this.length): DeviceArray<D> {
    const handle = this.handle();
    const [from, to] = [begin, end].map((index, i) => {
      if (!Number.isInteger(index)) {
        throw new OptionError(`${i === 0 ? "begin" : "end"} is ${describe(index)}; it must be an integer`);
      }
      return Math.min(Math.max(index < 0 ? index + this.length : index, 0), this.length);
    }) as [number, number];
    const length = Math.max(0, to - from);
    return new DeviceArray(
      hidden,
      this.dtype,
      length,
      this.device,
      deviceMemory(this.device, true).slice(handle, from, length),
    );
  }

  /** Lets go of the memory; a second call does nothing. Every other use throws DisposedError from now on. */
  dispose(): void {
    if (this.#handle === undefined) return;
    deviceMemory(this.device, true).dispose(this.#handle);
    this.#handle = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #newHost(): StoredArray {
    return outputArray("to", this.dtype, this.length, undefined);
  }

  #requireHost(name: string, given: StoredArray | Float16Numbers): StoredArray {
    const halves = bytesOf[this.dtype] === 2;
    const fits = halves
      ? types.isUint16Array(given) || dtypeOf(given) === this.dtype
      : dtypeOf(given) === this.dtype;
    if (!fits) throw new DtypeError(`${name} is ${describe(given)}; it must be a ${arrayTypeOf(this.dtype)}`);
    const array = bitsOf<StoredArray>(given);
    if (array.length !== this.length) {
      requireAttached(name, array);
      throw new ShapeError(`${name} has ${array.length} elements; it must have ${this.length}`);
    }
    return array;
  }
}

function dtypeOfArray(array: unknown, stated: Dtype | undefined): Dtype {
  if (types.isUint16Array(array)) {
    if (stated === "float16" || stated === "bfloat16") return stated;
    throw new DtypeError(
      `options.dtype is ${describe(stated)}; for a Uint16Array it must be "float16" or "bfloat16"`,
    );
  }
  const dtype = dtypeOf(array);
  if (dtype === undefined) {
    throw new DtypeError(
      `array is ${describe(array)}; it must be a Float32Array, a Float64Array or a Uint16Array with a dtype`,
    );
  }
  if (stated !== undefined && stated !== dtype) {
    throw new DtypeError(`array holds ${dtype}, but options.dtype says ${describe(stated)}; they must agree`);
  }
  return dtype;
}

/** What {@link memoryInfo} returns, in bytes. */
export interface MemoryInfo {
  freeBytes: number;
  totalBytes: number;
  /** Of all DeviceArrays of this process, arrays that share memory counted once. */
  arrayBytes: number;
  /** How many allocations those are. */
  arrays: number;
}

/** What a device's memory is used for. Throws BackendUnavailableError, CudaError. */
export function memoryInfo(options: DeviceArrayOptions = {}): MemoryInfo {
  const { device = 0 } = requireOptions("options", options, ["device"]);
  return deviceMemory(device).info(device);
}

/** Gives back to the driver what Kullback keeps of a device's memory for later calls. Arrays stay. */
export function trimMemory(options: DeviceArrayOptions = {}): void {
  const { device = 0 } = requireOptions("options", options, ["device"]);
  deviceMemory(device).trim(device);
}
