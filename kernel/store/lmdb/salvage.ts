/**
 * What can still be read of a damaged data file. A record is whole when its checksums say so, and it counts when its page belongs to the
 * newest state of the file that can be reached: a leaf to which its tree leads, or, where a tree is damaged, a leaf that no tree leads
 * to and that is not listed as free. A free page may hold what was deleted since, so nothing is taken from there but how long a
 * lease is, which never changes.
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
  nameOf,
  placeOf,
  readRecord,
  revKey,
  type Change,
} from "./layout.ts";
import { Damage, type Meta, type Node, type Tree } from "./page.ts";
import { Pages } from "./pages.ts";
import { LeafReader, leavesOf } from "./scan.ts";
import { UnknownFormat } from "./verify.ts";
import { likelyStates, WITNESS_FILE } from "./witness.ts";

/** Revisions that one transaction of LMDB can have written at the most: those of one commit. */
const REVISIONS_PER_COMMIT_MAX = 1024;
/** Records that a page holds at the most. */
const RECORDS_PER_PAGE_MAX = 200;
/** What a lease gets whose own time is not known any more: time for its owner to renew it. */
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
  /** What is wrong, in words that name the page. */
  readonly damage: string[] = [];
  readonly dropped: Dropped[] = [];
  /** Changes that cannot be read any more, so that their keys are not known. */
  readonly unreadable: number;
  /** The last change of every key that is there, in order of revision. */
  readonly kept: readonly Change[];
  /** Seconds of every lease. */
  readonly leases = new Map<LeaseId, number>();
  /** Beyond any revision that the store has had. */
  readonly revision: Revision;
  readonly #file: number;
  readonly #reader: LeafReader;
  readonly #found = new Map<string, Found>();
  /** Leases on pages that are in use no longer. */
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

  /** Reads a value that was kept. @throws Error when it is no longer what was found */
  valueOf(change: Change): Buffer {
    const at = this.#found.get(idOf(change))?.at;
    if (!at) throw new Damage(`${nameOf(change)} is gone`);
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
      // A byte that turned may claim any transaction, but of the two pages only one can be ahead.
      const ahead = unsure || meta !== states[0] ? 1 : 0;
      return { pages, meta, trees, lost: Math.max(ahead, seen - meta.transaction) };
    }
    throw new Damage("neither of the two pages that describe it leads to its tables");
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

  /** Takes the records of every leaf that counts, and returns the pages that are damaged. */
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
      if (counts) this.#spoil(node, table, `${placeOf(node.key)} does not match its checksum`);
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
      // Format 1 has no checksums that would tell which records are whole.
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

  /** Changes that the trees claim to have, beyond those that were found. */
  #countUnreadable({ trees, meta }: State): number {
    const claimed = Math.max(trees.get("rev")?.entries ?? 0, trees.get("idx")?.entries ?? 0);
    return Math.min(Math.max(claimed - this.#found.size, 0), meta.lastPage * RECORDS_PER_PAGE_MAX);
  }

  /** The last change of each key, unless it deleted it; those whose value is damaged are dropped, whatever the key was before. */
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

  /** A lease whose record is damaged is taken from a former page, or gets some time for its owner to renew it. */
  #keepLeases(): void {
    for (const { lease } of this.kept) {
      if (lease === undefined || this.leases.has(lease)) continue;
      const known = this.#formerLeases.get(lease);
      this.leases.set(lease, known ?? LOST_LEASE_SECONDS);
      if (known !== undefined) continue;
      const reason = `its length is damaged; its keys stay for ${LOST_LEASE_SECONDS} s unless its owner renews it`;
      this.dropped.push({ key: leaseKey(lease).toString("latin1"), table: "meta", reason });
    }
  }

  /** Lists what is dropped without its key being known: records by their place, and pages. */
  #listPages(damaged: readonly Dropped[], lost: number): void {
    if (this.unreadable > 0) {
      for (const [place, spoiled] of this.#spoiled) if (!this.#found.has(place)) this.dropped.push(spoiled);
      this.dropped.push(...damaged.filter(({ table }) => table !== "meta"));
    }
    this.dropped.push(...damaged.filter(({ table }) => table === "meta"));
    if (lost > 0) this.dropped.push({ reason: "the last transaction cannot be reached; what it wrote is missing" });
  }

  #revisionAfter({ meta, lost }: State, damaged: readonly Dropped[]): Revision {
    let last = Math.max(this.#numbers.get("revision") ?? 0, this.#numbers.get("compacted") ?? 0);
    for (const { change } of this.#found.values()) last = Math.max(last, change.modRevision);
    // The last changes may have been deletes that are forgotten; then only the number of the meta table told of them.
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
