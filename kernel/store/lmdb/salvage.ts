/**
 * Reads the remains of a damaged data file. A record is undamaged when its checksums match, and it counts when its page belongs to the
 * newest reachable state of the file: a leaf of its tree, or, where a tree is damaged, a leaf that belongs to no tree and is not listed
 * as free. A free page may have deleted records, so only the durations of leases are taken from there, because they never change.
 */
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import type { LeaseId, Revision } from "../types.ts";
import {
  DATA_FILE,
  decodeMeta,
  decodeRow,
  FORMAT_VERSION,
  leaseKey,
  META,
  recordNameOf,
  recordPlaceOf,
  readRecord,
  revKey,
  type Change,
} from "./layout.ts";
import { Damage, type Meta, type Node, type Tree } from "./page.ts";
import { Pages } from "./pages.ts";
import { LeafReader, leavesOf } from "./scan.ts";
import { UnknownFormat } from "./verify.ts";
import { likelyStates, WITNESS_FILE } from "./witness.ts";

/** Most revisions that one transaction of LMDB can have written: those of one commit. */
const REVISIONS_PER_COMMIT_MAX = 1024;
/** Most records of a page. */
const RECORDS_PER_PAGE_MAX = 200;
/** Seconds for a lease whose own time is lost: time for its owner to renew it. */
const LOST_LEASE_SECONDS = 3600;

export interface Dropped {
  /** Absent: it cannot be read any more. */
  readonly key?: string;
  readonly revision?: Revision;
  /** `rev` holds the changes, `idx` their heads, `meta` the leases. Absent: unknown. */
  readonly table?: string;
  readonly page?: number;
  readonly reason: string;
}

/** A record, and where it is. */
interface Found {
  readonly change: Change;
  /** Undefined: only its head was found. */
  at: { readonly page: number; readonly index: number } | undefined;
}

interface State {
  readonly pages: Pages;
  readonly meta: Meta;
  readonly trees: ReadonlyMap<string, Tree>;
  /** Transactions that came after it, at the most. */
  readonly lost: number;
}

export class Salvage implements Disposable {
  /** The damage. Each text names the page. */
  readonly damage: string[] = [];
  readonly dropped: Dropped[] = [];
  /** Changes that are unreadable, so that their keys are unknown. */
  readonly unreadable: number;
  /** The last change of every existing key, in order of revision. */
  readonly kept: readonly Change[];
  /** Seconds of every lease. */
  readonly leases = new Map<LeaseId, number>();
  /** Higher than any revision that the store has had. */
  readonly revision: Revision;
  readonly #file: number;
  readonly #reader: LeafReader;
  readonly #found = new Map<string, Found>();
  /** Leases on pages that are no longer in use. */
  readonly #formerLeases = new Map<LeaseId, number>();
  /** The numbers of the meta table. */
  readonly #numbers = new Map<string, number>();
  /** Records whose head is damaged, by their place. */
  readonly #spoiled = new Map<string, Dropped>();

