// backendInfo() as text.
import type { BackendInfo } from "../backend/report.js";

/** A few aligned lines for people; programs take the object. */
export function formatBackendInfo(info: BackendInfo): string {
  const { cpu, machine, versions } = info;
  const lines: [label: string, text: string][] = [
    [
      "kullback",
      `${versions.kullback} (ABI ${versions.abi ?? "none"}), Node ${versions.node}, Node-API ${versions.napi}`,
    ],
    ["machine", `${machine.platform}-${machine.arch}, ${machine.cores} cores, ${machine.processor}`],
    ["backend", `${info.selected ?? "none"}: ${info.reason}`],
  ];
  for (const { name, available, attempts } of info.backends) {
    const reasons = attempts.length === 0 ? [""] : attempts.map(({ reason }) => `: ${reason}`);
    for (const reason of reasons)
      lines.push([`  ${name}`, `${available ? "available" : "not available"}${reason}`]);
  }
  if (cpu !== null) {
    lines.push(
      ["instructions", `${cpu.instructionSet} (here: ${cpu.instructionSets.join(", ")})`],
      ["threads", String(cpu.threads)],
      ["addon", `${cpu.path} (${cpu.compiler})`],
    );
  }
  for (const [name, value] of Object.entries(info.environment)) lines.push([name, value]);
  const width = Math.max(...lines.map(([label]) => label.length)) + 2;
  return lines.map(([label, text]) => `${label.padEnd(width)}${text}\n`).join("");
}
