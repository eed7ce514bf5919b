// Runs JavaScript in a process of its own: for what may crash one, and for what the environment decides at its start.
import { availableParallelism } from "node:os";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The repository's root. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

export interface ChildResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface ChildOptions {
  cwd?: string;
  env?: Record<string, string>;
}

/** Runs a command to its end. */
export function run(
  command: string,
  args: readonly string[],
  options: ChildOptions = {},
): Promise<ChildResult> {
  // What a person has set must not decide what a test sees.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("KULLBACK_"));
  const env = { ...Object.fromEntries(inherited), ...options.env };
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: options.cwd ?? root, env, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** Runs an ES module's source; `kullback` in it is this package. */
export function runModule(
  source: string,
  options: ChildOptions & { flags?: string[] } = {},
): Promise<ChildResult> {
  return run(process.execPath, [...(options.flags ?? []), "--input-type=module", "--eval", source], options);
}

/** Runs a check of each item, as many at a time as there are cores. */
export async function all<T>(items: readonly T[], check: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const work = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await check(item);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
}
