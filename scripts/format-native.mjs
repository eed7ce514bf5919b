// Formats the C++ of native/ and test/emulator/ by .clang-format; with --check it only says which files are not formatted.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";

const files = ["native", "test/emulator"].flatMap((folder) =>
  readdirSync(folder, { recursive: true })
    .filter((file) => /\.(h|cc|inc|cu|cuh)$/.test(file))
    .map((file) => `${folder}/${file}`),
);
const mode = process.argv.includes("--check") ? ["--dry-run", "-Werror"] : ["-i"];
// npm puts node_modules/.bin, and with it the locked version, first in the path.
const { status, error } = spawnSync("clang-format", [...mode, ...files], {
  stdio: "inherit",
  shell: process.platform === "win32",
});
if (error) throw error;
process.exit(status ?? 1);
