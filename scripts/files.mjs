// The repository's root, and when its files were last changed: what the build scripts decide by.
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../", import.meta.url));

/** -Infinity for what is not there. */
export const modified = (path) =>
  existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : -Infinity;

/** The latest change below the given files and folders. */
export function latest(paths) {
  return Math.max(
    ...paths.map((path) => {
      const full = join(root, path);
      if (!existsSync(full) || !statSync(full).isDirectory()) return modified(path);
      return Math.max(modified(path), ...readdirSync(full).map((entry) => latest([join(path, entry)])));
    }),
  );
}
