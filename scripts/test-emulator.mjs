// Tests the CUDA backend without a GPU: builds it for the emulator, tests the emulator itself, runs the operations' tests
// with backend "cuda" on it, and then looks at what the kernels were seen to do (test/emulator/kernels.test.ts).
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { platform } from "node:os";
import { join } from "node:path";
import { root } from "./files.mjs";

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
const ava = (config, files, env) =>
  step(
    `kullback: ${config}, ${files.join(" ")}`.trim(),
    process.execPath,
    [join(root, "node_modules/ava/entrypoints/cli.mjs"), "--config", config, ...files],
    env,
  );

step("kullback: building the emulator", process.execPath, ["scripts/build-emulator.mjs"]);
ava("test/emulator/ava.config.mjs", [
  "dist/test/emulator/emulator.test.js",
  "dist/test/emulator/bench.test.js",
]);

const coverage = join(root, "build-emulator/coverage");
rmSync(coverage, { recursive: true, force: true });
mkdirSync(coverage, { recursive: true });
ava("test/cuda/ava.config.mjs", [], {
  KULLBACK_CUDA_LIBRARY: join(root, "build-emulator/plain/kullback_cuda.so"),
  KULLBACK_EMULATOR_COVERAGE: coverage,
});
// Last, since it looks at what the run before it has left behind.
ava("test/emulator/ava.config.mjs", ["dist/test/emulator/kernels.test.js"]);
