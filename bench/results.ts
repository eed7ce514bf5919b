// Where results are kept, and the page that is made of them.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { cudaSection, type CudaResults } from "./report-cuda.js";
import { markdownReport, type Results } from "./report.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const page = `${root}docs/benchmarks.md`;
const files = {
  cpu: `${root}bench/results/softmax-divergence.json`,
  cuda: `${root}bench/results/softmax-divergence.cuda.json`,
};

/** docs/benchmarks.md as the results that are kept would have it. */
export function pageOfResults(): string {
  const cpu = kept("cpu") as Results;
  return `${markdownReport(cpu)}\n${cudaSection(kept("cuda") as CudaResults | undefined)}`;
}

function kept(backend: keyof typeof files): unknown {
  return existsSync(files[backend]) ? JSON.parse(readFileSync(files[backend], "utf8")) : undefined;
}

/** Keeps results, and writes the page anew. */
export function save(backend: "cpu", results: Results): void;
export function save(backend: "cuda", results: CudaResults): void;
export function save(backend: keyof typeof files, results: Results | CudaResults): void {
  writeFileSync(files[backend], `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(page, pageOfResults());
  process.stdout.write(`wrote ${files[backend]} and ${page}\n`);
}

/** The commit that is checked out, and whether something has been changed since, where there is Git to tell it. */
export function commit(): string {
  const question = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"];
  const { status, stdout } = spawnSync("git", question, { cwd: root, encoding: "utf8" });
  return status === 0 ? stdout.trim() : "unknown";
}
