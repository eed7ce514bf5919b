// Finds and loads the native addon, once a thread, and remembers what was tried.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { OptionError, type BackendAttempt } from "../errors.js";
import type { Addon } from "./addon.js";

/** KULLBACK_ABI_VERSION of native/abi/kullback_backend.h. */
const abiVersion = 7;

const require = createRequire(import.meta.url);
// From dist/lib/backend/ to the package's root.
const root = fileURLToPath(new URL("../../../", import.meta.url));

/** The version in package.json. */
export const packageVersion = (JSON.parse(readFileSync(`${root}package.json`, "utf8")) as { version: string })
  .version;

/** What came of loading the addon. */
export interface LoadedAddon {
  addon?: Addon;
  /** The file that was loaded. */
  path?: string;
  /** The files that were not, and why. */
  attempts: BackendAttempt[];
}

let loaded: LoadedAddon | undefined;

/** Loads the addon on the first call. Throws OptionError where an environment variable has no valid value. */
export function loadAddon(): LoadedAddon {
  if (loaded !== undefined) return loaded;
  const result: LoadedAddon = { attempts: [] };
  for (const path of candidates()) {
    const reason = tryLoad(path, result);
    if (reason === undefined) break;
    result.attempts.push({ backend: "cpu", reason });
  }
  if (result.addon !== undefined) configure(result.addon);
  loaded = result;
  return result;
}

/** A file of the package. */
export function packageFile(path: string): string {
  return `${root}${path}`;
}

/** Where this platform's binaries lie in the published package. */
export const prebuiltFolder = `prebuilds/${process.platform}-${process.arch}`;

/** A path as messages have it: the package's own from its root on. */
export function shownPath(path: string): string {
  return path.startsWith(root) ? path.slice(root.length) : path;
}

/** The addon of this platform, as prebuildify names it. */
export function prebuiltAddon(): string {
  const tag = process.platform === "linux" ? `.${libc()}` : "";
  return `${prebuiltFolder}/kullback${tag}.node`;
}

/** Prebuilt first, then what `npm run build` leaves behind. */
function candidates(): string[] {
  return [packageFile(prebuiltAddon()), packageFile("build/Release/kullback.node")];
}

/** The C library that Node itself was linked with. */
function libc(): "glibc" | "musl" {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime === undefined ? "musl" : "glibc";
}

function tryLoad(path: string, result: LoadedAddon): string | undefined {
  const shown = shownPath(path);
  if (!existsSync(path)) return `${shown} does not exist`;
  try {
    const addon = require(path) as Addon;
    if (addon.version !== packageVersion) {
      return `${shown} is of version ${addon.version}, the package of ${packageVersion}: a stale build`;
    }
    if (addon.abiVersion !== abiVersion) {
      return `${shown} has ABI ${addon.abiVersion}, the package ${abiVersion}: a stale build`;
    }
    result.addon = addon;
    result.path = path;
    return undefined;
  } catch (error) {
    return `${shown} could not be loaded: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** More threads than this is a mistake. */
export const maximalThreads = 1024;

// Applies KULLBACK_NUM_THREADS and KULLBACK_CPU_ISA. Both are the process's, so every thread sets the same.
function configure(addon: Addon): void {
  const threads = process.env.KULLBACK_NUM_THREADS;
  if (
    threads !== undefined &&
    threads !== "" &&
    !(/^[1-9][0-9]{0,3}$/.test(threads) && Number(threads) <= maximalThreads)
  ) {
    throw new OptionError(
      `KULLBACK_NUM_THREADS is ${JSON.stringify(threads)}; it must be an integer from 1 to ${maximalThreads}`,
    );
  }
  // Threads and kernels are the process's: a Worker that loads the addon later must not change them for all.
  const first = addon.threadCount() === 0;
  if (first)
    addon.setThreadCount(threads ? Number(threads) : Math.min(availableParallelism(), maximalThreads));

  const wanted = process.env.KULLBACK_CPU_ISA;
  if (wanted === undefined || wanted === "") return;
  const sets = addon.instructionSets();
  const entry = sets.find(({ name }) => name === wanted);
  if (entry?.supported !== true) {
    const usable = sets.filter(({ supported }) => supported).map(({ name }) => name);
    throw new OptionError(
      `KULLBACK_CPU_ISA is ${JSON.stringify(wanted)}, which ${entry ? "this processor does not have" : "is unknown"}; ` +
        `here it can be ${usable.join(", ")}`,
    );
  }
  if (first) addon.useInstructionSet(wanted);
}
