/**
 * One process per data folder. LMDB lets a second process write the same file, which would break our revisions. The lock
 * is the kernel's, taken through SQLite's exclusive mode: it ends with its holder however that dies, so there is no stale
 * lock to judge, and it holds between containers that share the folder, where process ids mean nothing.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { messageOf } from "#base";
import { StoreErrors } from "../types.ts";

/** SQLite's codes for a lock that somebody else has. */
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;

/** Takes the folder; disposing gives it back. @throws STORE_LOCKED when another process (or store) has it */
export function lockFolder(folder: string): Disposable {
  const note = join(folder, "holder");
  const database = new DatabaseSync(join(folder, "lock"));
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    const code = (error as { errcode?: number }).errcode;
    if (code !== SQLITE_BUSY && code !== SQLITE_LOCKED) {
      throw StoreErrors.UNAVAILABLE(`The lock of "${folder}" cannot be taken: ${messageOf(error)}.`, { cause: error });
    }
    throw StoreErrors.LOCKED(
      `The data folder "${folder}" is in use by ${holderOf(note)}. Stop that, or give this one a folder of its own.`,
      { cause: error },
    );
  }
  try {
    writeFileSync(note, `process ${process.pid}`, { mode: 0o600 });
  } catch {
    // The disk may be full; the store must still be readable, and the note is for people only.
  }
  return { [Symbol.dispose]: () => database.close() };
}

/** For people only: what counts is the lock. */
function holderOf(note: string): string {
  try {
    return readFileSync(note, "utf8");
  } catch {
    return "another process";
  }
}
