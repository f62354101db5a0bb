/**
 * The data folder: its lock, its LMDB file and its three tables. A write resolves when it is on the disk. We keep LMDB's
 * own order of sync (pages, then the meta page, then the answer) instead of lmdb-js's overlapping one, which acknowledges
 * although the last of its writes failed (`mdb_txn_commit` drops that error); alone it was no slower.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
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
import { open, type Database, type RootDatabase } from "lmdb";
import { messageOf } from "#base";
import { StoreErrors, type LeaseId, type Revision } from "../types.ts";
import {
  FORMAT_VERSION,
  META,
  decodeMeta,
  decodeMeta1,
  decodeRow,
  decodeRow1,
  encodeMeta,
  encodeRow,
  leaseKey,
  nameOf,
  revKey,
  type Change,
  type Row,
} from "./layout.ts";
import { lockFolder } from "./lock.ts";
import { PAGE_BYTES } from "./page.ts";
import { Pages } from "./pages.ts";
import { finishSwap } from "./swap.ts";
import { UnknownFormat, verifyFile } from "./verify.ts";
import { Witness, WITNESS_FILE } from "./witness.ts";

/** Records of an older format that one commit brings up to this one. */
const UPGRADE_RECORDS = 500;

/** Pages that LMDB may rightly leave off the end of its file, because its last transaction freed them again. */
const TAIL_PAGES_MAX = 256;

/** Says that a store was made here, so that a data file that is gone or empty is not taken for a new store. */
const IDENTITY_FILE = "identity";

/** Says the same beside the folder, under its name with this ending, so that a folder that is gone is noticed, too. */
const KEPT_BESIDE = ".id";

/** EFBIG, ENOSPC, EDQUOT and MDB_MAP_FULL. */
const FULL_CODES = new Set([27, 28, 122, -30792]);

/** What LMDB says of a failing device, and also of a write that the disk took only half of. */
const EIO = 5;

