// The CUDA backend's own affairs: its devices, its memory, its errors. Runs where CUDA does: on a GPU, or on the emulator.
import test from "ava";
import { backendInfo, DeviceArray, softmaxDivergence, softmaxDivergenceAsync } from "../../lib/index.js";
import { normals } from "../cases.js";
import { runModule } from "../child.js";

function rows(
  count: number,
  columns: number,
  seed = count + columns,
): { data: Float32Array<ArrayBuffer>; shape: number[] } {
  const normal = normals(seed);
  return { data: Float32Array.from({ length: count * columns }, normal), shape: [count, columns] };
}

test("backendInfo says what the device is", (t) => {
  const { cuda } = backendInfo();
  t.truthy(cuda?.device.name);
  t.true(cuda!.device.computeCapability >= 75);
  t.true(cuda!.device.totalBytes > 0);
});

test("rows that do not fit one transfer go in several, and give what they give one by one", (t) => {
  // About 100 MiB of logits, where a transfer is 32.
  const [student, teacher] = [rows(4000, 3000), rows(4000, 3000)];
  const options = { gradients: ["student"], reduction: "none", backend: "cuda" } as const;
  const all = softmaxDivergence(student, teacher, options);
  for (const row of [0, 1, 1234, 3999]) {
    const one = (side: typeof student) => ({
      data: side.data.subarray(row * 3000, (row + 1) * 3000),
      shape: [1, 3000],
    });
    const alone = softmaxDivergence(one(student), one(teacher), options);
    t.is(alone.values[0], all.values[row]);
    t.deepEqual(alone.gradients.student, all.gradients.student.slice(row * 3000, (row + 1) * 3000));
  }
});

test("a row as long as a cluster beyond the portable size takes is right", (t) => {
  const [student, teacher] = [rows(1, 240000, 1), rows(1, 240000, 2)];
  const options = { gradients: ["student", "teacher"] } as const;
  const expected = softmaxDivergence(student, teacher, { ...options, backend: "reference" });
  const actual = softmaxDivergence(student, teacher, { ...options, backend: "cuda" });
  t.true(Math.abs(actual.value / expected.value - 1) < 2e-6);
  for (const side of options.gradients) {
    const largest = Math.max(...expected.gradients[side].map(Math.abs));
    t.true(
      actual.gradients[side].every((x, i) => Math.abs(x - expected.gradients[side][i]!) < 2e-6 * largest),
    );
  }
});

test("calls beside JavaScript and calls of JavaScript's share the device", async (t) => {
  const [student, teacher] = [rows(200, 1500), rows(200, 1500)];
  const options = { gradients: ["student", "teacher"], backend: "cuda" } as const;
  const expected = softmaxDivergence(student, teacher, options);
  const running = Array.from({ length: 4 }, () => softmaxDivergenceAsync(student, teacher, options));
  t.deepEqual(softmaxDivergence(student, teacher, options), expected);
  for (const result of await Promise.all(running)) t.deepEqual(result, expected);
});

if (backendInfo().cuda?.device.emulated === false) {
  test("more than 2^31 elements are as good as few", (t) => {
    t.timeout(120_000);
    const [count, columns] = [70_000, 32_000];
    const block = [rows(100, columns, 1), rows(100, columns, 2)] as const;
    const onDevice = (data: Float32Array): { data: DeviceArray<"float32">; shape: number[] } => {
      const array = DeviceArray.alloc(count * columns, "float32");
      for (let begin = 0; begin < array.length; begin += data.length) {
        array.subarray(begin, begin + data.length).write(data);
      }
      return { data: array, shape: [count, columns] };
    };
    const [student, teacher] = [onDevice(block[0].data), onDevice(block[1].data)];
    const options = { gradients: ["student"], reduction: "none", backend: "cuda" } as const;
    const all = softmaxDivergence(student, teacher, options);
    const expected = softmaxDivergence(...block, options);
    t.true(all.values.every((value, row) => value === expected.values[row % 100]));
    const gradient = all.gradients.student;
    for (const begin of [0, gradient.length - block[0].data.length]) {
      t.deepEqual(gradient.subarray(begin, begin + block[0].data.length).read(), expected.gradients.student);
    }
    for (const array of [student.data, teacher.data, gradient]) array.dispose();
  });
}

