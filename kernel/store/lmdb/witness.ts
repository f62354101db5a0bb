/**
 * A copy of the file's two meta pages after the last commit, in a file beside it. LMDB has no checksum for these pages and uses the newer
 * one, so a flipped bit would silently show an older state. Not synced: after a power failure the copy may be older than the data file,
 * but never newer.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import { Damage, type Meta, META_BYTES, META_PLACES, metaFrom } from "./page.ts";

/** Its name in the data folder. */
export const WITNESS_FILE = "commits";
const BYTES = 4 + 2 * META_BYTES;

export class Witness implements Disposable {
  readonly #file: number;
  readonly #data: number;
  readonly #bytes = Buffer.alloc(BYTES);
  /** From the start of the first page to the end of the second, because one read costs less than two. */
  readonly #pages = Buffer.alloc(META_PLACES[1] + META_BYTES - META_PLACES[0]);

  /** @param data the open data file */
  constructor(path: string, data: number) {
    this.#file = openSync(path, "a+", 0o600);
    closeSync(this.#file);
    this.#file = openSync(path, "r+");
    this.#data = data;
  }

  /** Call it after every commit. Failed writes are ignored, because an old witness only proves less. */
  note(): void {
    try {
      readSync(this.#data, this.#pages, 0, this.#pages.length, META_PLACES[0]);
      this.#pages.copy(this.#bytes, 4, 0, META_BYTES);
      this.#pages.copy(this.#bytes, 4 + META_BYTES, META_PLACES[1] - META_PLACES[0]);
      this.#bytes.writeUInt32BE(crc32(this.#bytes.subarray(4)), 0);
      writeSync(this.#file, this.#bytes, 0, BYTES, 0);
    } catch {
      // The disk may be full, or gone.
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** The two pages of the last copy; undefined when it is missing or damaged. */
function readWitness(path: string): [Buffer, Buffer] | undefined {
  let file;
  try {
    file = openSync(path, "r");
  } catch {
    return undefined;
  }
  try {
    const bytes = Buffer.alloc(BYTES);
    if (fstatSync(file).size !== BYTES || readSync(file, bytes, 0, BYTES, 0) < BYTES) return undefined;
    if (crc32(bytes.subarray(4)) !== bytes.readUInt32BE(0)) return undefined;
    return [bytes.subarray(4, 4 + META_BYTES), bytes.subarray(4 + META_BYTES)];
  } finally {
    closeSync(file);
  }
}

/**
 * The meta page that LMDB will use, if both are valid.
 * @throws Damage
 */
export function newestMeta(metas: readonly (Meta | undefined)[], path: string): Meta {
  const [first, second] = metas;
  if (!first || !second) throw new Damage(`page ${first ? 1 : 0}, a meta page, is damaged`);
  const [newest, older] = first.transaction >= second.transaction ? [first, second] : [second, first];
  // Transactions write the two pages in turn.
  if (newest.transaction - older.transaction !== 1 && newest.transaction > 1) {
    throw new Damage("the two meta pages are not from consecutive transactions");
  }
  const seen = readWitness(path);
  if (!seen) return newest;
  const seenNewest = Math.max(
    ...seen.map((bytes) => bytes.readUInt32LE(META_BYTES - 4) * 2 ** 32 + bytes.readUInt32LE(META_BYTES - 8)),
  );
  const same = (meta: Meta) => meta.bytes.equals(seen[meta.index]);
  if (newest.transaction < seenNewest) {
    throw new Damage(
      `its last transaction is ${newest.transaction}, but ${seenNewest} was already written. If you restored an older copy, delete the file "${path}"`,
    );
  }
  // A crash may have happened between the commit and its copy. The previous page must then be unchanged.
  const known =
    newest.transaction === seenNewest ? [newest, older] : newest.transaction === seenNewest + 1 ? [older] : [];
  const changed = known.find((meta) => !same(meta));
  if (changed) throw new Damage(`page ${changed.index}, a meta page, differs from the last write`);
  return newest;
}

export interface States {
  /** The most likely first: the pages of the witness before those of the file. */
  readonly states: readonly Meta[];
  /** The last transaction in the witness. */
  readonly seen: number;
  /** Whether a later transaction than the first state is possible. */
  readonly unsure: boolean;
}

/** The states of a damaged file that can be tried. */
export function likelyStates(metas: readonly (Meta | undefined)[], path: string): States {
  const seen = (readWitness(path) ?? []).flatMap((bytes, index) => metaFrom(bytes, index === 0 ? 0 : 1) ?? []);
  const found = metas.filter((meta) => meta !== undefined);
  // The sort is stable.
  const states = [...seen, ...found].sort((a, b) => b.transaction - a.transaction);
  const last = Math.max(0, ...seen.map(({ transaction }) => transaction));
  return { states, seen: last, unsure: seen.length === 0 && found.length < metas.length };
}
