// The documentation is true: its programs run and print what it says, its links lead somewhere, its commands exist.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "ava";
import { root, runModule } from "../child.js";

const pages = ["README.md", ...readdirSync(join(root, "docs")).map((file) => `docs/${file}`)].filter((file) =>
  file.endsWith(".md"),
);
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
};

for (const page of pages) {
  const text = readFileSync(join(root, page), "utf8");

  // A program is a block marked js; the block marked text that follows it at once is what it prints.
  const programs = [...text.matchAll(/^```js\n([\s\S]*?)^```\n(?:\n*```text\n([\s\S]*?)^```\n)?/gm)];
  programs.forEach(([, program, printed], index) => {
    test(`${page}: program ${index + 1} runs${printed === undefined ? "" : " and prints what the page says"}`, async (t) => {
      const { code, stdout, stderr } = await runModule(program!);
      t.is(code, 0, stderr);
      if (printed !== undefined) t.is(stdout, printed);
    });
  });

  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)].map(([, target]) => target!);
  const named = [...text.matchAll(/npm run ([\w-]+)/g)].map(([, script]) => script!);
  test(`${page}: links lead somewhere, and npm scripts exist`, (t) => {
    t.deepEqual(
      links.filter((target) => !existsSync(join(root, dirname(page), target))),
      [],
    );
    t.deepEqual(
      named.filter((script) => !(script in scripts)),
      [],
    );
  });
}
