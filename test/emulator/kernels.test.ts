// What is demanded of every kernel, seen from outside: that the tests have run each that ships and each of its lines, that
// the compiler spills nothing, and that its results depend on nothing but the device. `npm run test:emulator` runs this last.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { all, root, run } from "../child.js";

interface Kernel {
  name: string;
  architecture: string;
  stack: number;
  spills: number;
  registers: number;
}

/** The kernels of `npm run build:cuda`, one entry an architecture, as ptxas reported them. */
function shippedKernels(): Kernel[] {
  const log = readFileSync(join(root, "build-cuda/build.log"), "utf8");
  const report =
    /Compiling entry function '(\w+)' for '(\w+)'[\s\S]*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads[\s\S]*?Used (\d+) registers/g;
  return [...log.matchAll(report)].map(([, name, architecture, stack, stores, loads, registers]) => ({
    name: name!,
    architecture: architecture!,
    stack: Number(stack),
    spills: Number(stores) + Number(loads),
    registers: Number(registers),
  }));
}

/** The mangled names of the kernels that the tests before this one have launched. */
function emulatedKernels(): Set<string> {
  const folder = join(root, "build-emulator/coverage");
  return new Set(
    readdirSync(folder).flatMap((file) => readFileSync(join(folder, file), "utf8").trim().split("\n")),
  );
}

/** gcov's words. */
interface CoveredFile {
  file: string;
  lines: { line_number: number; count: number }[];
}

/** Where kernels are written; what else a translation unit includes is the host's. */
const kernelFiles = /^native\/(cuda\/(\w+\.cuh|team\.h|formulas\.h)|math\/\w+\.inl\.h)$/;

const settings = [
  ["plain", ""],
  ["plain", "order=reverse"],
  ["plain", "order=random,seed=3,streams=eager"],
  ["plain", "copies=early"],
  ["address", ""],
  ["address", "order=reverse,copies=early,streams=eager"],
  ["access", ""],
  ["access", "order=reverse,copies=early"],
] as const;

// Ampere has no clusters, so long rows stream; Hopper has, so they are resident.
for (const capability of [75, 90]) {
  for (const driver of ["limits_cuda_driver", "f_divergence_cuda_driver", "softmax_divergence_cuda_driver", "softmax_divergence_top_k_cuda_driver", "token_log_probs_cuda_driver", "linear_softmax_divergence_cuda_driver"]) {
    // First, since what follows looks at what it leaves behind.
    test.serial(`sm_${capability}, ${driver}: right, to the same bits in any order and under each check`, async (t) => {
      t.timeout(100_000);
      const outputs = new Set<string>();
      await all(
        settings.filter((_, index) => capability === 90 || index % 2 === 1),
        async ([variant, setting]) => {
          const { code, stdout, stderr } = await run(join(root, "build-emulator", variant, driver), [], {
            env: {
              KULLBACK_EMULATOR: `sm=${capability},${setting}`,
              KULLBACK_EMULATOR_COVERAGE: join(root, "build-emulator/coverage"),
              ASAN_OPTIONS: "detect_leaks=0",
            },
          });
          t.is(code, 0, `${variant}, ${setting}: ${stdout}${stderr}`);
          outputs.add(stdout);
        },
      );
      t.is(outputs.size, 1, [...outputs].join(""));
    });
  }
}

interface Cost {
  read: number;
  written: number;
  exponentials: number;
}

/** What a driver's launches have cost, in bytes. */
async function costsOf(driver: string, args: string[], device: string): Promise<Cost[]> {
  const { stdout } = await run(join(root, "build-emulator/access", driver), args, {
    env: { KULLBACK_EMULATOR: device, KULLBACK_EMULATOR_TRAFFIC: "1" },
  });
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Cost);
}

/** What its one launch has cost. */
async function costOf(driver: string, args: string[], device: string): Promise<Cost> {
  const [cost, ...others] = await costsOf(driver, args, device);
  if (others.length > 0) throw new Error(`${driver} has launched more than one kernel`);
  return cost!;
}

// The opening comment of native/cuda/softmax_divergence.cuh, in float32: reads and writes of a column's elements, and
// exponentials; beside a few numbers a row, and the last vector's padding.
const costs: [
  what: string,
  device: string,
  columns: number,
  gradients: [0 | 1, 0 | 1],
  cost: [number, number, number],
][] = [
  ["a warp a row, the value", "sm=90", 1000, [0, 0], [6, 0, 4]],
  ["a warp a row, with the student's gradient", "sm=90", 1000, [1, 0], [8, 1, 6]],
  ["resident, the value", "sm=90", 12000, [0, 0], [2, 0, 4]],
  ["resident, with the student's gradient", "sm=90", 12000, [1, 0], [2, 1, 4]],
  ["resident, with both gradients", "sm=90", 12000, [1, 1], [2, 2, 6]],
  ["resident in a cluster, with the student's gradient", "sm=90", 60000, [1, 0], [2, 1, 4]],
  ["resident in a cluster of 16, with the student's gradient", "sm=90", 240000, [1, 0], [2, 1, 4]],
  ["streaming for want of such a cluster", "sm=90,cluster=8", 240000, [1, 0], [8, 1, 6]],
  ["streaming, the value", "sm=75", 12000, [0, 0], [6, 0, 4]],
  ["streaming, with the student's gradient", "sm=75", 12000, [1, 0], [8, 1, 6]],
];
for (const [what, device, columns, gradients, [reads, writes, exponentials]] of costs) {
  test.serial(`${what}: a launch costs what the kernel's comment says`, async (t) => {
    const args = [String(columns), ...gradients.map(String)];
    const cost = await costOf("softmax_divergence_cuda_driver", args, device);
    t.log(JSON.stringify(cost));
    const near = (actual: number, perColumn: number, slack: number): boolean =>
      actual >= perColumn * columns && actual <= perColumn * columns + slack;
    t.true(near(cost.read, 4 * reads, 64), `read ${cost.read}`);
    t.true(near(cost.written, 4 * writes, 64), `written ${cost.written}`);
    t.true(near(cost.exponentials, exponentials, 32 * exponentials), `exponentials ${cost.exponentials}`);
  });
}

