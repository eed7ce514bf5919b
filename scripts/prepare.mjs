// Makes a bare clone ready to run: installs the locked dependencies, builds the native addon and compiles the
// TypeScript, each only where something newer than its result asks for it.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { latest, modified, root } from "./files.mjs";

const addon = "build/Release/kullback.node";
// Not native/cuda, which the addon is not built from.
const addonSources = ["abi", "addon", "cpu", "math"].map((folder) => `native/${folder}`);

function step(what, command, args) {
  const started = Date.now();
  process.stderr.write(`kullback: ${what} ...\n`);
  const child = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, JOBS: process.env.JOBS ?? String(availableParallelism()) },
    maxBuffer: 1 << 28,
    shell: process.platform === "win32",
  });
  if (child.status !== 0) {
    process.stderr.write(
      `${child.stdout ?? ""}${child.stderr ?? ""}${child.error ? `${child.error.message}\n` : ""}`,
    );
    process.stderr.write(`kullback: ${what} failed\n`);
    process.exit(1);
  }
  process.stderr.write(`kullback: ${what} took ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
}

const local = (file) => join(root, "node_modules", file);

if (modified("node_modules/.package-lock.json") < modified("package-lock.json")) {
  step("installing the locked dependencies", "npm", ["ci", "--no-audit", "--no-fund"]);
}

// prebuildify builds the addon itself.
if (!process.argv.includes("--no-addon")) {
  const nodeGyp = local("node-gyp/bin/node-gyp.js");
  // Not build/config.gypi, which `npm run compile-commands` writes too.
  const configured = Math.max(modified("build/Makefile"), modified("build/binding.sln"));
  if (configured < latest(["binding.gyp", "package.json", "package-lock.json"])) {
    step("building the native addon (once, a minute or two)", process.execPath, [nodeGyp, "rebuild"]);
  } else if (modified(addon) < latest(addonSources)) {
    step("building what changed of the native addon", process.execPath, [nodeGyp, "build"]);
  }
}

// The loader prefers prebuilds, so an old one would hide what was built since.
if (
  !process.argv.includes("--no-addon") &&
  modified("prebuilds") < latest(addonSources) &&
  existsSync(join(root, "prebuilds"))
) {
  process.stderr.write("kullback: removing prebuilds/, which are older than native/\n");
  rmSync(join(root, "prebuilds"), { recursive: true });
}

const sources = ["lib", "test", "bench", "examples", "tsconfig.json", "package-lock.json"];
// Written last, since the compiler may be stopped between two of its files.
const compiled = "dist/compiled";
if (modified(compiled) < latest(sources)) {
  // What was compiled from a file that is gone must not live on.
  rmSync(join(root, "dist"), { recursive: true, force: true });
  step("compiling the TypeScript", process.execPath, [
    local("typescript/bin/tsc"),
    "--project",
    "tsconfig.json",
  ]);
  writeFileSync(join(root, compiled), "");
}
