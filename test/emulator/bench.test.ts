// The benches of CUDA and the visit to a GPU machine, rehearsed: what is measured here is the emulator, and they say so.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import type { CudaResults } from "../../bench/report-cuda.js";
import { root, run, type ChildResult } from "../child.js";

const binaries = "build-emulator/plain";
const kept = ["bench/results/softmax-divergence.json", "docs/benchmarks.md"];

function bench(...options: string[]): Promise<ChildResult> {
  const args = ["--expose-gc", "dist/bench/main.js", "softmax-divergence", "--backend", "cuda", ...options];
  return run(process.execPath, args, { env: { KULLBACK_CUDA_LIBRARY: join(root, binaries, "kullback_cuda.so") } });
}

function isMeasured(t: ExecutionContext, { device, sizes, commit, date }: CudaResults): void {
  t.like(device, { name: "emulator", computeCapability: 90, driverVersion: 13000, emulated: true });
  t.regex(commit, /^([0-9a-f]{40}(-dirty)?|unknown)$/);
  t.regex(date, /^\d{4}-\d\d-\d\d$/);
  t.deepEqual(
    sizes.map(({ rows, columns }) => [rows, columns]),
    [
      [4, 1000],
      [2, 5000],
      [1, 40000],
      [1, 10],
    ],
  );
  for (const { milliseconds, percentOfLimit, percentOfExponentials } of sizes) {
    const { valueAndGradient, value, twoReads, twoReadsOneWrite, exponentials } = milliseconds;
    for (const time of [valueAndGradient, value, twoReads, twoReadsOneWrite, exponentials]) t.true(time! > 0);
    t.is(percentOfLimit.valueAndGradient, (100 * twoReadsOneWrite!) / valueAndGradient!);
    t.is(percentOfLimit.value, (100 * twoReads!) / value!);
    t.is(percentOfExponentials.value, (100 * exponentials!) / value!);
  }
}

test("the bench's JSON holds the device, the commit, the date, all times and the limits", async (t) => {
  const { stdout } = await bench("--quick", "--json", "--no-peers");
  const results = JSON.parse(stdout) as CudaResults;
  isMeasured(t, results);
  t.deepEqual(results.peers, ["torch: not measured"]);
  t.true(results.sizes[1]!.milliseconds.staged! > 0);
});

test("the bench says that it measured the emulator, and saves nothing of that", async (t) => {
  const read = (): string[] => kept.map((file) => readFileSync(join(root, file), "utf8"));
  const before = read();
  const { code, stdout, stderr } = await bench("--quick", "--save");
  t.regex(stdout, /^│ 1 x 40000 /m);
  t.regex(stdout, /times of the emulator of Kullback's tests/);
  t.is(code, 1);
  t.regex(stderr, /not saved/);
  t.deepEqual(read(), before);
});

// In the place of a Python that has torch and a GPU.
const python = `#!/usr/bin/env bash
if [ "$1" = -c ]; then exit 0; fi
echo '{"version":"2.9.0","device":"a GPU","missing":{"liger":"no module"}}'
while read -r rows columns times; do
  echo "{\\"rows\\":$rows,\\"columns\\":$columns,\\"milliseconds\\":{\\"eager\\":1000,\\"compile\\":500},\\"failed\\":{}}"
done
`;

for (const [machine, node] of [
  ["with Node", process.execPath],
  ["without Node", "no-node-here"],
] as const) {
  test(`the visit to a GPU machine ${machine}: every phase passes, and the bench reads what it leaves`, async (t) => {
    const out = mkdtempSync(join(tmpdir(), "kullback visit-"));
    writeFileSync(join(out, "python3"), python, { mode: 0o755 });
    const env = {
      GPU_VISIT_BINARIES: binaries,
      GPU_VISIT_QUICK: "1",
      GPU_VISIT_NODE: node,
      PATH: `${out}:${process.env.PATH}`,
    };
    const { code, stdout, stderr } = await run("scripts/gpu-visit.sh", [out], { env });
    t.is(code, 0, stdout + stderr);
    const summary = readFileSync(join(out, "summary.txt"), "utf8");
    for (const phase of ["limits", "same-bits", "bench", "peers"]) {
      t.regex(summary, new RegExp(`^${phase} +passed`, "m"));
    }
    t.is(/^node-bench +not found/m.test(summary), machine === "without Node");

    const results = JSON.parse((await bench("--from", out, "--json")).stdout) as CudaResults;
    isMeasured(t, results);
    t.true(results.quick);
    t.is(results.program, machine === "with Node" ? `Node ${process.versions.node}` : "C++");
    t.deepEqual(results.peers, ["torch 2.9.0 on a GPU", "liger: not measured, no module"]);
    for (const { ratios, milliseconds } of results.sizes) {
      t.deepEqual(ratios, {
        eager: 1000 / milliseconds.valueAndGradient!,
        compile: 500 / milliseconds.valueAndGradient!,
      });
    }
    rmSync(out, { recursive: true });
  });
}

test("a folder that no visit has left is one line, and an end with 1", async (t) => {
  const { code, stderr } = await bench("--from", "no-such-folder");
  t.is(code, 1);
  t.is(stderr, "no-such-folder holds no bench.txt of a visit to a GPU\n");
});

test("a visit to a machine without torch says so, and passes", async (t) => {
  const out = mkdtempSync(join(tmpdir(), "kullback-visit-"));
  writeFileSync(join(out, "python3"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  const env = { GPU_VISIT_BINARIES: binaries, GPU_VISIT_QUICK: "1", GPU_VISIT_NODE: "no-node-here" };
  const { code } = await run("scripts/gpu-visit.sh", [out], { env: { ...env, PATH: `${out}:${process.env.PATH}` } });
  t.is(code, 0);
  t.regex(readFileSync(join(out, "summary.txt"), "utf8"), /^peers +not found/m);
  rmSync(out, { recursive: true });
});
