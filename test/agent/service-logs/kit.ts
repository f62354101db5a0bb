/** Shared by the tests of collected logs: a collection without an agent, and what its tree contains. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { FileSink } from "../../../agent/file-sink.ts";
import { ServiceLogs, type ServiceLogsParts } from "../../../agent/service-logs/service-logs.ts";
import type { Host } from "#base";

export function collected(host: Host, dataDir: string, parts: Partial<ServiceLogsParts> = {}): ServiceLogs {
  const limits = { bytesMax: 1024 * 1024 * 1024, keepDays: 7 };
  return new ServiceLogs(host, { sink: new FileSink(host), dataDir, limits, ...parts });
}

/** The service of the tests, with one log file. */
export function orders(file: string): Parameters<ServiceLogs["define"]>[0][number] {
  return { name: { namespace: "default", service: "orders", id: "orders-1" }, logs: [{ file }] };
}

/** The lines of the tree without their times, by level, in the order of the files. */
export async function linesOf(dataDir: string): Promise<Record<string, string[]>> {
  const lines: Record<string, string[]> = {};
  const folder = join(dataDir, "logs");
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries.filter((one) => one.isFile())) {
    const level = entry.name.replace(/\..*$/, "");
    const text = await readFile(join(entry.parentPath, entry.name), "utf8");
    for (const line of text.split("\n").slice(0, -1)) (lines[level] ??= []).push(line.slice(line.indexOf(" ") + 1));
  }
  return lines;
}
