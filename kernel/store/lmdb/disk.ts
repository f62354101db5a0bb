/**
 * The data folder: its lock, its LMDB file and its three tables. A write resolves when it is on the disk. The order of syncs is LMDB's own
 * (pages, then the meta page, then the result) and not lmdb-js's overlapping one, which acknowledges although the last of its writes
 * failed (`mdb_txn_commit` drops that error). LMDB's order was not slower.
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { open, type Database, type RootDatabase } from "lmdb";
import { messageOf } from "#base";
import { StoreErrors, type LeaseId, type Revision } from "../types.ts";
import { asStoreError, causeOf, corrupt, noSpace } from "./errors.ts";
import { checkLength, hasRoom, makeFolder, restoreLength, verifiedContents, writeIdentity } from "./folder.ts";
import {
  DATA_FILE,
  FORMAT_VERSION,
  META,
  decodeMeta,
  decodeMeta1,
  decodeRow,
  decodeRow1,
  encodeMeta,
  encodeRow,
  leaseKey,
  recordNameOf,
  revKey,
  type Change,
  type Row,
} from "./layout.ts";
import { lockFolder } from "./lock.ts";
import { PAGE_BYTES } from "./page.ts";
import { finishSwap } from "./swap.ts";
import { Witness, WITNESS_FILE } from "./witness.ts";

/** Records of an older format that one commit brings up to this one. */
const UPGRADE_RECORDS = 500;

/** LMDB's code for a failing device, and also for a write that the disk took only half of. */
const EIO = 5;

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
  /** The changes that verification of the file found, until they are loaded. */
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
      const { format, changes } = verifiedContents(folder);
      root = open<Buffer, Buffer>({
        path: folder,
        pageSize: PAGE_BYTES,
        overlappingSync: false,
        // Commits are explicit batches. Batching a turn's writes as well would cause lmdb-js #294.
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
      if (torn) restoreLength(folder, torn);
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
    this.#data = openSync(join(folder, DATA_FILE), "r");
    this.#witness = new Witness(join(folder, WITNESS_FILE), this.#data);
  }

  /** Writes all or nothing, on the disk when it resolves. One call at a time. @throws STORE_FULL, STORE_UNAVAILABLE */
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
      // LMDB rejects an append before the last key without failing the commit.
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
      if (!row) throw new Error(`${recordNameOf(change)} is gone`);
      return decodeRow(key, row).value;
    });
  }

  /** Changes from a revision on, in order, until `take` returns false. @throws STORE_CORRUPT */
  scan(from: Revision, take: (change: Change, value: Buffer) => boolean): void {
    this.#decoding(() => {
      for (const { key, value } of this.#rev.getRange({ start: revKey(from, 0) })) {
        const row = decodeRow(key, value);
        if (!take(row.change, row.value)) return;
      }
    });
  }

  /** All changes, in order of revision. Only once, because they were read when the file was verified. */
  load(): readonly Change[] {
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  number(key: Buffer): number | undefined {
    const bytes = this.#meta.getBinary(key);
    return bytes && this.#decoding(() => decodeMeta(key, bytes));
  }

  /** All leases, with their time to live in seconds. */
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
    writeIdentity(this.folder);
  }

  /**
   * Upgrades a store of format 1 to this format: its records get checksums. A crash on the way leaves a store of format 1 in which some
   * records have checksums; the next start continues from there.
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
  // lmdb-js accepts the options here, although its types have them for `putSync` only.
  const put = table.put.bind(table) as unknown as (key: Buffer, value: Buffer, options: object) => Promise<boolean>;
  return put(key, value, { append: true });
}
