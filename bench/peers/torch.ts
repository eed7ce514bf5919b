// Talks to run_torch.py. Torch is Debian's python3-torch: looked for, never required.
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";

// The script is no TypeScript: it stays where it was written.
const script = fileURLToPath(new URL("../../../bench/peers/run_torch.py", import.meta.url));

/** A running torch, or undefined where no Python of this machine has it. */
export async function startTorch(threads: number): Promise<Torch | undefined> {
  for (const python of ["/usr/bin/python3", "python3"]) {
    const torch = await Torch.start(python, threads);
    if (torch !== undefined) return torch;
  }
  return undefined;
}

/** A Python process that measures on demand. */
export class Torch {
  private constructor(
    private readonly child: ChildProcessWithoutNullStreams,
    private readonly lines: Interface,
    readonly version: string,
  ) {}

  static async start(python: string, threads: number): Promise<Torch | undefined> {
    const child = spawn(python, [script, String(threads)]);
    const lines = createInterface({ input: child.stdout });
    const hello = await Promise.race([
      once(lines, "line").then(([line]) => line as string),
      once(child, "close").then(() => undefined),
      once(child, "error").then(() => undefined),
    ]);
    if (hello === undefined) return undefined;
    return new Torch(child, lines, (JSON.parse(hello) as { version: string }).version);
  }

  /** Median seconds for value and gradient. */
  async measure(rows: number, columns: number, repetitions: number): Promise<number> {
    this.child.stdin.write(`${rows} ${columns} ${repetitions}\n`);
    const [line] = (await once(this.lines, "line")) as [string];
    return (JSON.parse(line) as { seconds: number }).seconds;
  }

  stop(): void {
    this.child.stdin.end();
  }
}
