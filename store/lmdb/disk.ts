/**
 * The data folder: its lock, its LMDB file and its three tables. A write resolves when it is on the disk. We keep LMDB's
 * own order of sync (pages, then the meta page, then the answer) instead of lmdb-js's overlapping one, which acknowledges
 * although the last of its writes failed (`mdb_txn_commit` drops that error); alone it was no slower.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { open, type Database, type RootDatabase } from "lmdb";
import { messageOf } from "#base";
import { StoreErrors, type LeaseId, type Revision } from "../types.ts";
import {
  FORMAT_VERSION,
  META,
  decodeNumber,
  decodeRow,
  encodeNumber,
  leaseKey,
  revKey,
  type Change,
  type Row,
} from "./layout.ts";
import { lockFolder } from "./lock.ts";

/** Twice the usual: fewer, fuller pages for values of about a kilobyte, and a longer longest key (4026 bytes). */
const PAGE_BYTES = 8192;

/** Pages that LMDB may rightly leave off the end of its file, because its last transaction freed them again. */
const TAIL_PAGES_MAX = 256;

/** Says that a store was made here, so that a data file that is gone or empty is not taken for a new store. */
const IDENTITY_FILE = "identity";

/** EFBIG, ENOSPC, EDQUOT and MDB_MAP_FULL. */
const FULL_CODES = new Set([27, 28, 122, -30792]);

/** What LMDB says of a failing device, and also of a write that the disk took only half of. */
const EIO = 5;

/** Bytes written beyond the end of the file to find out which of the two it was. */
const PROBE_BYTES = 256 * 1024;

/** Everything that one commit writes. */
export interface Writes {
  readonly changes: readonly ({ readonly change: Change } & Pick<Row, "row" | "head">)[];
  /** Of the meta table; without a value the key is removed. */
  readonly meta: readonly { readonly key: Buffer; readonly value?: Buffer }[];
  /** Changes that compaction forgot. */
  readonly forgotten: readonly Change[];
}

type Table = Database<Buffer, Buffer>;

export class Disk implements AsyncDisposable {
  readonly folder: string;
  readonly #lock: Disposable;
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #rev: Table;
  readonly #idx: Table;
  readonly #meta: Table;

  /** @throws STORE_LOCKED, STORE_CORRUPT, STORE_FULL, STORE_UNAVAILABLE; nothing stays open then */
  static async open(folder: string): Promise<Disk> {
    makeFolder(folder);
    const lock = lockFolder(folder);
    let root: RootDatabase<Buffer, Buffer> | undefined;
    let torn: { length: number } | undefined;
    try {
      torn = checkFile(folder);
      root = open<Buffer, Buffer>({
        path: folder,
        pageSize: PAGE_BYTES,
        overlappingSync: false,
        // Our commits are explicit batches; gathering a turn's writes as well brings lmdb-js #294.
        eventTurnBatching: false,
        maxDbs: 4,
        keyEncoding: "binary",
        encoding: "binary",
      });
      const disk = new Disk(folder, lock, root);
      await disk.#checkFormat();
      // Pages are missing that may have been free ones: only reading all tells.
      if (torn) disk.load((change) => disk.valueOf(change));
      return disk;
    } catch (error) {
      await root?.close();
      if (torn) truncateSync(join(folder, "data.mdb"), torn.length);
      lock[Symbol.dispose]();
      throw asStoreError(folder, error);
    }
  }

  private constructor(folder: string, lock: Disposable, root: RootDatabase<Buffer, Buffer>) {
    this.folder = folder;
    this.#lock = lock;
    this.#root = root;
    const table = (name: string): Table => root.openDB({ name, keyEncoding: "binary", encoding: "binary" });
    this.#rev = table("rev");
    this.#idx = table("idx");
    this.#meta = table("meta");
  }