if (backendInfo().cuda?.device.emulated === true) {
  const library = { KULLBACK_CUDA_LIBRARY: process.env.KULLBACK_CUDA_LIBRARY ?? "" };
  const program = (body: string) =>
    `import { backendInfo, memoryInfo, softmaxDivergence, softmaxDivergenceAsync } from "kullback";
     const pair = { data: new Float32Array(4096 * 2048), shape: [4096, 2048] };
     const small = { data: Float32Array.of(1, 2, 3), shape: [1, 3] };
     const tell = ({ name, code, message }) => console.log(JSON.stringify({ name, code, message }));
     ${body}`;

  test("too little device memory is an error that says how much was asked for, and the next call works", async (t) => {
    const { stdout, stderr } = await runModule(
      program(`try { softmaxDivergence(pair, pair, { backend: "cuda" }); } catch (error) { tell(error); }
               console.log(softmaxDivergence(small, small, { backend: "cuda" }).backend);`),
      { env: { ...library, KULLBACK_EMULATOR: "memory=20" } },
    );
    const [error, backend] = stdout.trim().split("\n");
    const { code, message } = JSON.parse(error!) as Record<string, string>;
    t.is(code, "ERR_KULLBACK_OUT_OF_MEMORY", stderr);
    t.regex(message!, /^asked for \d+ bytes of device memory; \d+ of 20971520 are free$/);
    t.is(backend, "cuda");
  });

  test("memory that was disposed of is there for what comes next", async (t) => {
    const { stdout, stderr } = await runModule(
      `import { DeviceArray } from "kullback";
       for (let i = 0; i < 100; i++) DeviceArray.alloc(3 << 20, "float32").dispose();
       console.log("all");`,
      { env: { ...library, KULLBACK_EMULATOR: "memory=20" } },
    );
    t.is(stdout, "all\n", stderr);
  });

  test("a lost device is an error with CUDA's name and number, and the next backend takes over", async (t) => {
    const { stdout, stderr } = await runModule(
      program(`try { softmaxDivergence(small, small, { backend: "cuda" }); } catch (error) { tell(error); }
               await softmaxDivergenceAsync(small, small, { backend: "cuda" }).catch(tell);
               console.log(softmaxDivergence(small, small).backend, backendInfo().selected);
               try { memoryInfo(); } catch (error) { tell(error); }`),
      { env: { ...library, KULLBACK_EMULATOR: "lose=2", KULLBACK_BACKEND: "" } },
    );
    const [first, second, after, last] = stdout.trim().split("\n");
    t.like(JSON.parse(first!), { name: "CudaError", code: "ERR_KULLBACK_CUDA" }, stderr);
    t.regex(first!, /cudaErrorLaunchFailure \(719\)/);
    t.like(JSON.parse(second!), { name: "BackendUnavailableError" });
    t.regex(second!, /device 0 is lost to this process since an earlier error/);
    t.is(after, "cpu cpu");
    t.like(JSON.parse(last!), { name: "BackendUnavailableError" });
  });

  test("a device that is lost is named, whichever it is", async (t) => {
    const { stdout, stderr } = await runModule(
      // A device's first use is a launch of its own: the fourth is that of the call for device 1.
      program(`softmaxDivergence(small, small, { backend: "cuda" });
               try { softmaxDivergence(small, small, { backend: "cuda", device: 1 }); } catch (error) { tell(error); }
               try { softmaxDivergence(small, small, { backend: "cuda" }); } catch (error) { tell(error); }`),
      { env: { ...library, KULLBACK_EMULATOR: "devices=2,lose=4" } },
    );
    const [first, second] = stdout.trim().split("\n");
    t.regex(first!, /cudaErrorLaunchFailure \(719\)/, stderr);
    t.like(JSON.parse(second!), { name: "BackendUnavailableError" });
    t.regex(second!, /device 1 is lost to this process since an earlier error/);
  });

  test("memory that is wanting at the first use is looked for again at the next", async (t) => {
    const { stdout, stderr } = await runModule(
      program(`try { softmaxDivergence(small, small, { backend: "cuda" }); } catch (error) { tell(error); }
               console.log(softmaxDivergence(small, small, { backend: "cuda" }).backend);`),
      { env: { ...library, KULLBACK_EMULATOR: "deny=1" } },
    );
    const [error, backend] = stdout.trim().split("\n");
    t.like(JSON.parse(error!), { name: "BackendUnavailableError" }, stderr);
    t.regex(error!, /asked for \d+ bytes of device memory/);
    t.is(backend, "cuda", stderr);
  });

  test("calls that name no backend do without CUDA for a second where its memory is wanting", async (t) => {
    const { stdout, stderr } = await runModule(
      program(`const backend = () => softmaxDivergence(small, small).backend;
               const seen = [backend(), backend()];
               await new Promise((resolve) => setTimeout(resolve, 1100));
               console.log(seen, backend());`),
      { env: { ...library, KULLBACK_EMULATOR: "deny=1", KULLBACK_BACKEND: "" } },
    );
    t.is(stdout, "[ 'cpu', 'cpu' ] cuda\n", stderr);
  });

  test("each of several devices is tested before its first use, and arrays stay with theirs", async (t) => {
    const { stdout, stderr } = await runModule(
      program(`import { DeviceArray } from "kullback";
               const other = { data: Float32Array.of(0, 2, 1), shape: [1, 3] };
               const at = (device, { data, shape }) => ({ data: DeviceArray.from(data, { device }), shape });
               const call = (...args) => { try { return softmaxDivergence(...args).value; } catch (error) { return error.message; } };
               console.log(JSON.stringify([
                 backendInfo().cuda.devices,
                 call(small, other, { device: 1 }) > 0,
                 call(at(1, small), at(1, other)) === call(small, other),
                 call(at(0, small), at(1, small)),
                 call(at(1, small), at(1, small), { device: 0 }),
                 call(small, small, { device: 2 }),
               ]));`),
      { env: { ...library, KULLBACK_EMULATOR: "devices=2" } },
    );
    t.deepEqual(
      JSON.parse(stdout || "null"),
      [
        2,
        true,
        true,
        "teacher.data is on device 1, student.data on device 0; they must be in one place",
        "options.device is 0, but the arrays are on device 1",
        "options.device is 2; it must be an integer from 0 to 1",
      ],
      stderr,
    );
  });
}
