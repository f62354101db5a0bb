/**
 * The state of the collection of logs, kept over restarts in one file: how far each log file was read, and how long each file of
 * the tree was at that time. Both change in one step, so that after a crash no line is missing and none is there twice.
 */
import { join } from "node:path";
import { Type, type Static } from "typebox";
import { Check as matches } from "typebox/value";
import type { Host } from "#base";
import { readText, type FileSink } from "../file-sink.ts";

/** Only its owner may read it, like the tree. */
const STATE_MODE = 0o600;

const Position = Type.Object({
  path: Type.String(),
  /** Device and inode. */
  file: Type.String(),
  /** The digest of the first bytes, and how many they are. */
  print: Type.Object({ bytes: Type.Integer({ minimum: 0 }), digest: Type.String() }),
  offset: Type.Integer({ minimum: 0 }),
  isCutting: Type.Boolean(),
});
export type Position = Static<typeof Position>;

export const LogState = Type.Object({
  format: Type.Literal(1),
  sources: Type.Record(Type.String(), Type.Array(Position)),
  /** Bytes of each file of the tree that is being written, by its path below the tree. */
  open: Type.Record(Type.String(), Type.Integer({ minimum: 0 })),
});
export type LogState = Static<typeof LogState>;

export function logStatePath(dataDir: string): string {
  return join(dataDir, "service-logs.json");
}

/** The state of an earlier run; undefined at the first run. A damaged one is treated as missing. */
export async function loadLogState(host: Host, dataDir: string): Promise<LogState | undefined> {
  const path = logStatePath(dataDir);
  const text = await readText(path);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (matches(LogState, value)) return value;
  } catch {
    // Text that is not JSON is treated like JSON of another shape.
  }
  host.log.warn({ path }, `${path} is damaged; the log files of services are read from their current ends`);
  return undefined;
}

/** @throws AGENT_FILE_NOT_WRITTEN */
export async function saveLogState(sink: FileSink, dataDir: string, state: LogState): Promise<void> {
  await sink.write(logStatePath(dataDir), JSON.stringify(state), { mode: STATE_MODE, followLinks: false });
}