  /** All of it or nothing, on the disk when it resolves. One call at a time. @throws STORE_FULL, STORE_UNAVAILABLE */
  async write({ changes, meta, forgotten }: Writes): Promise<void> {
    const appended: Promise<boolean>[] = [];
    try {
      const committed = this.#root.batch(() => {
        for (const { change, row, head } of changes) {
          const key = revKey(change.modRevision, change.sub);
          appended.push(append(this.#rev, key, row), append(this.#idx, key, head));
        }
        for (const { key, value } of meta) void (value ? this.#meta.put(key, value) : this.#meta.remove(key));
        for (const change of forgotten) {
          const key = revKey(change.modRevision, change.sub);
          void this.#rev.remove(key);
          void this.#idx.remove(key);
        }
      });
      const [, ...results] = await Promise.all([committed, ...appended]);
      // An append that is not beyond the last key is refused without failing the commit.
      if (results.includes(false)) throw new Error("a change was not the last of its table");
    } catch (error) {
      const cause = await causeOf(error);
      const full = (cause as { code?: unknown }).code === EIO && isFull(join(this.folder, "data.mdb"));
      throw full ? noSpace(this.folder, cause) : asStoreError(this.folder, cause);
    }
  }

  /** @throws STORE_CORRUPT */
  valueOf(change: Change): Buffer {
    return this.#decoding(() => {
      const key = revKey(change.modRevision, change.sub);
      const row = this.#rev.getBinary(key);
      if (!row) throw new Error(`no record of "${change.key}" at revision ${change.modRevision}`);
      return decodeRow(key, row).value;
    });
  }

  /** Changes from a revision on, in order, until `take` has had enough and returns false. @throws STORE_CORRUPT */
  scan(from: Revision, take: (change: Change, value: Buffer) => boolean): void {
    this.#decoding(() => {
      for (const { key, value } of this.#rev.getRange({ start: revKey(from, 0) })) {
        const row = decodeRow(key, value);
        if (!take(row.change, row.value)) return;
      }
    });
  }

  /** Every change that is kept, in order of revision. @throws STORE_CORRUPT */
  load(take: (change: Change) => void): void {
    this.#decoding(() => {
      for (const { key, value } of this.#idx.getRange({})) take(decodeRow(key, value).change);
    });
  }

  number(key: Buffer): number | undefined {
    const bytes = this.#meta.getBinary(key);
    return bytes && decodeNumber(bytes);
  }

  /** Leases with their time in seconds. */
  leases(): { id: LeaseId; ttlSeconds: number }[] {
    const start = leaseKey("");
    const found: { id: LeaseId; ttlSeconds: number }[] = [];
    for (const { key, value } of this.#meta.getRange({ start })) {
      if (!key.subarray(0, start.length).equals(start)) break;
      found.push({ id: key.toString("latin1", start.length), ttlSeconds: decodeNumber(value) });
    }
    return found;
  }

  sizeBytes(): number {
    return statSync(join(this.folder, "data.mdb")).size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#root.close();
    this.#lock[Symbol.dispose]();
  }

  async #checkFormat(): Promise<void> {
    const format = this.number(META.format);
    if (format === FORMAT_VERSION) return;
    if (format !== undefined) {
      throw corrupt(
        this.folder,
        `it has format ${format}, and this program reads format ${FORMAT_VERSION}; open it with the program that wrote it`,
      );
    }
    await this.write({ changes: [], meta: [{ key: META.format, value: encodeNumber(FORMAT_VERSION) }], forgotten: [] });
    const file = openSync(join(this.folder, IDENTITY_FILE), "w", 0o600);
    writeSync(file, `posthouse store, format ${FORMAT_VERSION}\n`);
    fsyncSync(file);
    closeSync(file);
  }

  #decoding<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (StoreErrors.CORRUPT.is(error)) throw error;
      throw corrupt(this.folder, messageOf(error), error);
    }
  }
}

function append(table: Table, key: Buffer, value: Buffer): Promise<boolean> {
  // lmdb-js takes the options here; its types know them for `putSync` only.
  const put = table.put.bind(table) as unknown as (key: Buffer, value: Buffer, options: object) => Promise<boolean>;
  return put(key, value, { append: true });
}

