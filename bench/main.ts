// npm run bench -- <operation> [--backend cuda] [--quick] [--json] [--save]
import { parseArgs } from "node:util";
import Table from "cli-table3";
import { backendInfo, KullbackError } from "../lib/index.js";
import { formatBackendInfo } from "../lib/cli/info.js";
import { cudaTableHead, cudaTableRow, targetHead, targetRows, type CudaResults } from "./report-cuda.js";
import { tableHead, tableRow, type Results } from "./report.js";
import { commit, save } from "./results.js";
import { benchCuda, cudaDevice } from "./softmax-divergence-cuda.js";
import { NoVisit, resultsOfVisit } from "./visit.js";

const usage = `Usage: npm run bench -- softmax-divergence [options]
       npm run bench -- f-divergence|token-log-probs|linear-softmax-divergence [--quick] [--json]

Options:
  --backend cpu|cuda   who is measured; cpu if left out
  --quick              fewer and shorter rounds, less than a minute; with cuda, sizes that the emulator can do
  --no-peers           with cuda: without torch
  --from <folder>      with cuda: measures nothing, but takes what scripts/gpu-visit.sh has left in that folder
  --json               print the results as JSON, and nothing else; what npm says of itself, npm run --silent leaves out
  --save               keep the results in bench/results/ and write docs/benchmarks.md from them
`;

const commandLine = {
  allowPositionals: true,
  options: {
    backend: { type: "string", default: "cpu" },
    quick: { type: "boolean", default: false },
    "no-peers": { type: "boolean", default: false },
    from: { type: "string" },
    json: { type: "boolean", default: false },
    save: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
} as const;

const { values, positionals } = parsed();

function parsed(): ReturnType<typeof parseArgs<typeof commandLine>> {
  try {
    return parseArgs(commandLine);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}

const today = (): string => new Date().toISOString().slice(0, 10);

function say(text: string): void {
  if (!values.json) process.stdout.write(text);
}

function sayTable(head: readonly string[], rows: string[][]): void {
  const table = new Table({ head: [...head], style: { head: [], border: [] } });
  table.push(...rows);
  say(`\n${table.toString()}\n`);
}

async function main(): Promise<number> {
  const { backend, from, help, save: keeps } = values;
  const [operation = ""] = positionals;
  const onCpuAlone = Object.hasOwn(cpuBenches, operation);
  if (onCpuAlone && positionals.length === 1 && backend === "cpu" && !help && !keeps)
    return benchOnCpu(cpuBenches[operation as keyof typeof cpuBenches]);
  const right = positionals.length === 1 && positionals[0] === "softmax-divergence";
  const cuda = backend === "cuda";
  if (
    help ||
    !right ||
    !(cuda || backend === "cpu") ||
    (!cuda && (from !== undefined || values["no-peers"]))
  ) {
    process.stderr.write(usage);
    return help ? 0 : 2;
  }
  if (!cuda) return mainCpu();
  return mainCuda(from === undefined ? await measureCuda() : resultsOfVisit(from));
}

async function mainCpu(): Promise<number> {
  // TensorFlow.js comes with it, which is nothing that a machine needs for its GPU to be measured.
  const { bench } = await import("./softmax-divergence.js");
  const { benchFamily, familyHead, familyRows } = await import("./softmax-divergence-family.js");
  const { askSmall, smallHead, smallRows } = await import("./softmax-divergence-small.js");
  const info = backendInfo();
  say(`${formatBackendInfo(info)}\n`);
  let peers: string[] = [];
  const sizes = await bench({
    quick: values.quick,
    onPeers: (found) => {
      peers = found;
      say(`peers: ${found.join("; ")}\n\n`);
    },
    onSize: saySize,
  });
  const family = await benchFamily(values.quick);
  const small = await askSmall();
  // Where this machine keeps its files is nobody's business.
  if (values.save && info.cpu) info.cpu.path = "build/Release/kullback.node";
  const results: Results = { date: today(), quick: values.quick, info, peers, sizes, family, small };
  sayTable(tableHead, sizes.map(tableRow));
  sayTable(familyHead, familyRows(family));
  sayTable(smallHead, smallRows(small));
  if (values.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
  if (values.save) save("cpu", results);
  return 0;
}

/** A table's rows, with the results that they were made of. */
interface Measured {
  head: readonly string[];
  rows: string[][];
  results: unknown;
}

/** Operations that are measured on the CPU alone. */
const cpuBenches = {
  "f-divergence": async (): Promise<Measured> => {
    const { benchFDivergence, fDivergenceHead, fDivergenceRow } = await import("./f-divergence.js");
    const results = await benchFDivergence(values.quick);
    return { head: fDivergenceHead, rows: results.map(fDivergenceRow), results };
  },
  "token-log-probs": async (): Promise<Measured> => {
    const { benchTokenLogProbs, tokenLogProbsHead, tokenLogProbsRow } = await import("./token-log-probs.js");
    const results = await benchTokenLogProbs(values.quick);
    return { head: tokenLogProbsHead, rows: results.map(tokenLogProbsRow), results };
  },
  "linear-softmax-divergence": async (): Promise<Measured> => {
    const { benchLinearSoftmaxDivergence, linearHead, linearRow } =
      await import("./linear-softmax-divergence.js");
    const results = await benchLinearSoftmaxDivergence(values.quick);
    return { head: linearHead, rows: results.map(linearRow), results };
  },
};

async function benchOnCpu(bench: () => Promise<Measured>): Promise<number> {
  say(`${formatBackendInfo(backendInfo())}\n`);
  const { head, rows, results } = await bench();
  sayTable(head, rows);
  if (values.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
  return 0;
}

function saySize(size: { rows: number; columns: number; milliseconds: { valueAndGradient?: number } }): void {
  const { rows, columns, milliseconds } = size;
  say(`${rows} x ${columns}: ${milliseconds.valueAndGradient?.toFixed(4)} ms for value and gradient\n`);
}

async function measureCuda(): Promise<CudaResults> {
  const { name, computeCapability, driverVersion, runtimeVersion, emulated } = cudaDevice();
  say(`${formatBackendInfo(backendInfo())}\n`);
  let peers: string[] = [];
  const notes: string[] = [];
  const sizes = await benchCuda({
    quick: values.quick,
    peers: !values["no-peers"],
    onPeers: (found) => {
      peers = found;
      say(`peers: ${found.join("; ")}\n\n`);
    },
    onSize: saySize,
    onNote: (note) => {
      notes.push(note);
      say(`${note}\n`);
    },
  });
  return {
    date: today(),
    commit: commit(),
    quick: values.quick,
    program: `Node ${process.versions.node}`,
    device: { name, computeCapability, driverVersion, runtimeVersion, emulated },
    peers,
    notes,
    sizes,
  };
}

function mainCuda(results: CudaResults): number {
  sayTable(cudaTableHead, results.sizes.map(cudaTableRow));
  const targets = targetRows(results);
  if (targets.length > 0) sayTable(targetHead, targets);
  if (results.device.emulated) {
    say(
      "These are times of the emulator of Kullback's tests: they say that the bench runs, and nothing of a GPU.\n",
    );
  }
  if (values.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
  if (!values.save) return 0;
  if (results.device.emulated) {
    process.stderr.write("not saved: nothing was measured, but the emulator\n");
    return 1;
  }
  save("cuda", results);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof NoVisit) process.stderr.write(`${error.message}\n`);
  else if (error instanceof KullbackError) process.stderr.write(`${error.name}: ${error.message}\n`);
  else throw error;
  process.exitCode = 1;
}
