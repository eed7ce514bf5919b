// One stem names an operation in every room of the house: whoever adds one must fill all of them, and a file that
// belongs to no operation must be named here with the reason why.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, relative } from "node:path";
import test from "ava";
import * as kullback from "../../lib/index.js";
import { loadAddon } from "../../lib/backend/load.js";
import { referenceBackend } from "../../lib/backend/reference.js";
import { root } from "../child.js";

const read = (path: string): string => readFileSync(join(root, path), "utf8");

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((file) => join(folder, file))
    .filter((file) => statSync(join(root, file)).isFile());
}

const operations = [...read("native/abi/operations.inc").matchAll(/^KULLBACK_OPERATION\((\w+)\)/gm)].map(
  ([, stem]) => stem!,
);
const kebab = (stem: string): string => stem.replaceAll("_", "-");
const camel = (stem: string): string => stem.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

test("the list of operations is not empty", (t) => {
  t.true(operations.length > 0);
});

for (const stem of operations) {
  test(`${stem} has a file in every room`, (t) => {
    for (const room of [
      `lib/${kebab(stem)}.ts`,
      `lib/reference/${kebab(stem)}.ts`,
      `native/addon/${stem}.cc`,
      `native/cpu/${stem}.cc`,
      `native/cpu/${stem}.inl.h`,
      `native/cuda/${stem}.cu`,
      `native/cuda/${stem}.cuh`,
      `test/${kebab(stem)}.test.ts`,
      `bench/${kebab(stem)}.ts`,
      `docs/${kebab(stem)}.md`,
    ]) {
      t.true(existsSync(join(root, room)), `${room} is missing`);
    }
  });

  test(`${stem} is in the table of each backend and in the public API, now and asynchronously`, (t) => {
    const name = camel(stem) as "softmaxDivergence";
    for (const table of [kullback, referenceBackend, loadAddon().addon!]) {
      t.is(typeof table[name], "function");
      t.is(typeof table[`${name}Async`], "function");
    }
    t.true(read("binding.gyp").includes(`"native/cpu/${stem}.cc"`));
    t.true(read("binding.gyp").includes(`"native/addon/${stem}.cc"`));
  });
}

/** What is left of a stem that begins with a name. */
const after = (stem: string, name: string): string => (stem.startsWith(name) ? stem.slice(name.length) : "");

test("a file in an operation's room belongs to an operation", (t) => {
  // Shared by all operations, each for the reason that its first line gives.
  const shared = {
    "lib/reference": ["elements", "sum"],
    "native/cpu": [
      "backend",
      "dispatch",
      "elementary",
      "isa_regions",
      "matrix_product",
      "memory_limit",
      "stored",
      "thread_pool",
    ],
    "native/addon": ["addon", "arguments", "backends", "cpu", "cuda", "cuda_library", "device_memory", "job"],
    "native/cuda": ["backend", "context", "limits", "matrix_product", "softmax_row", "stored"],
    bench: ["cells", "main", "measure", "problem", "report", "report-cuda", "results", "visit"],
  };
  for (const [room, known] of Object.entries(shared)) {
    const stems = readdirSync(join(root, room))
      .filter((file) => /\.(ts|cc|inl\.h|cuh?)$/.test(file))
      .map((file) => file.replace(/\.(ts|cc|inl\.h|cuh?)$/, ""))
      .filter((stem) => !stem.startsWith("isa_"));
    const allowed = [...known, ...operations, ...operations.map(kebab)];
    t.deepEqual(
      // An operation in several files says so by its stem: softmax_divergence, softmax_divergence_value.
      stems.filter((stem) => !allowed.some((name) => stem === name || /^[_-]/.test(after(stem, name)))),
      [],
      `in ${room}`,
    );
  }
});

test("arrows between the rooms point one way", (t) => {
  const forbidden: [folder: string, pattern: RegExp, why: string][] = [
    ["native/abi", /napi|#include ".*(cpu|addon|math)\//, "the ABI knows nobody"],
    [
      "native/math",
      /#include "(?!\w+\.inc")/,
      "formulas need nothing of the project's but lists of themselves",
    ],
    ["native/cpu", /napi|addon\//, "the CPU backend knows nothing of Node"],
    ["native/cuda", /<napi|addon\/|cpu\//, "the CUDA backend knows nothing of Node, nor of the CPU backend"],
    ["native/addon", /math\/|<cmath>.*std::exp|std::log\(/, "the addon holds no mathematics"],
    [
      "lib/reference",
      /from "(?!\.\.\/backend\/table\.js"|\.\/)/,
      "the reference needs only the table's types",
    ],
  ];
  for (const [folder, pattern, why] of forbidden) {
    for (const file of filesBelow(folder)) t.notRegex(read(file), pattern, `${file}: ${why}`);
  }
  for (const file of filesBelow("native/math").filter((path) => path.endsWith(".inl.h"))) {
    t.notRegex(read(file), /^#/m, `${file}: is included by each compiler in its own surroundings`);
  }
  for (const file of operations.map((stem) => `lib/${kebab(stem)}.ts`)) {
    t.notRegex(read(file), /Math\.(exp|log|expm1|log1p)/, `${file}: operations hold no mathematics`);
  }
});

test("every source file says at its top what it is for, and none is longer than 500 lines", (t) => {
  const sources = ["lib", "native", "test", "bench", "examples", "scripts"].flatMap(filesBelow);
  for (const file of sources.filter((path) => /\.(ts|mjs|cc|h|inc|cuh?)$/.test(path))) {
    const text = read(file);
    t.true(text.split("\n").length <= 501, `${file} is too long`);
    const paired = basename(file).replace(/\.cc$/, ".h");
    const explained = file.endsWith(".cc") && existsSync(join(root, file, "..", paired));
    t.true(
      explained || /^(#!.*\n)?(\/\/|\/\*)/.test(text),
      `${relative(root, file)} opens without a comment`,
    );
  }
});
