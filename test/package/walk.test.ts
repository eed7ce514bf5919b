// docs/walk.md leads through the code by file and symbol; each must exist, so that the page cannot drift.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { root } from "../child.js";

const stops = [
  ...readFileSync(join(root, "docs/walk.md"), "utf8").matchAll(/`([\w./-]+)` · \*\*(\w+(?:::\w+)?)\*\*/g),
];

test("the walk has a stop in every layer", (t) => {
  const files = stops.map(([, file]) => file!);
  for (const layer of [
    "lib/",
    "lib/backend/",
    "lib/reference/",
    "native/addon/",
    "native/abi/",
    "native/cpu/",
    "native/math/",
  ]) {
    t.true(
      files.some((file) => file.startsWith(layer)),
      layer,
    );
  }
});

for (const [, file, symbol] of stops) {
  test(`${file} has ${symbol}`, (t) => {
    const text = readFileSync(join(root, file!), "utf8");
    for (const part of symbol!.split("::")) t.regex(text, new RegExp(`\\b${part}\\b`));
  });
}
