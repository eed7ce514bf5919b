// What a user installs: packed, installed without scripts into an empty project, imported and required. The prebuilt
// addon is what `npm run prebuild` left, as in CI, or else the local build in its place.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { prebuiltAddon, prebuiltFolder } from "../../lib/backend/load.js";
import { root, run, type ChildResult } from "../child.js";

const npm = (cwd: string, ...args: string[]): Promise<ChildResult> => run("npm", args, { cwd });

/** The README's first program. */
const example = /^```js\n([\s\S]*?)^```/m.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1] ?? "";

// Packed from a copy, so that nothing is left in the repository.
const work = mkdtempSync(join(tmpdir(), "kullback-pack-"));
const copy = join(work, "copy");
const project = join(work, "project");

function copyPrebuilds(): void {
  if (existsSync(join(root, "prebuilds"))) {
    cpSync(join(root, "prebuilds"), join(copy, "prebuilds"), { recursive: true });
    return;
  }
  cpSync(join(root, "build/Release/kullback.node"), join(copy, prebuiltAddon()));
  const cuda = "kullback_cuda.so";
  const built = join(root, "build-cuda/Release", cuda);
  if (existsSync(built)) cpSync(built, join(copy, prebuiltFolder, cuda));
}

test.before(async (t) => {
  t.timeout(100_000);
  for (const part of [
    "package.json",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "binding.gyp",
    "native",
    "lib",
    "dist",
  ]) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  copyPrebuilds();
  const packed = await npm(copy, "pack", "--pack-destination", work);
  t.is(packed.code, 0, packed.stderr);
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "empty", private: true }));
  const tarball = readdirSync(work).find((file) => file.endsWith(".tgz"))!;
  const installed = await npm(
    project,
    "install",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    join(work, tarball),
  );
  t.is(installed.code, 0, installed.stderr);
});

test.after.always(() => rmSync(work, { recursive: true, force: true }));

const installedRoot = join(project, "node_modules/kullback");

test("the tarball holds the library and its prebuilt addon, and nothing that npm would build or run", (t) => {
  const files = readdirSync(installedRoot, { recursive: true, encoding: "utf8" });
  const tops = new Set(files.map((file) => file.split("/")[0]));
  t.deepEqual([...tops].sort(), [
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "dist",
    "native",
    "package.json",
    "prebuilds",
  ]);
  t.true(files.some((file) => /^prebuilds\/[\w-]+\/kullback(\.glibc|\.musl)?\.node$/.test(file)));
  t.deepEqual(
    files.filter((file) => /binding\.gyp|\.cc$|dist\/(test|bench|examples)/.test(file)),
    [],
  );
  const manifest = JSON.parse(readFileSync(join(installedRoot, "package.json"), "utf8")) as {
    dependencies?: object;
    scripts?: Record<string, string>;
    gypfile?: boolean;
  };
  t.is(manifest.dependencies, undefined);
  t.is(manifest.gypfile, false);
  for (const script of ["preinstall", "install", "postinstall", "prepare"])
    t.is(manifest.scripts?.[script], undefined);
});

test("the README's example runs from an ES module on the prebuilt addon", async (t) => {
  writeFileSync(join(project, "example.mjs"), example);
  t.like(await run(process.execPath, ["example.mjs"], { cwd: project }), { code: 0, stderr: "" });
});

test("the README's example runs from CommonJS", async (t) => {
  const required = example.replace(/import (\{[^}]*\}) from ("[^"]*");/g, "const $1 = require($2);");
  t.notRegex(required, /^import/m);
  writeFileSync(join(project, "example.cjs"), required);
  // Node 20 warns that require() of an ES module is experimental, and does it.
  const flags = ["--disable-warning=ExperimentalWarning"];
  const module = await run(process.execPath, ["example.mjs"], { cwd: project });
  t.like(await run(process.execPath, [...flags, "example.cjs"], { cwd: project }), {
    code: 0,
    stdout: module.stdout,
  });
});

test("npx kullback info finds the prebuilt addon", async (t) => {
  const { code, stdout } = await npm(project, "exec", "--no", "--", "kullback", "info", "--json");
  t.is(code, 0);
  const info = JSON.parse(stdout) as { selected: string; cpu: { path: string } };
  t.is(info.selected, "cpu");
  t.true(info.cpu.path.includes("prebuilds"));
});

test("TypeScript finds the types, and they follow the options", async (t) => {
  writeFileSync(
    join(project, "types.mts"),
    `import { softmaxDivergence } from "kullback";
     const data = new Float32Array(4);
     const result = softmaxDivergence({ data, shape: [2, 2] }, { data, shape: [2, 2] }, { gradients: ["student"] });
     const gradient: Float32Array = result.gradients.student;
     console.log(gradient, result.value.toFixed());`,
  );
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const args = [tsc, "--noEmit", "--strict", "--module", "nodenext", "types.mts"];
  const { code, stdout } = await run(process.execPath, args, { cwd: project });
  t.is(stdout, "");
  t.is(code, 0);
});

test("publint finds nothing to complain about", async (t) => {
  const { publint } = await import("publint");
  const { messages } = await publint({ pkgDir: installedRoot, strict: true, pack: false });
  t.deepEqual(messages, []);
});
