/**
 * Allows one process per data folder. LMDB would let a second process write the same file, which would corrupt the revisions. The lock
 * belongs to the kernel, through SQLite's exclusive mode: it ends with its process in every case, so locks cannot be stale. It also works
 * between containers that share the folder, where process ids are meaningless.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { messageOf } from "#base";
import { StoreErrors } from "../types.ts";

/** SQLite's codes for a lock that another process has. */
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;

/** Locks the folder; disposing unlocks it. @throws STORE_LOCKED when another process (or store) has it */
export function lockFolder(folder: string): Disposable {
  const note = join(folder, "holder");
  const database = new DatabaseSync(join(folder, "lock"));
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    const code = (error as { errcode?: number }).errcode;
    if (code !== SQLITE_BUSY && code !== SQLITE_LOCKED) {
      throw StoreErrors.UNAVAILABLE(`Cannot lock the data folder "${folder}": ${messageOf(error)}.`, { cause: error });
    }
    throw StoreErrors.LOCKED(
      `The data folder "${folder}" is in use by ${holderOf(note)}. Stop that process, or use another folder with --data.`,
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

/** For people only. The lock itself decides. */
function holderOf(note: string): string {
  try {
    return readFileSync(note, "utf8");
  } catch {
    return "another process";
  }
}
