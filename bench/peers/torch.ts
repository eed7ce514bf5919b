// Talks to run_torch.py. Torch is looked for, never required: on a CPU Debian's python3-torch will do.
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";

// The script is no TypeScript: it stays where it was written.
const script = fileURLToPath(new URL("../../../bench/peers/run_torch.py", import.meta.url));

/** What the script says of itself: contenders that are missing, each with the reason. */
export interface TorchIntroduction {
  version: string;
  device: string;
  missing: Record<string, string>;
}

/** What the script says of one size: median milliseconds for value and gradient, and what failed, with the reason. */
export interface TorchTimes {
  rows: number;
  columns: number;
  milliseconds: Partial<Record<string, number>>;
  failed: Record<string, string>;
}

/** Who it is and what is missing, in words. */
export function introduced(torch: TorchIntroduction | undefined): string[] {
  if (torch === undefined) return ["torch: not measured"];
  const missing = Object.entries(torch.missing).map(([peer, why]) => `${peer}: not measured, ${why}`);
  return [`torch ${torch.version} on ${torch.device}`, ...missing];
}

/** What failed, in words. */
export function failures({ rows, columns, failed }: TorchTimes): string[] {
  return Object.entries(failed).map(([peer, why]) => `${rows} x ${columns}, ${peer}: ${why}`);
}

/** A running torch, or undefined where no Python of this machine has it. `args` are those of the script. */
export async function startTorch(args: readonly string[]): Promise<Torch | undefined> {
  for (const python of ["/usr/bin/python3", "python3"]) {
    const torch = await Torch.start(python, args);
    if (torch !== undefined) return torch;
  }
  return undefined;
}

/** A Python process that measures on demand. */
export class Torch {
  private constructor(
    private readonly child: ChildProcessWithoutNullStreams,
    private readonly lines: Interface,
    private readonly ended: Promise<undefined>,
    readonly introduction: TorchIntroduction,
  ) {}

  static async start(python: string, args: readonly string[]): Promise<Torch | undefined> {
    const child = spawn(python, [script, ...args]);
    const lines = createInterface({ input: child.stdout });
    const ended = new Promise<undefined>((resolve) => {
      child.on("close", () => resolve(undefined));
      child.on("error", () => resolve(undefined));
    });
    // Writing to one that has ended is no reason to end too.
    child.stdin.on("error", () => undefined);
    child.stderr.resume();
    const hello = await nextLine(lines, ended);
    if (hello === undefined) return undefined;
    return new Torch(child, lines, ended, JSON.parse(hello) as TorchIntroduction);
  }

  /** The value of the loss for logits that lie in a file: the student's float32, then the teacher's. */
  async value(file: string, rows: number, columns: number): Promise<number> {
    const answer = nextLine(this.lines, this.ended);
    this.child.stdin.write(`${JSON.stringify({ file, rows, columns })}\n`);
    const line = await answer;
    if (line === undefined) throw new Error(`torch ended at ${rows} x ${columns}`);
    return (JSON.parse(line) as { value: number }).value;
  }

  /** Throws where the process has ended. With a width, logits are made of hidden states. */
  async measure(rows: number, columns: number, repetitions: number, width?: number): Promise<TorchTimes> {
    const answer = nextLine(this.lines, this.ended);
    this.child.stdin.write(
      `${[rows, columns, repetitions, ...(width === undefined ? [] : [width])].join(" ")}\n`,
    );
    const line = await answer;
    if (line === undefined) throw new Error(`torch ended at ${rows} x ${columns}`);
    return JSON.parse(line) as TorchTimes;
  }

  stop(): void {
    this.child.stdin.end();
  }
}

function nextLine(lines: Interface, ended: Promise<undefined>): Promise<string | undefined> {
  return Promise.race([once(lines, "line").then(([line]) => line as string), ended]);
}
