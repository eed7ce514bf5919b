// Which backend runs, and what backendInfo, the environment variables and setThreadCount say and do about it.
import { availableParallelism } from "node:os";
import { join } from "node:path";
import test from "ava";
import {
  backendInfo,
  OptionError,
  setThreadCount,
  softmaxDivergence,
  type BackendInfo,
} from "../lib/index.js";
import { root, run, runModule } from "./child.js";

const pair = { data: new Float32Array([1, 2]), shape: [1, 2] };

test("the result says which backend computed it", (t) => {
  t.is(softmaxDivergence(pair, pair).backend, backendInfo().selected!);
  t.is(softmaxDivergence(pair, pair, { backend: "cpu" }).backend, "cpu");
  t.is(softmaxDivergence(pair, pair, { backend: "reference" }).backend, "reference");
});

// A process whose CUDA library is not there, as on most machines, whatever this one has.
const withoutCuda = { KULLBACK_CUDA_LIBRARY: "nowhere/kullback_cuda.so", KULLBACK_BACKEND: "" };

test("a named backend that cannot run throws, with what was tried", async (t) => {
  const program =
    "import { softmaxDivergence } from 'kullback'; const pair = { data: new Float32Array([1, 2]), shape: [1, 2] };" +
    "try { softmaxDivergence(pair, pair, { backend: 'cuda' }); } catch ({ name, code, message, attempts }) " +
    "{ console.log(JSON.stringify({ name, code, message, attempts })); }";
  const { stdout } = await runModule(program, { env: withoutCuda });
  const reason = "nowhere/kullback_cuda.so does not exist";
  t.deepEqual<unknown, unknown>(JSON.parse(stdout), {
    name: "BackendUnavailableError",
    code: "ERR_KULLBACK_BACKEND_UNAVAILABLE",
    message: `the cuda backend cannot run here:\n  cuda: ${reason}`,
    attempts: [{ backend: "cuda", reason }],
  });
});

test("a CUDA library that is none is refused in words, and the next backend runs", async (t) => {
  const info = await infoWith({ KULLBACK_CUDA_LIBRARY: join(root, "package.json"), KULLBACK_BACKEND: "" });
  t.is(info.selected, "cpu");
  t.regex(info.backends[0]!.attempts[0]!.reason, /^package\.json could not be loaded: /);
});

test("backendInfo lists the backends, the instruction sets and the versions", async (t) => {
  const info = await infoWith(withoutCuda);
  t.is(info.selected, "cpu");
  t.deepEqual(
    info.backends.map(({ name, available }) => [name, available]),
    [
      ["cuda", false],
      ["cpu", true],
      ["reference", true],
    ],
  );
  t.true(info.cpu?.instructionSets.includes(info.cpu.instructionSet));
  // Not threadCount(), which other files of this process set meanwhile.
  t.is(info.cpu?.threads, Number(process.env.KULLBACK_NUM_THREADS) || availableParallelism());
  t.is(info.versions.node, process.versions.node);
  t.true(info.reason.length > 0);
});

test("setThreadCount wants an integer from 1 to 1024", (t) => {
  for (const count of [0, -1, 1.5, NaN, Infinity, "2", 1025]) {
    t.throws(() => setThreadCount(count as number), { instanceOf: OptionError, message: /^count is / });
  }
});

// Each of these decides at the start of a process.
const report =
  "import { backendInfo, softmaxDivergence } from 'kullback'; const pair = " +
  "{ data: new Float32Array([1, 2]), shape: [1, 2] }; softmaxDivergence(pair, pair); console.log(JSON.stringify(backendInfo()));";

async function infoWith(env: Record<string, string>): Promise<BackendInfo> {
  const { stdout } = await runModule(report, { env });
  return JSON.parse(stdout) as BackendInfo;
}

test("KULLBACK_BACKEND chooses for the process", async (t) => {
  const info = await infoWith({ ...withoutCuda, KULLBACK_BACKEND: "reference" });
  t.is(info.selected, "reference");
  t.is(info.reason, "KULLBACK_BACKEND=reference");
  t.deepEqual(info.environment, {
    KULLBACK_BACKEND: "reference",
    KULLBACK_CUDA_LIBRARY: withoutCuda.KULLBACK_CUDA_LIBRARY,
  });
});

test("KULLBACK_BACKEND names the valid backends when it is none of them, and never falls back", async (t) => {
  const wrong = await runModule(report, { env: { KULLBACK_BACKEND: "gpu" } });
  t.is(wrong.code, 1);
  t.regex(wrong.stderr, /KULLBACK_BACKEND is "gpu"; it must be "auto", "cuda", "cpu" or "reference"/);
  const missing = await runModule(report, { env: { ...withoutCuda, KULLBACK_BACKEND: "cuda" } });
  t.is(missing.code, 1);
  t.regex(missing.stderr, /BackendUnavailableError/);
});

test("KULLBACK_NUM_THREADS sets the number of threads, or says what it must be", async (t) => {
  t.is((await infoWith({ KULLBACK_NUM_THREADS: "3" })).cpu?.threads, 3);
  const wrong = await runModule(report, { env: { KULLBACK_NUM_THREADS: "many" } });
  t.is(wrong.code, 1);
  t.regex(wrong.stderr, /KULLBACK_NUM_THREADS is "many"; it must be an integer from 1 to 1024/);
});

test("kullback info prints for people and for programs", async (t) => {
  const people = await run(process.execPath, ["dist/lib/cli/main.js", "info"], { env: withoutCuda });
  t.is(people.code, 0);
  t.regex(people.stdout, /^backend +cpu: /m);
  t.regex(people.stdout, /^ +cuda +not available: /m);
  const programs = await run(process.execPath, ["dist/lib/cli/main.js", "info", "--json"], {
    env: withoutCuda,
  });
  t.is((JSON.parse(programs.stdout) as BackendInfo).selected, "cpu");
});

test("kullback explains itself, and fails on what it does not know", async (t) => {
  const help = await run(process.execPath, ["dist/lib/cli/main.js", "--help"]);
  t.like(help, { code: 0, stderr: "" });
  t.regex(help.stdout, /^Usage: kullback/);
  for (const args of [[], ["inform"], ["info", "--jsn"]]) {
    const wrong = await run(process.execPath, ["dist/lib/cli/main.js", ...args]);
    t.is(wrong.code, 2);
    t.is(wrong.stdout, "");
    t.not(wrong.stderr, "");
  }
});
