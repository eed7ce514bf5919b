// Which backend runs, and what backendInfo, the environment variables and setThreadCount say and do about it.
import test from "ava";
import {
  backendInfo,
  BackendUnavailableError,
  OptionError,
  setThreadCount,
  softmaxDivergence,
  threadCount,
  type BackendInfo,
} from "../lib/index.js";
import { run, runModule } from "./child.js";

const pair = { data: new Float32Array([1, 2]), shape: [1, 2] };

test("the result says which backend computed it", (t) => {
  t.is(softmaxDivergence(pair, pair).backend, "cpu");
  t.is(softmaxDivergence(pair, pair, { backend: "cpu" }).backend, "cpu");
  t.is(softmaxDivergence(pair, pair, { backend: "reference" }).backend, "reference");
});

test("a named backend that cannot run throws, with what was tried", (t) => {
  const error = t.throws(() => softmaxDivergence(pair, pair, { backend: "cuda" }), {
    instanceOf: BackendUnavailableError,
    code: "ERR_KULLBACK_BACKEND_UNAVAILABLE",
  });
  t.deepEqual(error.attempts, [{ backend: "cuda", reason: "this version of Kullback has no CUDA backend" }]);
  t.true(error.message.includes("cuda: this version of Kullback has no CUDA backend"));
});

test("backendInfo lists the backends, the instruction sets and the versions", (t) => {
  const info = backendInfo();
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
  t.is(info.cpu?.threads, threadCount());
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
  const info = await infoWith({ KULLBACK_BACKEND: "reference" });
  t.is(info.selected, "reference");
  t.is(info.reason, "KULLBACK_BACKEND=reference");
  t.deepEqual(info.environment, { KULLBACK_BACKEND: "reference" });
});

test("KULLBACK_BACKEND names the valid backends when it is none of them, and never falls back", async (t) => {
  const wrong = await runModule(report, { env: { KULLBACK_BACKEND: "gpu" } });
  t.is(wrong.code, 1);
  t.regex(wrong.stderr, /KULLBACK_BACKEND is "gpu"; it must be "auto", "cuda", "cpu" or "reference"/);
  const missing = await runModule(report, { env: { KULLBACK_BACKEND: "cuda" } });
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
  const people = await run(process.execPath, ["dist/lib/cli/main.js", "info"]);
  t.is(people.code, 0);
  t.regex(people.stdout, /^backend +cpu: /m);
  t.regex(people.stdout, /^ +cuda +not available: /m);
  const programs = await run(process.execPath, ["dist/lib/cli/main.js", "info", "--json"]);
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
