// DeviceArray: what goes to a device comes back, operations take it and return it, and memory has an end. Runs where CUDA
// does: on a GPU, or on the emulator.
import test from "ava";
import {
  DeviceArray,
  DisposedError,
  DtypeError,
  memoryInfo,
  OptionError,
  ShapeError,
  softmaxDivergence,
  softmaxDivergenceAsync,
  trimMemory,
} from "../lib/index.js";
import { backends, choices, dtypes, logitPair, sides } from "./cases.js";
import { runModule } from "./child.js";

const floats = (length: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length }, (_, i) => Math.sin(i) * 3);

if (!backends.includes("cuda")) {
  test("without CUDA a device array says what was tried", (t) => {
    t.throws(() => DeviceArray.from(floats(3)), {
      code: "ERR_KULLBACK_BACKEND_UNAVAILABLE",
      message: /^device arrays need the cuda backend, which cannot run here:\n {2}cuda: /,
    });
  });
} else {
  test("what is written is read, whole or in part, now or later", async (t) => {
    const host = floats(1000);
    using array = DeviceArray.from(host);
    t.like(array, { dtype: "float32", length: 1000, byteLength: 4000, device: 0, disposed: false });
    t.deepEqual(array.read(), host);
    t.deepEqual(await array.readAsync(), host);
    const target = new Float32Array(1000);
    t.is(array.read(target), target);
    t.deepEqual(target, host);
    using part = array.subarray(10, -5);
    t.deepEqual(part.read(), host.slice(10, -5));
    part.write(new Float32Array(985));
    t.deepEqual(array.read().slice(10, 995), new Float32Array(985));
    t.is(array.read()[9], host[9]);
    using doubles = DeviceArray.from(Float64Array.of(1, 2));
    t.deepEqual(doubles.read(), Float64Array.of(1, 2));
    using none = DeviceArray.alloc(0, "float64");
    t.deepEqual(none.read(), new Float64Array(0));
    t.is(array.subarray(5, 3).length, 0);
  });

  for (const dtype of dtypes) {
    test(`${dtype}: an operation on device arrays gives what it gives on the host's, on the device`, async (t) => {
      for (const columns of [10, 1030, 20000]) {
        const { student, teacher } = logitPair({ rows: 3, columns, dtype });
        const onDevice = (rows: typeof student) => ({ data: DeviceArray.from(rows.data), shape: rows.shape });
        const [s, d] = [onDevice(student), onDevice(teacher)];
        for (const choice of choices) {
          const options = { ...choice, gradients: sides, reduction: "none", rowWeights: [1, 0, 2] } as const;
          const expected = softmaxDivergence(student, teacher, { ...options, backend: "cuda" });
          const actual = softmaxDivergence(s, d, options);
          const later = await softmaxDivergenceAsync(s, d, options);
          for (const result of [actual, later]) {
            t.is(result.backend, "cuda");
            t.deepEqual(result.values, expected.values);
            for (const side of sides) {
              t.deepEqual(result.gradients[side].read() as unknown, expected.gradients[side]);
              result.gradients[side].dispose();
            }
          }
        }
        s.data.dispose();
        d.data.dispose();
      }
    });
  }

  test("rows that begin anywhere in an array are as good as others", (t) => {
    const host = floats(4 * 1001);
    using array = DeviceArray.from(host);
    for (const begin of [0, 1, 2, 1001]) {
      using part = array.subarray(begin, begin + 2002);
      const at = { data: host.subarray(begin, begin + 2002), shape: [2, 1001] };
      using other = array.subarray(2002);
      const expected = softmaxDivergence(
        at,
        { data: host.subarray(2002), shape: [2, 1001] },
        { backend: "cuda", gradients: ["student"] },
      );
      const actual = softmaxDivergence(
        { data: part, shape: [2, 1001] },
        { data: other, shape: [2, 1001] },
        { gradients: ["student"] },
      );
      t.is(actual.value, expected.value);
      t.deepEqual(actual.gradients.student.read(), expected.gradients.student);
    }
  });

  test("out takes device arrays of the caller's", (t) => {
    const rows = { data: DeviceArray.from(floats(20)), shape: [2, 10] };
    const other = { data: DeviceArray.from(floats(40).subarray(20)), shape: [2, 10] };
    const out = { student: DeviceArray.alloc(20, "float32") };
    const { gradients } = softmaxDivergence(rows, other, { gradients: ["student"], out });
    t.is(gradients.student, out.student);
    t.true(gradients.student.read().some((x) => x !== 0));
    const wrong: [unknown, object][] = [
      [
        other.data,
        { instanceOf: OptionError, message: /^options\.out\.student shares memory with teacher\.data;/ },
      ],
      [
        new Float32Array(20),
        { instanceOf: DtypeError, message: /must be a DeviceArray, as the arguments are$/ },
      ],
      [DeviceArray.alloc(20, "float64"), { instanceOf: DtypeError, message: /is a DeviceArray of float64;/ }],
      [
        DeviceArray.alloc(19, "float32"),
        { instanceOf: ShapeError, message: /has 19 elements; it must have 20$/ },
      ],
    ];
    for (const [student, expectation] of wrong) {
      const given = { student: student as DeviceArray };
      t.throws(() => softmaxDivergence(rows, other, { gradients: ["student"], out: given }), expectation);
    }
    const host = { data: floats(20), shape: [2, 10] };
    t.throws(() => softmaxDivergence(host, host, { gradients: ["student"], out }), {
      instanceOf: DtypeError,
      message: /is a DeviceArray; it must be a typed array, as the arguments are$/,
    });
  });

  test("arrays in two places, and backends that cannot reach them, are refused", (t) => {
    const rows = { data: DeviceArray.from(floats(6)), shape: [2, 3] };
    const host = { data: floats(6), shape: [2, 3] };
    t.throws(() => softmaxDivergence(rows as never, host), {
      instanceOf: OptionError,
      message: "teacher.data is in the host's memory, student.data on device 0; they must be in one place",
    });
    t.throws(() => softmaxDivergence(rows, rows, { backend: "cpu" }), {
      instanceOf: OptionError,
      message: 'options.backend is "cpu", but the arrays are on device 0',
    });
    t.throws(() => softmaxDivergence(rows, rows, { device: 1 }), { instanceOf: OptionError });
    t.throws(() => softmaxDivergence(host, host, { backend: "cuda", device: 99 }), {
      instanceOf: OptionError,
      message: /^options\.device is 99; it must be /,
    });
    t.throws(() => softmaxDivergence(host, host, { backend: "cpu", device: 0 }), {
      instanceOf: OptionError,
      message: "options.device is 0, but the cpu backend computes, which has no devices",
    });
    t.throws(() => DeviceArray.alloc(-1, "float32"), { message: /^length is -1;/ });
    t.throws(() => DeviceArray.alloc(1, "float8" as never), { message: /^dtype is "float8";/ });
    t.throws(() => DeviceArray.alloc(1, "float32", { device: -1 }), { message: /^device is -1;/ });
    t.throws(() => DeviceArray.from([1, 2] as never), { instanceOf: DtypeError });
    t.throws(() => rows.data.write(new Float64Array(6) as never), { message: /must be a Float32Array$/ });
    t.throws(() => rows.data.read(new Float32Array(5)), { message: "to has 5 elements; it must have 6" });
    t.throws(() => rows.data.subarray(0.5), { message: /^begin is 0.5;/ });
  });

  test("after dispose every use is an error that says so, but a call that runs ends", async (t) => {
    const rows = { data: DeviceArray.from(floats(3000)), shape: [3, 1000] };
    const part = rows.data.subarray(0, 1000);
    const running = softmaxDivergenceAsync(rows, rows, { gradients: ["student"] });
    rows.data.dispose();
    rows.data.dispose();
    t.true(rows.data.disposed);
    t.is((await running).value, 0);
    // The part shares the memory, and keeps it.
    t.deepEqual(part.read(), floats(1000));
    t.throws(() => rows.data.read(), {
      instanceOf: DisposedError,
      message: "this DeviceArray has been disposed of",
    });
    t.throws(() => softmaxDivergence(rows, rows), {
      instanceOf: DisposedError,
      code: "ERR_KULLBACK_DISPOSED",
      message: "student.data has been disposed of",
    });
    await t.throwsAsync(rows.data.readAsync(), { instanceOf: DisposedError });
    part.dispose();
  });

  test("an abort while an array is read leaves the target alone", async (t) => {
    using array = DeviceArray.from(floats(100));
    const target = new Float32Array(100);
    const reason = new Error("enough");
    t.is(await t.throwsAsync(array.readAsync(target, { signal: AbortSignal.abort(reason) })), reason);
    t.deepEqual(target, new Float32Array(100));
  });

  test("memory comes back by dispose, by using, and from arrays that were forgotten", async (t) => {
    const program = `import { DeviceArray, memoryInfo, trimMemory } from "kullback";
      import { setTimeout } from "node:timers/promises";
      const before = memoryInfo();
      const array = DeviceArray.alloc(1 << 20, "float32");
      const part = array.subarray(1);
      console.log(memoryInfo().arrays, memoryInfo().arrayBytes);
      array.dispose();
      console.log(memoryInfo().arrays);
      part.dispose();
      console.log(memoryInfo().arrays, memoryInfo().arrayBytes);
      (() => { for (let i = 0; i < 100; i++) DeviceArray.alloc(1000, "float64"); })();
      for (let i = 0; i < 50 && memoryInfo().arrays > 0; i++) { globalThis.gc(); await setTimeout(10); }
      trimMemory();
      await setTimeout(50);
      console.log(memoryInfo().arrays, memoryInfo().freeBytes >= before.freeBytes);`;
    const { stdout, stderr } = await runModule(program, {
      env: { KULLBACK_CUDA_LIBRARY: process.env.KULLBACK_CUDA_LIBRARY ?? "" },
      flags: ["--expose-gc"],
    });
    t.is(stdout, "1 4194304\n1\n0 0\n0 true\n", stderr);
  });

  test("the garbage collector knows of the memory, and that it has gone", async (t) => {
    const program = `import { DeviceArray } from "kullback";
      import { loadAddon } from "./dist/lib/backend/load.js";
      import { setTimeout } from "node:timers/promises";
      DeviceArray.alloc(1, "float32").dispose();
      const external = () => loadAddon().addon.deviceHeld(0)[2];
      const near = (bytes) => Math.abs(external() - before - bytes) < 1e6;
      globalThis.gc();
      const before = external();
      const array = DeviceArray.alloc(1 << 24, "float32");
      const part = array.subarray(1);
      console.log(near(4 << 24));
      array.dispose();
      console.log(near(4 << 24));
      part.dispose();
      part.dispose();
      console.log(near(0));
      (() => { for (let i = 0; i < 10; i++) DeviceArray.alloc(1 << 20, "float64"); })();
      for (let i = 0; i < 50 && !near(0); i++) { globalThis.gc(); await setTimeout(10); }
      console.log(near(0));`;
    const { stdout, stderr } = await runModule(program, {
      env: { KULLBACK_CUDA_LIBRARY: process.env.KULLBACK_CUDA_LIBRARY ?? "" },
      flags: ["--expose-gc"],
    });
    t.is(stdout, "true\ntrue\ntrue\ntrue\n", stderr);
  });

  test("what a call that fails had made goes back at once", async (t) => {
    const program = `import { DeviceArray, memoryInfo, softmaxDivergence, softmaxDivergenceAsync } from "kullback";
      const rows = { data: DeviceArray.from(new Float32Array(3000)), shape: [3, 1000] };
      const gradients = ["student", "teacher"];
      const out = { teacher: DeviceArray.alloc(5, "float32") };
      for (let i = 0; i < 10; i++) {
        try { softmaxDivergence(rows, rows, { gradients, out }); } catch ({ name }) { if (i === 0) console.log(name); }
        const controller = new AbortController();
        const running = softmaxDivergenceAsync(rows, rows, { gradients, signal: controller.signal });
        controller.abort();
        await running.catch(({ name }) => { if (i === 0) console.log(name); });
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
      console.log(memoryInfo().arrays);`;
    const { stdout, stderr } = await runModule(program, {
      env: { KULLBACK_CUDA_LIBRARY: process.env.KULLBACK_CUDA_LIBRARY ?? "" },
    });
    t.regex(stdout, /^ShapeError\nAbortError\n/, stderr);
    t.regex(stdout, /\n2\n$/, stdout);
  });

  test("after an aborted call has settled, nothing is written to its device arrays any more", async (t) => {
    const rows = { data: DeviceArray.from(floats(600_000)), shape: [300, 2000] };
    const out = { student: DeviceArray.alloc(600_000, "float32") };
    const controller = new AbortController();
    const running = softmaxDivergenceAsync(rows, rows, {
      gradients: ["student"],
      out,
      signal: controller.signal,
    });
    controller.abort();
    await running.catch((error: unknown) => t.is((error as Error).name, "AbortError"));
    out.student.write(new Float32Array(600_000).fill(7));
    // What comes after it on the device's thread comes after all that it did.
    const after = await out.student.readAsync();
    t.true(after.every((x) => x === 7));
    [rows.data, out.student].forEach((array) => array.dispose());
  });

  test("a call that was aborted in its midst rejects once it has ended", async (t) => {
    const rows = { data: DeviceArray.from(floats(600_000)), shape: [300, 2000] };
    const out = { student: DeviceArray.alloc(600_000, "float32") };
    const controller = new AbortController();
    const running = softmaxDivergenceAsync(rows, rows, {
      gradients: ["student"],
      out,
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(), 5);
    await running.catch((error: unknown) => t.is((error as Error).name, "AbortError"));
    out.student.write(new Float32Array(600_000).fill(7));
    await new Promise((resolve) => setTimeout(resolve, 100));
    t.true(out.student.read().every((x) => x === 7));
    [rows.data, out.student].forEach((array) => array.dispose());
  });

  test("memory that only running jobs hold is waited for", async (t) => {
    const program = `import { DeviceArray, softmaxDivergenceAsync } from "kullback";
      const rows = () => ({ data: DeviceArray.from(new Float32Array(1 << 20)), shape: [512, 2048] });
      const [student, teacher] = [rows(), rows()];
      const running = softmaxDivergenceAsync(student, teacher);
      for (const { data } of [student, teacher]) data.dispose();
      console.log(DeviceArray.alloc(7 << 20 >> 2, "float32").length);
      await running;
      try { DeviceArray.alloc(2 ** 40, "float32"); } catch ({ code, message }) { console.log(code, message); }`;
    const { stdout, stderr } = await runModule(program, {
      env: { KULLBACK_CUDA_LIBRARY: process.env.KULLBACK_CUDA_LIBRARY ?? "", KULLBACK_EMULATOR: "memory=10" },
    });
    t.regex(stdout, /^1835008\nERR_KULLBACK_OUT_OF_MEMORY asked for 4398046511104 bytes/, stderr);
  });

  test("a process may end while the device computes", async (t) => {
    const program = `import { softmaxDivergenceAsync } from "kullback";
      const rows = { data: new Float32Array(400 * 4000), shape: [400, 4000] };
      softmaxDivergenceAsync(rows, rows, { backend: "cuda", gradients: ["student"] });
      setTimeout(() => process.exit(7), 20);`;
    const { code, signal, stderr } = await runModule(program, {
      env: { KULLBACK_CUDA_LIBRARY: process.env.KULLBACK_CUDA_LIBRARY ?? "" },
    });
    t.is(signal, null, stderr);
    t.is(code, 7, stderr);
  });

  test("memoryInfo and trimMemory know the devices there are", (t) => {
    t.true(memoryInfo().freeBytes <= memoryInfo().totalBytes);
    t.notThrows(() => trimMemory());
    for (const call of [memoryInfo, trimMemory]) {
      t.throws(() => call({ device: 1000 }), {
        instanceOf: OptionError,
        message: /^device is 1000; it must be /,
      });
    }
  });
}
