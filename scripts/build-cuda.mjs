// Builds the CUDA backend, build-cuda/Release/kullback_cuda, with cmake-js where something is newer than it.
//   --if-possible  where nvcc or CMake is missing, or KULLBACK_SKIP_CUDA is set, it says so in one line and that is no failure
//   --stage        copies it to prebuilds/, where the package takes it from
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { latest, modified, root } from "./files.mjs";

const library = `build-cuda/Release/kullback_cuda.${process.platform === "win32" ? "dll" : "so"}`;
const sources = ["native/cuda", "native/math", "native/abi", "test/native"];
// CMake reads it where it configures, which it does once: a build for one GPU would stay one for ever after.
const architectures = process.env.KULLBACK_CUDA_ARCHITECTURES ?? "";
const configured = join(root, "build-cuda/architectures.txt");
// The first toolkit that knows all architectures from Turing to Blackwell.
const oldest = 12.8;
const changed = !existsSync(configured) || readFileSync(configured, "utf8") !== architectures;

if (changed || modified(library) <= latest(sources)) build();
if (process.argv.includes("--stage") && existsSync(join(root, library))) {
  const folder = join(root, "prebuilds", `${process.platform}-${process.arch}`);
  mkdirSync(folder, { recursive: true });
  cpSync(join(root, library), join(folder, basename(library)));
}

function whyNot() {
  if (process.env.KULLBACK_SKIP_CUDA) return "KULLBACK_SKIP_CUDA is set";
  const missing = ["nvcc", "cmake"].filter((program) => spawnSync(program, ["--version"]).status !== 0);
  if (missing.length > 0) return `${missing.join(" and ")} not found`;
  const { stdout } = spawnSync("nvcc", ["--version"], { encoding: "utf8" });
  const release = Number(/release ([0-9]+\.[0-9]+)/.exec(stdout)?.[1]);
  if (release < oldest && architectures === "")
    return `nvcc is of CUDA ${release}; it must be ${oldest} or newer`;
  return undefined;
}

function build() {
  const reason = whyNot();
  if (reason !== undefined) {
    console.error(`kullback: the CUDA backend is not built: ${reason}`);
    if (process.argv.includes("--if-possible")) return;
    process.exit(1);
  }

  console.error("kullback: building the CUDA backend (some five minutes) ...");
  const started = Date.now();
  // Whole each time: what ptxas says, it says of what is compiled.
  rmSync(join(root, "build-cuda"), { recursive: true, force: true });
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      join(root, "node_modules/cmake-js/bin/cmake-js"),
      "compile",
      "--directory=native/cuda",
      "--out=build-cuda",
      "--config=Release",
    ],
    { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 },
  );
  // What ptxas says of each kernel, for whoever looks for spills.
  mkdirSync(join(root, "build-cuda"), { recursive: true });
  writeFileSync(join(root, "build-cuda/build.log"), stdout + stderr);
  if (status !== 0) {
    process.stderr.write(stdout + stderr);
    console.error("kullback: building the CUDA backend failed");
    process.exit(1);
  }
  writeFileSync(configured, architectures);
  // For results of a machine that has the binaries and not the repository.
  const commit = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"];
  const { stdout: built } = spawnSync("git", commit, { cwd: root, encoding: "utf8" });
  writeFileSync(join(root, "build-cuda/Release/commit.txt"), built || "unknown\n");
  console.error(`kullback: building the CUDA backend took ${((Date.now() - started) / 1000).toFixed(1)} s`);
}
