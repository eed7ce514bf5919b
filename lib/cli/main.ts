#!/usr/bin/env node
// The `kullback` command.
import { parseArgs } from "node:util";
import { backendInfo } from "../backend/report.js";
import { packageVersion } from "../backend/load.js";
import { KullbackError } from "../errors.js";
import { formatBackendInfo } from "./info.js";

const usage = `Usage: kullback <command> [options]

Commands:
  info        which backends can run here, which one does, and why
    --json    the same for programs: what backendInfo() returns

Options:
  --help      this text
  --version   the version of the package
`;

function main(): number {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { help: { type: "boolean" }, version: { type: "boolean" }, json: { type: "boolean" } },
  });
  if (values.help === true) return print(usage);
  if (values.version === true) return print(`${packageVersion}\n`);
  const [command, ...rest] = positionals;
  if (command === undefined) return complain(usage);
  if (command !== "info") return complain(`kullback: unknown command ${command}\n\n${usage}`);
  if (rest.length > 0) return complain(`kullback: info takes no ${rest.join(" ")}\n\n${usage}`);
  const info = backendInfo();
  return print(values.json === true ? `${JSON.stringify(info, null, 2)}\n` : formatBackendInfo(info));
}

function complain(text: string): number {
  process.stderr.write(text);
  return 2;
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

try {
  process.exitCode = main();
} catch (error) {
  // Errors of parseArgs and of Kullback say what is wrong in their message; anything else is a defect and shows its stack.
  const code = (error as { code?: string }).code ?? "";
  if (!(error instanceof KullbackError) && !code.startsWith("ERR_PARSE_ARGS")) throw error;
  process.stderr.write(`kullback: ${(error as Error).message}\n`);
  process.exitCode = 2;
}
