// What arrays of the host and arrays of a device have in common as arguments of operations.
import { describe, outputArray, type Dtype, type StoredArray } from "./arrays.js";
import { chooseBackend } from "./backend/choose.js";
import { requireDevice } from "./backend/device-memory.js";
import { isDeviceTensor, type Backend, type BackendChoice, type Tensor } from "./backend/table.js";
import { DeviceArray, isDeviceArray } from "./device-array.js";
import { DtypeError, OptionError, ShapeError } from "./errors.js";

const place = (tensor: Tensor): string =>
  isDeviceTensor(tensor) ? `on device ${tensor.device}` : "in the host's memory";

type Named = readonly [name: string, tensor: Tensor];

/** Throws unless all lie in one memory. Returns the device that has them, or undefined for the host. */
export function requireOnePlace(...tensors: readonly [Named, ...Named[]]): number | undefined {
  const [[firstName, first], ...others] = tensors;
  for (const [name, tensor] of tensors) if (isDeviceTensor(tensor)) tensor.handle(name);
  for (const [name, tensor] of others) {
    if (place(tensor) !== place(first)) {
      throw new OptionError(
        `${name} is ${place(tensor)}, ${firstName} ${place(first)}; they must be in one place`,
      );
    }
  }
  return isDeviceTensor(first) ? first.device : undefined;
}

/**
 * The backend of a call, and the device that it uses: the one that has the arrays, or else the one that `device` names.
 * Arrays of a device leave no choice but cuda.
 */
export function chooseForPlace(
  choice: BackendChoice | undefined,
  device: number | undefined,
  onDevice: number | undefined,
): { backend: Backend; device: number } {
  if (onDevice !== undefined) {
    if (choice !== undefined && choice !== "auto" && choice !== "cuda") {
      throw new OptionError(
        `options.backend is ${describe(choice)}, but the arrays are on device ${onDevice}`,
      );
    }
    if (device !== undefined && device !== onDevice) {
      throw new OptionError(
        `options.device is ${describe(device)}, but the arrays are on device ${onDevice}`,
      );
    }
    return { backend: chooseBackend("cuda"), device: onDevice };
  }
  const backend = chooseBackend(choice);
  if (device === undefined) return { backend, device: 0 };
  if (backend.name !== "cuda") {
    throw new OptionError(
      `options.device is ${describe(device)}, but the ${backend.name} backend computes, which has no devices`,
    );
  }
  requireDevice("options.device", device);
  return { backend, device };
}

/** An output beside `like`, in the same memory: the caller's, and then checked, or a new one. */
export function outputTensor(name: string, dtype: Dtype, like: Tensor, given: Tensor | undefined): Tensor {
  const { length } = like;
  if (!isDeviceTensor(like)) {
    if (isDeviceArray(given)) {
      throw new DtypeError(`${name} is a DeviceArray; it must be a typed array, as the arguments are`);
    }
    return outputArray(name, dtype, length, given as StoredArray | undefined);
  }
  if (given === undefined) return DeviceArray.alloc(length, dtype, { device: like.device });
  if (!isDeviceArray(given)) {
    throw new DtypeError(`${name} is ${describe(given)}; it must be a DeviceArray, as the arguments are`);
  }
  given.handle(name);
  if (given.dtype !== dtype) {
    throw new DtypeError(`${name} is a DeviceArray of ${given.dtype}; it must be one of ${dtype}`);
  }
  if (given.length !== length) {
    throw new ShapeError(`${name} has ${given.length} elements; it must have ${length}`);
  }
  if (given.device !== like.device) {
    throw new OptionError(`${name} is on device ${given.device}; it must be on device ${like.device}`);
  }
  return given;
}

/** Disposes of a device's memory that a call has made for its results, and that nobody will see if it fails. */
export function disposeFresh(results: readonly (Tensor | undefined)[], given: readonly unknown[]): void {
  for (const result of results) if (isDeviceArray(result) && !given.includes(result)) result.dispose();
}
