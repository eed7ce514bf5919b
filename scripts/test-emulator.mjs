// Tests the CUDA backend without a GPU: builds it for the emulator, tests the emulator itself, runs the operations' tests
// with backend "cuda" on it, and then looks at what the kernels were seen to do (test/emulated-kernels.test.ts).
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { platform } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const compiler = process.env.CXX ?? "g++";
const version = spawnSync(compiler, ["--version"], { encoding: "utf8" });
if (platform() !== "linux" || !version.stdout?.includes("Free Software Foundation")) {
  console.error(`kullback: the emulator needs g++ on Linux; here: ${platform()}, ${compiler}`);
  process.exit(1);
}

const started = Date.now();
function step(what, command, args, env = {}) {
  console.log(`\n${what} (${((Date.now() - started) / 1000).toFixed(0)} s)`);
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (status !== 0) process.exit(1);
}
const ava = join(root, "node_modules/ava/entrypoints/cli.mjs");

step("kullback: building the emulator", process.execPath, ["scripts/build-emulator.mjs"]);
step("kullback: testing the emulator", process.execPath, [
  ava,
  "dist/test/emulator.test.js",
  "--",
  "emulate",
]);

const coverage = join(root, "build-emulator/coverage");
rmSync(coverage, { recursive: true, force: true });
mkdirSync(coverage, { recursive: true });
step(
  "kullback: testing the operations on the emulator",
  process.execPath,
  [
    ava,
    "dist/test/softmax-*.test.js",
    "dist/test/lifecycle/*.test.js",
    "dist/test/cuda.test.js",
    "dist/test/device-array.test.js",
  ],
  {
    KULLBACK_CUDA_LIBRARY: join(root, "build-emulator/plain/kullback_cuda.so"),
    KULLBACK_BACKEND: "cuda",
    KULLBACK_TEST_BACKEND: "cuda",
    KULLBACK_EMULATOR_COVERAGE: coverage,
  },
);
step("kullback: what the kernels were seen to do", process.execPath, [
  ava,
  "dist/test/emulated-kernels.test.js",
  "--",
  "emulate",
]);
