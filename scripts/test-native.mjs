// Builds the CPU backend and its driver without Node, once a way of building it, and runs each: under sanitizers,
// without optimisation, and for arm64 under emulation where a cross compiler and qemu are installed. Names on the
// command line choose among them; compiling under sanitizers takes minutes.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";

const sources = [
  "test/native/softmax_divergence_driver.cc",
  ...readdirSync("native/cpu")
    .filter((file) => file.endsWith(".cc"))
    .map((file) => `native/cpu/${file}`),
];
const compiler = process.env.CXX ?? "g++";
const installed = (program) => spawnSync(program, ["--version"]).status === 0;

const builds = [
  { name: "unoptimised", compiler, flags: ["-O0"] },
  {
    name: "address",
    compiler,
    flags: ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
  },
  { name: "thread", compiler, flags: ["-O1", "-fsanitize=thread"] },
  {
    name: "arm64",
    compiler: "aarch64-linux-gnu-g++",
    flags: ["-O2", "-static"],
    emulator: "qemu-aarch64",
  },
];

mkdirSync("build-native-tests", { recursive: true });
const chosen = process.argv.slice(2);
for (const { name, compiler: program, flags, emulator } of builds) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  if (!installed(program) || (emulator !== undefined && !installed(emulator))) {
    console.log(`${name}: not run, ${[program, emulator].filter(Boolean).join(" or ")} is not installed`);
    continue;
  }
  const binary = `build-native-tests/${name}`;
  const common = ["-std=c++20", "-ffp-contract=off", "-g", "-pthread", "-Wall", "-Wextra", "-Werror"];
  // GCC 12 warns about AVX-512 intrinsics of its own header (its bug 105593).
  const build = [
    ...common,
    "-Wno-maybe-uninitialized",
    "-Wno-uninitialized",
    ...flags,
    ...sources,
    "-o",
    binary,
  ];
  run(name, program, build);
  run(name, ...(emulator === undefined ? [`./${binary}`, []] : [emulator, [binary]]));
}

function run(name, command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  process.stdout.write(stdout.replace(/^(?=.)/gm, `${name}: `));
  if (status === 0) return;
  process.stderr.write(stderr);
  console.error(`${name}: ${command} failed`);
  process.exit(1);
}
