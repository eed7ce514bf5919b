// Reads the folder that scripts/gpu-visit.sh leaves behind, whichever bench was run there, and puts torch beside it.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { failures, introduced, type TorchIntroduction, type TorchTimes } from "./peers/torch.js";
import type { CudaResults } from "./report-cuda.js";
import { cudaSize, type CudaMilliseconds } from "./softmax-divergence-cuda.js";

/** A line of the bench without Node: the device, or a size. */
type NativeLine =
  Pick<CudaResults, "device" | "quick"> | { rows: number; columns: number; milliseconds: CudaMilliseconds };
type TorchLine = TorchIntroduction | TorchTimes;

/** What is no folder of a visit, or of one whose bench has failed. */
export class NoVisit extends Error {}

/** The results of a visit. Throws where the folder holds none. */
export function resultsOfVisit(folder: string): CudaResults {
  if (!existsSync(join(folder, "bench.txt")))
    throw new NoVisit(`${folder} holds no bench.txt of a visit to a GPU`);
  const file = (name: string): string =>
    existsSync(join(folder, name)) ? readFileSync(join(folder, name), "utf8").trim() : "";
  const text = file("bench.txt");
  // Node's bench says everything at once, in a document of many lines.
  const document = /^\{\n[^]*^\}$/m.exec(text)?.[0];
  const results = document
    ? (JSON.parse(document) as CudaResults)
    : ofNativeBench(linesOf<NativeLine>(text), file("when.txt").slice(0, 10));
  const commit = file("commit.txt");
  return withTorch(commit === "" ? results : { ...results, commit }, linesOf<TorchLine>(file("peers.txt")));
}

// What a phase prints beside JSON is for people.
function linesOf<Line>(text: string): Line[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Line);
}

function ofNativeBench(lines: NativeLine[], date: string): CudaResults {
  const results: CudaResults = {
    date,
    commit: "unknown",
    quick: false,
    program: "C++",
    device: { name: "", computeCapability: 0, driverVersion: 0, runtimeVersion: 0, emulated: false },
    peers: ["torch: not measured"],
    notes: [],
    sizes: [],
  };
  for (const line of lines) {
    if ("device" in line) Object.assign(results, line);
    else results.sizes.push(cudaSize(line.rows, line.columns, line.milliseconds));
  }
  if (results.device.name === "") throw new NoVisit("the visit's bench.txt holds no results");
  return results;
}

function withTorch(results: CudaResults, lines: TorchLine[]): CudaResults {
  const introduction = lines.find((line) => "version" in line);
  if (introduction === undefined) return results;
  const times = lines.filter((line) => "rows" in line);
  return {
    ...results,
    peers: introduced(introduction),
    notes: [...results.notes, ...times.flatMap(failures)],
    sizes: results.sizes.map(({ rows, columns, milliseconds }) => {
      const torch = times.find((line) => line.rows === rows && line.columns === columns);
      return cudaSize(rows, columns, { ...milliseconds, ...torch?.milliseconds });
    }),
  };
}