  /** @throws Damage when no state of the file can be reached; UnknownFormat */
  constructor(folder: string) {
    this.#file = openSync(join(folder, DATA_FILE), "r");
    try {
      this.#reader = new LeafReader(this.#file);
      const state = this.#newestState(join(folder, WITNESS_FILE));
      const damagedPages = this.#readLeaves(state);
      this.unreadable = this.#countUnreadable(state);
      this.kept = this.#choose();
      this.#keepLeases();
      this.#listPages(damagedPages, state.lost);
      this.revision = this.#revisionAfter(state, damagedPages);
    } catch (error) {
      closeSync(this.#file);
      throw error;
    }
  }

  /** Reads the value of a kept change. @throws Error when it has changed since it was found */
  valueOf(change: Change): Buffer {
    const at = this.#found.get(idOf(change))?.at;
    if (!at) throw new Damage(`${recordNameOf(change)} is gone`);
    const node = this.#reader.record(at.page, at.index);
    return decodeRow(node.key, this.#reader.valueOf(node)).value;
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #newestState(witness: string): State {
    const { states, seen, unsure } = likelyStates(new Pages(this.#file).metas(), witness);
    for (const meta of states) {
      const pages = new Pages(this.#file);
      const trees = pages.isNewest(meta) ? this.#treesOf(pages, meta) : undefined;
      if (!trees) continue;
      // A flipped bit can make a page claim any transaction, but only one of the two pages can be ahead.
      const ahead = unsure || meta !== states[0] ? 1 : 0;
      return { pages, meta, trees, lost: Math.max(ahead, seen - meta.transaction) };
    }
    throw new Damage("neither of its two meta pages leads to its tables");
  }

  #treesOf(pages: Pages, meta: Meta): ReadonlyMap<string, Tree> | undefined {
    try {
      const trees = pages.trees(meta);
      return ["rev", "idx", "meta"].every((name) => trees.has(name)) ? trees : undefined;
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      this.damage.push(error.message);
      return undefined;
    }
  }

  /** Takes the records of every leaf that counts, and returns the damaged pages. */
  #readLeaves({ pages, meta, trees }: State): Dropped[] {
    const damaged: Dropped[] = [];
    const sound = new Set<number>();
    for (const [name, tree] of trees) {
      pages.walk(name, tree, meta, {
        each: () => {},
        onLeaf: (page) => void sound.add(page),
        onDamage: ({ message }, page) => {
          this.damage.push(message);
          damaged.push({ table: name, ...(page === undefined ? {} : { page }), reason: message });
        },
      });
    }
    let free: ReadonlySet<number> | undefined;
    try {
      free = pages.checkFree(meta);
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      this.damage.push(error.message);
    }
    const isOrphan = (page: number) => damaged.length > 0 && free !== undefined && !free.has(page);
    for (const page of leavesOf(this.#file, meta)) {
      const user = pages.userOf(page);
      if (user === "main" || user === "free") continue;
      const counts = sound.has(page) || isOrphan(page);
      const count = this.#reader.count(page);
      for (let index = 0; index < count; index++) this.#take(page, index, { table: user, counts });
    }
    return damaged;
  }

  #take(page: number, index: number, { table, counts }: { table: string | undefined; counts: boolean }): void {
    let node: Node | undefined;
    let value: Buffer;
    try {
      node = this.#reader.record(page, index);
      if (node.isTree || (!counts && node.big)) return;
      value = this.#reader.valueOf(node);
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      if (node && counts) this.#spoil(node, table, error.message);
      return;
    }
    const name = node.key.toString("latin1");
    if (name === "format" || name === "revision" || name === "compacted" || name.startsWith(META.leasePrefix)) {
      this.#takeNumber(name, value, counts);
      return;
    }
    const record = counts ? readRecord(node.key, value) : undefined;
    if (!record) {
      if (counts) this.#spoil(node, table, `${recordPlaceOf(node.key)} does not match its checksum`);
      return;
    }
    const id = idOf(record.change);
    const known = this.#found.get(id) ?? { change: record.change, at: undefined };
    if (record.isWhole) known.at ??= { page, index };
    this.#found.set(id, known);
  }

  #takeNumber(name: string, value: Buffer, counts: boolean): void {
    let number: number;
    try {
      number = decodeMeta(Buffer.from(name, "latin1"), value);
    } catch {
      // Format 1 has no checksums to recognize undamaged records.
      if (counts && name === "format" && value.length === 8) throw new UnknownFormat(1);
      return;
    }
    if (name.startsWith(META.leasePrefix)) {
      const id = name.slice(META.leasePrefix.length);
      (counts ? this.leases : this.#formerLeases).set(id, number);
    } else if (counts) {
      if (name === "format" && number !== FORMAT_VERSION) throw new UnknownFormat(number);
      this.#numbers.set(name, number);
    }
  }

  #spoil({ key, page }: Node, table: string | undefined, reason: string): void {
    if (key.length !== 12) return;
    const place = { ...(table === undefined ? {} : { table }), page, reason };
    this.#spoiled.set(key.toString("hex"), place);
  }

  /** Number of changes that the trees claim, beyond those that were found. */
  #countUnreadable({ trees, meta }: State): number {
    const claimed = Math.max(trees.get("rev")?.entries ?? 0, trees.get("idx")?.entries ?? 0);
    return Math.min(Math.max(claimed - this.#found.size, 0), meta.lastPage * RECORDS_PER_PAGE_MAX);
  }

  /** The last change of each key, except deletes. A change with a damaged value is dropped, whatever the key's earlier value was. */
  #choose(): Change[] {
    const last = new Map<string, Found>();
    for (const found of this.#found.values()) {
      const known = last.get(found.change.key);
      if (!known || isAfter(found.change, known.change)) last.set(found.change.key, found);
    }
    const kept: Change[] = [];
    for (const { change, at } of last.values()) {
      if (change.version === 0) continue;
      if (at) kept.push(change);
      else {
        const { key, modRevision: revision } = change;
        this.dropped.push({ key, revision, table: "rev", reason: "its value is damaged" });
      }
    }
    return kept.sort((a, b) => (isAfter(a, b) ? 1 : -1));
  }

  /** A lease with a damaged record is taken from a former page, or gets some time for its owner to renew it. */
  #keepLeases(): void {
    for (const { lease } of this.kept) {
      if (lease === undefined || this.leases.has(lease)) continue;
      const known = this.#formerLeases.get(lease);
      this.leases.set(lease, known ?? LOST_LEASE_SECONDS);
      if (known !== undefined) continue;
      const reason = `its time to live is damaged; its keys stay for ${LOST_LEASE_SECONDS} s unless its owner renews it`;
      this.dropped.push({ key: leaseKey(lease).toString("latin1"), table: "meta", reason });
    }
  }

  /** Lists dropped records of unknown keys, by their place, and dropped pages. */
  #listPages(damaged: readonly Dropped[], lost: number): void {
    if (this.unreadable > 0) {
      for (const [place, spoiled] of this.#spoiled) if (!this.#found.has(place)) this.dropped.push(spoiled);
      this.dropped.push(...damaged.filter(({ table }) => table !== "meta"));
    }
    this.dropped.push(...damaged.filter(({ table }) => table === "meta"));
    if (lost > 0) this.dropped.push({ reason: "the last transaction is unreachable; its writes are missing" });
  }

  #revisionAfter({ meta, lost }: State, damaged: readonly Dropped[]): Revision {
    let last = Math.max(this.#numbers.get("revision") ?? 0, this.#numbers.get("compacted") ?? 0);
    for (const { change } of this.#found.values()) last = Math.max(last, change.modRevision);
    // The last changes may have been deletes that are compacted. Then only the meta table has their revision.
    const isGuess = !this.#numbers.has("revision") && damaged.some(({ table }) => table === "meta");
    const transactions = isGuess ? meta.transaction : lost;
    return last + this.unreadable + transactions * REVISIONS_PER_COMMIT_MAX + 1;
  }
}

/** A change's place in both tables. */
function idOf({ modRevision, sub }: Change): string {
  return revKey(modRevision, sub).toString("hex");
}

function isAfter(a: Change, b: Change): boolean {
  return a.modRevision > b.modRevision || (a.modRevision === b.modRevision && a.sub > b.sub);
}
