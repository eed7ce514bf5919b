// What benches hold CUDA against, through the addon: it computes what it says, and refuses what would crash a kernel.
import test from "ava";
import { DeviceArray } from "../../lib/index.js";
import { loadAddon } from "../../lib/backend/load.js";

const addon = loadAddon().addon!;
const length = 10_001;
const numbers = (slope: number): DeviceArray<"float32"> =>
  DeviceArray.from(Float32Array.from({ length }, (_, i) => slope * i));

test("the memory limit adds two arrays, but for what fills no vector at the end", (t) => {
  const [first, second, sum] = [numbers(1), numbers(-3), numbers(0)];
  addon.cudaMemoryLimit(0, length, first.handle(), second.handle(), undefined);
  t.true(sum.read().every((x) => x === 0));
  addon.cudaMemoryLimit(0, length, first.handle(), second.handle(), sum.handle());
  t.deepEqual(
    sum.read(),
    Float32Array.from({ length }, (_, i) => (i < 10_000 ? i - 3 * i : 0)),
  );
});

test("no elements and no exponentials are nothing to do", (t) => {
  const empty = DeviceArray.alloc(0, "float32").handle();
  t.notThrows(() => addon.cudaMemoryLimit(0, 0, empty, empty, undefined));
  t.notThrows(() => addon.cudaExponentialLimit(0, 0));
});

test("arrays that begin between vectors, are too short, of another type, or one and the same are refused", (t) => {
  const [first, second] = [numbers(1), numbers(2)];
  const limit = (one: DeviceArray, other: DeviceArray, sum?: DeviceArray): void =>
    addon.cudaMemoryLimit(0, length, one.handle(), other.handle(), sum?.handle());
  const refused = (call: () => void, message: RegExp): void => {
    t.throws(call, { message });
  };
  const longer = DeviceArray.alloc(length + 4, "float32");
  refused(() => limit(first, longer.subarray(1)), /multiple of 16 bytes/);
  refused(() => limit(first, second.subarray(4)), /second is too short/);
  refused(() => limit(first, DeviceArray.alloc(length, "float64")), /second has the wrong element type/);
  refused(() => limit(first, second, first), /shares memory/);
});
