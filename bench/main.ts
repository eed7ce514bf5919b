// npm run bench -- <operation> [--quick] [--json] [--save]
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import Table from "cli-table3";
import { backendInfo } from "../lib/index.js";
import { formatBackendInfo } from "../lib/cli/info.js";
import { markdownReport, tableHead, tableRow, type Results } from "./report.js";
import { bench } from "./softmax-divergence.js";

const usage = `Usage: npm run bench -- softmax-divergence [options]

Options:
  --quick   fewer and shorter rounds, less than a minute
  --json    print the results as JSON, and nothing else
  --save    keep the results in bench/results/ and write docs/benchmarks.md from them
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    save: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

async function main(): Promise<number> {
  if (values.help || positionals.length !== 1 || positionals[0] !== "softmax-divergence") {
    process.stderr.write(usage);
    return values.help ? 0 : 2;
  }
  const say = (text: string): void => {
    if (!values.json) process.stdout.write(text);
  };
  const info = backendInfo();
  say(`${formatBackendInfo(info)}\n`);
  let peers: string[] = [];
  const sizes = await bench({
    quick: values.quick,
    onPeers: (found) => {
      peers = found;
      say(`peers: ${found.join("; ")}\n\n`);
    },
    onSize: ({ rows, columns, milliseconds }) =>
      say(`${rows} x ${columns}: ${milliseconds.valueAndGradient?.toFixed(4)} ms for value and gradient\n`),
  });
  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    quick: values.quick,
    info,
    peers,
    sizes,
  };
  const table = new Table({ head: [...tableHead], style: { head: [], border: [] } });
  table.push(...sizes.map(tableRow));
  say(`\n${table.toString()}\n`);
  if (values.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
  if (values.save) save(results);
  return 0;
}

function save(results: Results): void {
  const root = new URL("../../", import.meta.url);
  const kept = new URL("bench/results/softmax-divergence.json", root);
  const page = new URL("docs/benchmarks.md", root);
  // Where this machine keeps its files is nobody's business.
  if (results.info.cpu) results.info.cpu.path = "build/Release/kullback.node";
  writeFileSync(kept, `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(page, markdownReport(results));
  process.stdout.write(`wrote ${fileURLToPath(kept)} and ${fileURLToPath(page)}\n`);
}

process.exitCode = await main();
