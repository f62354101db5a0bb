/** The data folder beside its tables: whether a store is there, whether its file is complete, and whether the disk has room. */
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { messageOf } from "#base";
import { StoreErrors } from "../types.ts";
import { corrupt } from "./errors.ts";
import { DATA_FILE, FORMAT_VERSION } from "./layout.ts";
import { PAGE_BYTES } from "./page.ts";
import { Pages } from "./pages.ts";
import { UnknownFormat, verifyFile, type Verified } from "./verify.ts";

/** Pages that LMDB may legitimately leave off the end of its file, because its last transaction freed them again. */
const TAIL_PAGES_MAX = 256;

/** Marks that a store was created here, so that a missing or empty data file is not taken for a new store. */
const IDENTITY_FILE = "identity";

/** The same mark beside the folder, named after it with this ending, so that a missing folder is noticed too. */
const BESIDE_ENDING = ".id";

/** Bytes written to find out whether there is room: as much as a small commit and the pages that it frees take. */
const PROBE_BYTES = 1024 * 1024;

/** Creates the folder. Only its owner can read it, because it holds tokens and secrets. @throws STORE_UNAVAILABLE */
export function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o700);
  } catch (error) {
    throw StoreErrors.UNAVAILABLE(`Cannot create the data folder "${folder}": ${messageOf(error)}.`, { cause: error });
  }
}

/** Marks the folder as that of a store, on the disk when it returns. */
export function writeIdentity(folder: string): void {
  const file = openSync(join(folder, IDENTITY_FILE), "w", 0o600);
  writeSync(file, `posthouse store, format ${FORMAT_VERSION}\n`);
  fsyncSync(file);
  closeSync(file);
}

/** A warning when the store that is about to be created replaces one that is gone; undefined otherwise. */
export function lostStore(folder: string): string | undefined {
  const beside = `${folder}${BESIDE_ENDING}`;
  if (!existsSync(beside) || existsSync(join(folder, DATA_FILE)) || existsSync(join(folder, IDENTITY_FILE)))
    return undefined;
  return `the store in ${folder} is gone; creating an empty one there. If this is not what you want, stop the server, and restore the folder from a backup or mount its disk`;
}

/** Notes beside the folder that it holds a store. A full or read-only disk does not prevent the start. */
export function keepBeside(folder: string): void {
  const beside = `${folder}${BESIDE_ENDING}`;
  if (existsSync(beside)) return;
  try {
    writeFileSync(beside, `A posthouse store is kept in ${folder}.\n`, { mode: 0o600 });
  } catch {
    // The next start tries again.
  }
}

/** Why writes would be lost: the data file was removed while it is open. Undefined while the file exists. */
export function removedStore(folder: string): Error | undefined {
  if (existsSync(join(folder, DATA_FILE))) return undefined;
  return StoreErrors.UNAVAILABLE(
    `The data file of the store in "${folder}" was removed while in use, so writes would be lost. Stop this process, restore the folder from a backup, and start again.`,
  );
}

/** The contents of the data file, if every page and record is as it was written. @throws STORE_CORRUPT */
export function verifiedContents(folder: string): Verified {
  if (dataFileBytes(folder) === 0) return { format: undefined, changes: [] };
  try {
    return verifyFile(folder);
  } catch (error) {
    if (error instanceof UnknownFormat) {
      throw StoreErrors.CORRUPT(
        `The data folder "${folder}" has format ${error.format}, but this program reads format ${FORMAT_VERSION}. Open it with the program that wrote it.`,
      );
    }
    // A defect of posthouse is not damage.
    if (error instanceof TypeError || error instanceof ReferenceError) throw error;
    throw corrupt(folder, messageOf(error), error);
  }
}

/**
 * Compares the file's length with its newest meta page, because LMDB maps the file and a read beyond its end kills the
 * process. @returns the length when a few pages are missing at the end; they are now pages of zeros, which is damage
 * only where one of them is in use @throws STORE_CORRUPT
 */
export function checkLength(folder: string): { length: number } | undefined {
  const length = dataFileBytes(folder);
  if (length === 0) {
    if (!existsSync(join(folder, IDENTITY_FILE))) return undefined;
    throw corrupt(folder, "a store was created here, but its data file is gone");
  }
  const path = join(folder, DATA_FILE);
  const file = openSync(path, "r");
  try {
    const lastPage = Math.max(...new Pages(file).metas().map((meta) => meta?.lastPage ?? -1));
    if (lastPage < 0) throw corrupt(folder, `${DATA_FILE} has no valid meta page`);
    const expected = (lastPage + 1) * PAGE_BYTES;
    if (length >= expected) return undefined;
    if (expected - length > TAIL_PAGES_MAX * PAGE_BYTES) {
      throw corrupt(folder, `${DATA_FILE} has ${length} bytes of ${expected}; its end is missing`);
    }
    // A page of zeros is an error to LMDB; a missing page is a crash.
    truncateSync(path, expected);
    return { length };
  } finally {
    closeSync(file);
  }
}

/** Takes back what `checkLength` added. */
export function restoreLength(folder: string, { length }: { readonly length: number }): void {
  truncateSync(join(folder, DATA_FILE), length);
}

/**
 * Whether the data file could grow by what a commit needs. The probe is a file of its own, written as far from its start as
 * the data file is long, so that it meets file size limits as well as a full disk. The data file is not touched.
 */
export function hasRoom(folder: string): boolean {
  const path = join(folder, "room");
  try {
    const file = openSync(path, "w", 0o600);
    try {
      const { size } = statSync(join(folder, DATA_FILE));
      return writeSync(file, Buffer.alloc(PROBE_BYTES, 1), 0, PROBE_BYTES, size) === PROBE_BYTES;
    } finally {
      closeSync(file);
      rmSync(path, { force: true });
    }
  } catch {
    return false;
  }
}

/** 0 when the file does not exist. */
function dataFileBytes(folder: string): number {
  return statSync(join(folder, DATA_FILE), { throwIfNoEntry: false })?.size ?? 0;
}