/** Only its owner reads a data folder: it holds tokens and secrets. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o700);
  } catch (error) {
    throw StoreErrors.UNAVAILABLE(`The data folder "${folder}" cannot be made: ${messageOf(error)}.`, { cause: error });
  }
}

/**
 * Compares the file's length with what its newest meta page says, because LMDB maps the file and a read beyond its end
 * kills the process. @returns its length when a few pages are missing at the end; they are then pages of zeros
 * @see MDB_meta in lmdb/libraries/liblmdb/mdb.c
 */
function checkFile(folder: string): { length: number } | undefined {
  const path = join(folder, "data.mdb");
  const length = existsSync(path) ? statSync(path).size : 0;
  if (length === 0) {
    if (!existsSync(join(folder, IDENTITY_FILE))) return undefined;
    throw corrupt(folder, "a store was made here, but its data file is gone");
  }
  const file = openSync(path, "r");
  try {
    let newest: { transaction: bigint; lastPage: bigint } | undefined;
    for (const offset of [0, PAGE_BYTES]) {
      const meta = Buffer.alloc(160);
      const read = readSync(file, meta, 0, meta.length, offset);
      if (read < meta.length || meta.readUInt32LE(24) !== 0xbeefc0de || meta.readUInt32LE(48) !== PAGE_BYTES) continue;
      const transaction = meta.readBigUInt64LE(152);
      if (!newest || transaction > newest.transaction) newest = { transaction, lastPage: meta.readBigUInt64LE(144) };
    }
    if (!newest) throw corrupt(folder, "data.mdb has no page that describes it");
    const expected = (Number(newest.lastPage) + 1) * PAGE_BYTES;
    if (length >= expected) return undefined;
    if (expected - length > TAIL_PAGES_MAX * PAGE_BYTES) {
      throw corrupt(folder, `data.mdb has ${length} bytes of ${expected}; its end is missing`);
    }
    // A page of zeros is an error to LMDB; a page that is not there is a crash.
    truncateSync(path, expected);
    return { length };
  } finally {
    closeSync(file);
  }
}

/** lmdb-js rejects with a stand-in whose `commitError` rejects with the cause. */
async function causeOf(failure: unknown): Promise<unknown> {
  try {
    await (failure as { commitError?: Promise<never> }).commitError;
    return failure;
  } catch (cause) {
    return cause;
  }
}

function asStoreError(folder: string, error: unknown): Error {
  if (StoreErrors.CORRUPT.is(error) || StoreErrors.FULL.is(error) || StoreErrors.UNAVAILABLE.is(error)) return error;
  const code = (error as { code?: unknown }).code;
  if (typeof code === "number" && FULL_CODES.has(code)) {
    return noSpace(folder, error);
  }
  // LMDB's own codes for a file that is not what it should be.
  if (typeof code === "number" && code <= -30793 && code >= -30799) return corrupt(folder, messageOf(error), error);
  return StoreErrors.UNAVAILABLE(`Writing to "${folder}" failed: ${messageOf(error)}.`, { cause: error });
}

function noSpace(folder: string, cause: unknown): Error {
  return StoreErrors.FULL(
    `No space is left for "${folder}": ${messageOf(cause)}. Nothing of this write was kept; make room and start again.`,
    { cause },
  );
}

/** Whether a file may not grow. Called when nothing will be written to it any more. */
function isFull(path: string): boolean {
  const file = openSync(path, "r+");
  const { size } = statSync(path);
  try {
    return writeSync(file, Buffer.alloc(PROBE_BYTES), 0, PROBE_BYTES, size) < PROBE_BYTES;
  } catch (error) {
    return ["ENOSPC", "EFBIG", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? "");
  } finally {
    truncateSync(path, size);
    closeSync(file);
  }
}

function corrupt(folder: string, what: string, cause?: unknown): Error {
  return StoreErrors.CORRUPT(
    `The data folder "${folder}" cannot be read: ${what}. Restore it from a backup, or move it away to begin anew.`,
    { cause },
  );
}
