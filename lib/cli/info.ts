// backendInfo() as text.
import type { BackendInfo } from "../backend/report.js";

/** A few aligned lines for people; programs take the object. */
export function formatBackendInfo(info: BackendInfo): string {
  const { cpu, machine, versions } = info;
  const version = (number: number): string =>
    `${Math.floor(number / 1000)}.${Math.floor((number % 1000) / 10)}`;
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
  if (info.cuda !== null) {
    const { devices, device, path } = info.cuda;
    const memory = `${(device.freeBytes / 2 ** 30).toFixed(1)} of ${(device.totalBytes / 2 ** 30).toFixed(1)} GiB free`;
    const what = device.emulated ? "no GPU, but the emulator of Kullback's tests" : device.name;
    lines.push(
      [
        devices === 1 ? "device" : `device 0 of ${devices}`,
        `${what}, compute capability ${(device.computeCapability / 10).toFixed(1)}, ${memory}`,
      ],
      [
        "cuda",
        `${path} (driver for CUDA ${version(device.driverVersion)}, built with ${version(device.runtimeVersion)})`,
      ],
    );
  }
  for (const [name, value] of Object.entries(info.environment)) lines.push([name, value]);
  const width = Math.max(...lines.map(([label]) => label.length)) + 2;
  return lines.map(([label, text]) => `${label.padEnd(width)}${text}\n`).join("");
}
