// Builds the CUDA backend and programs of CUDA kernels for the host emulator in three variants: plain, address (AddressSanitizer and
// UndefinedBehaviorSanitizer) and access (the emulator's own access checker). Only what is older than its sources is
// compiled, on all cores. Names on the command line choose among the variants.
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { modified, root } from "./files.mjs";

const compiler = process.env.CXX ?? "g++";
const folders = ["test/emulator", "test/emulator/include", "native/cuda"];
// The last runs the CUDA backend, the others kernels of their own.
const programs = [
  { source: "test/emulator/bugs.cu", backend: false },
  { source: "test/emulator/semantics.cu", backend: false },
  { source: "test/native/limits_cuda_driver.cc", backend: true },
  { source: "test/native/f_divergence_cuda_driver.cc", backend: true },
  { source: "test/native/softmax_divergence_cuda_driver.cc", backend: true },
  { source: "test/native/softmax_divergence_top_k_cuda_driver.cc", backend: true },
  { source: "test/native/token_log_probs_cuda_driver.cc", backend: true },
  { source: "test/native/linear_softmax_divergence_cuda_driver.cc", backend: true },
  { source: "test/native/softmax_divergence_cuda_bench.cc", backend: true },
];
const common = [
  "-std=c++20",
  "-g1",
  "-fPIC",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-Wno-unknown-pragmas",
  ...folders.map((folder) => `-I${folder}`),
];
const sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"];
// Of use only where kernels report their accesses: in the last variant.
const accessChecker = ["access.cc", "access_hooks.cc"];
const variants = {
  // Its kernels count which of their lines run.
  plain: { kernel: ["-O1", "--coverage"], emulator: ["-O1"], link: ["--coverage"], leave: accessChecker },
  address: {
    kernel: ["-O1", "-fno-omit-frame-pointer", ...sanitizers],
    emulator: ["-O1", "-fno-omit-frame-pointer", "-fsanitize=address"],
    link: sanitizers,
    leave: accessChecker,
  },
  // The kernels report their accesses to the emulator's own functions: the sanitizer's library is not linked.
  access: {
    kernel: [
      "-O1",
      "-fno-tree-vectorize",
      "-fno-tree-slp-vectorize",
      "-fno-optimize-sibling-calls",
      "-fsanitize=thread",
      "--param",
      "tsan-instrument-func-entry-exit=0",
    ],
    emulator: ["-O1"],
    link: [],
    leave: [],
  },
};

function run(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(compiler, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new Error(`${compiler} ${args.join(" ")} failed`)),
    );
  });
}

/** Runs the tasks, as many at a time as there are cores. */
async function all(tasks) {
  const work = async () => {
    for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) await task();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
}

const names = process.argv.slice(2);
const chosen = names.length > 0 ? names : Object.keys(variants);
const wrong = chosen.find((name) => !(name in variants));
if (wrong !== undefined) throw new Error(`no variant ${wrong}: ${Object.keys(variants).join(", ")}`);

const files = folders.flatMap((folder) => readdirSync(join(root, folder)).map((file) => `${folder}/${file}`));
const headers = [...folders, "native/math", "native/abi", "test/native"].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((file) => /\.(h|cuh|inc)$/.test(file))
    .map((file) => `${folder}/${file}`),
);
const newestHeader = Math.max(...[...headers, "scripts/build-emulator.mjs"].map(modified));
const compiles = new Map();
const links = [];
for (const name of chosen) {
  const { kernel, emulator, link, leave } = variants[name];
  const folder = `build-emulator/${name}`;
  // The emulator is the same in the variants that do not sanitize it.
  const sanitized = name === "address";
  for (const made of [folder, "build-emulator/plain"]) mkdirSync(join(root, made), { recursive: true });
  const compile = (source, flags, into = folder) => {
    const object = `${into}/${basename(source)}.o`;
    const args = [...common, ...flags, "-x", "c++", "-c", source, "-o", object];
    if (modified(object) <= Math.max(modified(source), newestHeader)) {
      compiles.set(object, () => {
        // What the object before it has counted is not this one's.
        rmSync(join(root, object.replace(/\.o$/, ".gcda")), { force: true });
        return run(args);
      });
    }
    return object;
  };
  const library = files.filter((file) => file.startsWith("native/cuda/") && /\.(cc|cu)$/.test(file));
  const parts = library.map((source) => compile(source, source.endsWith(".cu") ? kernel : emulator));
  const roots = programs.map(({ source }) => compile(source, source.endsWith(".cu") ? kernel : emulator));
  const objects = files
    .filter((file) => file.startsWith("test/") && file.endsWith(".cc") && !leave.includes(basename(file)))
    .map((source) => compile(source, emulator, sanitized ? folder : "build-emulator/plain"));
  links.push(async () => {
    const inputs = [...parts, ...objects];
    const output = `${folder}/kullback_cuda.so`;
    if (modified(output) > Math.max(...inputs.map(modified))) return;
    await run([...link, "-shared", ...inputs, "-ldl", "-o", output]);
  });
  programs.forEach(({ source, backend }, index) => {
    const inputs = [roots[index], ...(backend ? parts : []), ...objects];
    const output = `${folder}/${basename(source).replace(/\.\w+$/, "")}`;
    links.push(async () => {
      if (modified(output) > Math.max(...inputs.map(modified))) return;
      await run([...link, "-rdynamic", ...inputs, "-ldl", "-o", output]);
    });
  });
}
await all([...compiles.values()]);
await all(links);