/** Bytes written to find out whether there is room: as much as a small commit and the pages that it frees take. */
const PROBE_BYTES = 1024 * 1024;

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
  /** Notes each commit. */
  readonly #witness: Witness;
  readonly #data: number;
  /** What was found when the file was checked, until it is loaded. */
  #changes: Change[] = [];

  /** @throws STORE_LOCKED, STORE_CORRUPT, STORE_FULL, STORE_UNAVAILABLE; nothing stays open then */
  static async open(folder: string): Promise<Disk> {
    makeFolder(folder);
    const lock = lockFolder(folder);
    let root: RootDatabase<Buffer, Buffer> | undefined;
    let torn: { length: number } | undefined;
    try {
      finishSwap(folder);
      torn = checkLength(folder);
      const { format, changes } = verified(folder);
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
      if (format !== FORMAT_VERSION) await (format === undefined ? disk.#initialize() : disk.#upgrade());
      disk.#witness.note();
      disk.#changes = changes;
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
    this.#data = openSync(join(folder, "data.mdb"), "r");
    this.#witness = new Witness(join(folder, WITNESS_FILE), this.#data);
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
      this.#witness.note();
    } catch (error) {
      const cause = await causeOf(error);
      const full = (cause as { code?: unknown }).code === EIO && !hasRoom(this.folder);
      throw full ? noSpace(this.folder, cause) : asStoreError(this.folder, cause);
    }
  }

  /** @throws STORE_CORRUPT */
  valueOf(change: Change): Buffer {
    return this.#decoding(() => {
      const key = revKey(change.modRevision, change.sub);
      const row = this.#rev.getBinary(key);
      if (!row) throw new Error(`${nameOf(change)} is gone`);
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

  /** Every change that is kept, in order of revision, once: they were read when the file was checked. */
  load(): readonly Change[] {
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  number(key: Buffer): number | undefined {
    const bytes = this.#meta.getBinary(key);
    return bytes && this.#decoding(() => decodeMeta(key, bytes));
  }

  /** Leases with their time in seconds. */
  leases(): { id: LeaseId; ttlSeconds: number }[] {
    const start = leaseKey("");
    const found: { id: LeaseId; ttlSeconds: number }[] = [];
    for (const { key, value } of this.#meta.getRange({ start })) {
      if (!key.subarray(0, start.length).equals(start)) break;
      found.push({
        id: key.toString("latin1", start.length),
        ttlSeconds: this.#decoding(() => decodeMeta(key, value)),
      });
    }
    return found;
  }

  sizeBytes(): number {
    return fstatSync(this.#data).size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#root.close();
    this.#witness[Symbol.dispose]();
    closeSync(this.#data);
    this.#lock[Symbol.dispose]();
  }

  async #initialize(): Promise<void> {
    await this.write({
      changes: [],
      meta: [{ key: META.format, value: encodeMeta(META.format, FORMAT_VERSION) }],
      forgotten: [],
    });
    const file = openSync(join(this.folder, IDENTITY_FILE), "w", 0o600);
    writeSync(file, `posthouse store, format ${FORMAT_VERSION}\n`);
    fsyncSync(file);
    closeSync(file);
  }

  /**
   * Brings a store of format 1 up to this one: its records get their checksums. A crash on the way leaves a store of format 1 with
   * some records that have them, from which the next start goes on.
   */
  async #upgrade(): Promise<void> {
    let start = revKey(0, 0);
    for (;;) {
      const rows = [...this.#rev.getRange({ start, limit: UPGRADE_RECORDS })];
      const last = rows.at(-1);
      if (!last) break;
      await this.#commit(() => {
        for (const { key, value } of rows) {
          const older = decodeRow1(key, value);
          if (!older) continue;
          const { row, head } = encodeRow(older.change, older.value);
          void this.#rev.put(key, row);
          void this.#idx.put(key, head);
        }
      });
      start = Buffer.concat([last.key, Buffer.from([0])]);
    }
    const numbers = [...this.#meta.getRange({})].filter(({ key }) => !key.equals(META.format));
    await this.#commit(() => {
      for (const { key, value } of numbers) void this.#meta.put(key, encodeMeta(key, decodeMeta1(key, value)));
      void this.#meta.put(META.format, encodeMeta(META.format, FORMAT_VERSION));
    });
  }

  async #commit(change: () => void): Promise<void> {
    try {
      await this.#root.batch(change);
      this.#witness.note();
    } catch (error) {
      throw asStoreError(this.folder, await causeOf(error));
    }
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

/** Why a store that is about to be made is not the first one here; undefined when it is, or when there is one. */
export function lostStore(folder: string): string | undefined {
  const beside = `${folder}${KEPT_BESIDE}`;
  if (!existsSync(beside) || existsSync(join(folder, "data.mdb")) || existsSync(join(folder, IDENTITY_FILE)))
    return undefined;
  return `a store was kept in ${folder}, and it is gone: an empty one is made there now. If that is not what you want, stop, and restore the folder from a backup or mount its disk`;
}

/** Notes that a store is kept in the folder. A disk that is full or read only is no reason not to start. */
export function keepBeside(folder: string): void {
  const beside = `${folder}${KEPT_BESIDE}`;
  if (existsSync(beside)) return;
  try {
    writeFileSync(beside, `A posthouse store is kept in ${folder}.\n`, { mode: 0o600 });
  } catch {
    // It is noted at the next start.
  }
}

/** Why writes would be lost: the data file was removed while it is open. Undefined while it is there. */
export function removedStore(folder: string): Error | undefined {
  if (existsSync(join(folder, "data.mdb"))) return undefined;
  return StoreErrors.UNAVAILABLE(
    `The data file of the store in "${folder}" was removed while it is in use, so what is written would be lost. Stop this process, restore the folder from a backup, and start again.`,
  );
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

/** What the file holds, if it is what was written. @throws STORE_CORRUPT */
function verified(folder: string): ReturnType<typeof verifyFile> {
  const path = join(folder, "data.mdb");
  if (!existsSync(path) || statSync(path).size === 0) return { format: undefined, changes: [] };
  try {
    return verifyFile(folder);
  } catch (error) {
    if (error instanceof UnknownFormat) {
      throw StoreErrors.CORRUPT(
        `The data folder "${folder}" has format ${error.format}, and this program reads format ${FORMAT_VERSION}; open it with the program that wrote it.`,
      );
    }
    // A defect of ours is not damage.
    if (error instanceof TypeError || error instanceof ReferenceError) throw error;
    throw corrupt(folder, messageOf(error), error);
  }
}

/**
 * Compares the file's length with what its newest meta page says, because LMDB maps the file and a read beyond its end
 * kills the process. @returns its length when a few pages are missing at the end; they are then pages of zeros, which is damage only
 * where one of them is in use
 */
function checkLength(folder: string): { length: number } | undefined {
  const path = join(folder, "data.mdb");
  const length = existsSync(path) ? statSync(path).size : 0;
  if (length === 0) {
    if (!existsSync(join(folder, IDENTITY_FILE))) return undefined;
    throw corrupt(folder, "a store was made here, but its data file is gone");
  }
  const file = openSync(path, "r");
  try {
    const lastPage = Math.max(...new Pages(file).metas().map((meta) => meta?.lastPage ?? -1));
    if (lastPage < 0) throw corrupt(folder, "data.mdb has no page that describes it");
    const expected = (lastPage + 1) * PAGE_BYTES;
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
    `No space is left for the store in "${folder}". This write was not kept; reads go on. Free space on its disk, or raise its quota or file size limit; writes then work again without a restart.`,
    { cause },
  );
}

/**
 * Whether the data file could grow by what a commit needs. A file of its own is written, as far from its start as the data file is
 * long, so that limits of a file's size are met as well as a full disk; the data file is left alone.
 */
export function hasRoom(folder: string): boolean {
  const path = join(folder, "room");
  try {
    const file = openSync(path, "w", 0o600);
    try {
      const { size } = statSync(join(folder, "data.mdb"));
      return writeSync(file, Buffer.alloc(PROBE_BYTES, 1), 0, PROBE_BYTES, size) === PROBE_BYTES;
    } finally {
      closeSync(file);
      rmSync(path, { force: true });
    }
  } catch {
    return false;
  }
}

function corrupt(folder: string, what: string, cause?: unknown): Error {
  return StoreErrors.CORRUPT(
    `The data folder "${folder}" is damaged: ${what}. Restore it from a backup, or keep what is whole: "posthouse store repair" with the same --data lists what it drops (--dry-run only lists). Moved away, it makes room for an empty store.`,
    { cause },
  );
}
