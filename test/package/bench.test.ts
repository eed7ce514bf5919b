// What the benches say without measuring: the page of the documentation, targets, refusals.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { Torch } from "../../bench/peers/torch.js";
import { cudaSection, targetRows, type CudaResults } from "../../bench/report-cuda.js";
import { pageOfResults } from "../../bench/results.js";
import { cudaSize } from "../../bench/softmax-divergence-cuda.js";
import { resultsOfVisit } from "../../bench/visit.js";
import { root, run, type ChildResult } from "../child.js";

const bench = (args: string[], env = {}): Promise<ChildResult> =>
  run(process.execPath, ["dist/bench/main.js", ...args], { env });

test("docs/benchmarks.md is what the results that are kept say", (t) => {
  t.is(readFileSync(join(root, "docs/benchmarks.md"), "utf8"), pageOfResults());
});

const large = { valueAndGradient: 2.9, value: 2, twoReadsOneWrite: 2.7, twoReads: 1.8, exponentials: 1 };
const results: CudaResults = {
  date: "2026-01-02",
  commit: "0123456789ab",
  quick: false,
  program: "C++",
  device: {
    name: "NVIDIA H200",
    computeCapability: 90,
    driverVersion: 13000,
    runtimeVersion: 13000,
    emulated: false,
  },
  peers: ["torch 2.9.0"],
  notes: ["2048 x 262144, liger: OutOfMemoryError"],
  sizes: [
    cudaSize(8192, 128256, { ...large, eager: 29, compile: 5.8 }),
    cudaSize(512, 32000, { ...large, staged: 7 }),
  ],
};

test("times become percentages of the limits, ratios to peers, and targets met or missed", (t) => {
  const [size] = results.sizes;
  t.is(Math.round(size!.percentOfLimit.valueAndGradient), 93);
  t.is(Math.round(size!.percentOfLimit.value), 90);
  t.is(Math.round(size!.percentOfExponentials.value), 50);
  t.deepEqual(size!.ratios, { eager: 10, compile: 2 });
  t.deepEqual(
    targetRows(results).map(([, , measured, verdict]) => [measured, verdict]),
    [
      ["2.90 ms", "met"],
      ["2.00 ms", "missed"],
      ["93 %", "met"],
      ["2.0x", "missed"],
      ["10.0x", "met"],
    ],
  );
  const elsewhere = { ...results, device: { ...results.device, name: "NVIDIA H100" } };
  t.is(targetRows(elsewhere).length, 3);
});

test("the page names the GPU, its driver, the commit and the date, or says that nothing was measured", (t) => {
  const section = cudaSection(results).replace(/\s+/g, " ");
  for (const words of [
    "Of 2026-01-02, commit 0123456789ab, on NVIDIA H200, compute capability 9.0, driver for CUDA 13.0",
    "| 8192 x 128256 | 2.90 ms | 93 % | 2.00 ms | 90 % | 34 % | 4670 | 10.0x | 2.0x | not measured |",
    "512 x 32000 takes 7.00 ms",
    "2048 x 262144, liger: OutOfMemoryError",
  ]) {
    t.true(section.includes(words), `${words}: ${section}`);
  }
  t.regex(cudaSection(undefined), /Not measured yet/);
});

test("where CUDA cannot run the bench says why, with all that was tried", async (t) => {
  const { code, stderr } = await bench(["softmax-divergence", "--backend", "cuda"], {
    KULLBACK_CUDA_LIBRARY: "/nowhere/kullback_cuda.so",
  });
  t.is(code, 1);
  t.is(
    stderr,
    "BackendUnavailableError: the cuda backend cannot run here:\n  cuda: /nowhere/kullback_cuda.so does not exist\n",
  );
});

test("a folder that no visit has left is refused", (t) => {
  t.throws(() => resultsOfVisit(join(root, "docs")), { message: /holds no bench\.txt of a visit/ });
});

test("options that there are not show those that there are", async (t) => {
  for (const args of [[], ["no-operation"], ["softmax-divergence", "--backend", "reference"]]) {
    const { code, stderr } = await bench(args);
    t.is(code, 2);
    t.regex(stderr, /^Usage: npm run bench/);
  }
});

test("torch that is not there is none, and one that ends in the middle is an error and no waiting", async (t) => {
  t.is(await Torch.start("no-python-here", ["cpu", "1"]), undefined);
  const folder = mkdtempSync(join(tmpdir(), "kullback-torch-"));
  const python = join(folder, "python");
  writeFileSync(python, `#!/bin/sh\necho '{"version":"1","device":"none","missing":{}}'\n`, { mode: 0o755 });
  const torch = await Torch.start(python, ["cuda"]);
  t.is(torch?.introduction.version, "1");
  await t.throwsAsync(() => torch!.measure(2, 3, 1), { message: "torch ended at 2 x 3" });
  await t.throwsAsync(() => torch!.measure(4, 5, 1), { message: "torch ended at 4 x 5" });
  rmSync(folder, { recursive: true });
});