// The opening comment of native/cuda/softmax_divergence_top_k.cuh, likewise.
test.serial("a teacher of one column: launches cost what the kernels' comment says", async (t) => {
  const columns = 40000;
  const costs = await costsOf("softmax_divergence_top_k_cuda_driver", [String(columns)], "sm=90");
  t.log(JSON.stringify(costs));
  t.is(costs.length, 4);
  const [check, gather, coarse, scatter] = costs as [Cost, Cost, Cost, Cost];
  // Beside its columns, a few numbers of the row, which each of 256 threads looks at.
  const slack = 10_000;
  for (const { read, written, exponentials } of [check, coarse]) {
    t.true(read < slack && written < slack && exponentials < 100);
  }
  for (const [{ read, written, exponentials }, reads, writes] of [
    [gather, 2, 0],
    [scatter, 1, 1],
  ] as const) {
    t.true(Math.abs(read - reads * 4 * columns) < slack, `read ${read}`);
    t.true(Math.abs(written - writes * 4 * columns) < slack, `written ${written}`);
    t.true(Math.abs(exponentials - columns) < 10, `exponentials ${exponentials}`);
  }
});

// What benches hold operations against must do its work, and none beside it but a number a warp of 8192 threads.
test.serial("the limits cost what they are to measure", async (t) => {
  const limit = (what: string, count: number): Promise<Cost> =>
    costOf("limits_cuda_driver", [what, String(count)], "sm=90");
  t.like(await limit("memory", 100_003), { read: 800_000, written: 1024, exponentials: 0 });
  t.like(await limit("sum", 100_003), { read: 800_000, written: 400_000, exponentials: 0 });
  t.like(await limit("exponentials", 1_000_000), { read: 0, written: 1024, exponentials: 1_000_000 });
});

test.serial("every line of the kernels has been executed", async (t) => {
  const objects = readdirSync(join(root, "native/cuda"))
    .filter((file) => file.endsWith(".cu"))
    .map((file) => `build-emulator/plain/${file}.gcda`);
  const { stdout } = await run("gcov", ["--stdout", "--json-format", ...objects]);
  const files = stdout
    .trim()
    .split("\n")
    .flatMap((line) => (JSON.parse(line) as { files: CoveredFile[] }).files);
  // A line of a template has an entry for each instance.
  const missed = new Map<string, number>();
  for (const { file, lines } of files.filter(({ file }) => kernelFiles.test(file))) {
    for (const { line_number, count } of lines) {
      const line = `${file}:${line_number}`;
      missed.set(line, (missed.get(line) ?? 0) + count);
    }
  }
  t.true(missed.size > 200);
  // But for what says itself that it cannot be.
  const unreachable = (line: string): boolean => {
    const [file, number] = line.split(":") as [string, string];
    return readFileSync(join(root, file), "utf8").split("\n")[Number(number) - 1]!.includes("unreachable()");
  };
  t.deepEqual(
    [...missed].filter(([line, count]) => count === 0 && !unreachable(line)).map(([line]) => line),
    [],
  );
});

if (!existsSync(join(root, "build-cuda/build.log"))) {
  test.skip("shipped kernels are looked at where npm run build:cuda has built them", () => undefined);
} else {
  test.serial("every kernel that ships has been emulated", (t) => {
    const emulated = emulatedKernels();
    const shipped = new Set(shippedKernels().map(({ name }) => name));
    t.true(shipped.size > 0);
    t.deepEqual(
      [...shipped].filter((name) => !emulated.has(name)),
      [],
    );
  });

  test.serial("no kernel spills registers or has a stack", (t) => {
    for (const { name, architecture, stack, spills, registers } of shippedKernels()) {
      // ptxas 13.0 stores and loads 8 bytes in the resident kernels of two formulas for sm_120, though it has registers.
      const known = architecture === "sm_120" && /softmax_divergenceIfNS_4Only.*BlockTeamILj320EEELb1E/.test(name);
      t.true(spills <= (known ? 16 : 0), `${architecture} ${name}: ${spills} bytes spilled`);
      t.true(stack <= (known ? 8 : 0), `${architecture} ${name}: a stack of ${stack} bytes`);
      // Each is a template over its threads, or over the team that has them.
      const threads = Number(/Lj(\d+)E/.exec(name)?.[1]);
      t.true(threads * registers <= 65536, `${name}: ${registers} registers`);
    }
  });
}
