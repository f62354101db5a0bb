/**
 * The pages of an LMDB file, read and checked without LMDB. LMDB maps its file and trusts it: a damaged page number or offset makes
 * it read beyond the map, which ends the process, or read other records than were written. So every page that LMDB would follow is
 * checked before LMDB opens the file: its own number and kind, the place of each node, the order of keys, the counts that its tree
 * claims, that no page is used twice, and that none in use is listed as free.
 * @see MDB_meta, MDB_db, MDB_page, MDB_node in lmdb/libraries/liblmdb/mdb.c
 */
import { fstatSync, readSync } from "node:fs";

/** Twice the usual: fewer, fuller pages for values of about a kilobyte, and a longer longest key (4026 bytes). */
export const PAGE_BYTES = 8192;

const HEADER_BYTES = 24;
const NODE_BYTES = 8;
/** What stands in a record whose value lies elsewhere. */
const BIG_BYTES = 24;
const NO_KEY = Buffer.alloc(0);
const DB_BYTES = 48;
/** The bytes of a meta page that LMDB goes by, from the file's magic to the transaction's number. */
const META_START = 24;
const META_END = 160;
export const META_BYTES = META_END - META_START;
/** Where the two are in the file. */
export const META_PLACES: readonly number[] = [META_START, PAGE_BYTES + META_START];
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const PAGE_BRANCH = 1;
const PAGE_LEAF = 2;
const PAGE_OVERFLOW = 4;
const PAGE_META = 8;
const NODE_BIG = 1;
const NODE_TREE = 2;
const NO_ROOT = 0xffff_ffff_ffff_ffffn;
const DEPTH_MAX = 20;
/** LMDB's flag for keys that are numbers, which the list of free pages has. */
const INTEGER_KEY = 8;

/** What is wrong with the file, in words that name the page. */
export class Damage extends Error {
  override readonly name = "Damage";
}

export interface Tree {
  readonly flags: number;
  readonly depth: number;
  readonly branchPages: number;
  readonly leafPages: number;
  readonly overflowPages: number;
  readonly entries: number;
  /** Undefined: empty. */
  readonly root: number | undefined;
}

export interface Meta {
  readonly index: 0 | 1;
  readonly transaction: number;
  readonly lastPage: number;
  readonly free: Tree;
  readonly main: Tree;
  /** As they are in the file, to be compared with what was seen before. */
  readonly bytes: Buffer;
}

/** One record of a leaf. It and its buffers are overwritten by the next record that is read. */
export interface Node {
  key: Buffer;
  page: number;
  /** The value, or undefined where it lies on pages of its own. */
  inline: Buffer | undefined;
  big: { readonly page: number; readonly bytes: number } | undefined;
  isTree: boolean;
  /** Of a branch: the page that it leads to. */
  child: number;
}

export interface Walk {
  /** Called for each record, in order of key. */
  readonly each: (node: Node) => void;
  /** Called with what is wrong with a page, which is then left out with all below it. Absent: it is thrown. */
  readonly onDamage?: ((damage: Damage) => void) | undefined;
}

export class Pages {
  readonly #file: number;
  readonly #count: number;
  /** Pages in use, and by which tree. */
  readonly #used = new Map<number, string>();
  /** One page for each level, so that a parent survives the reading of its children. */
  readonly #buffers: Buffer[] = [];

  constructor(file: number) {
    this.#file = file;
    this.#count = Math.floor(fstatSync(file).size / PAGE_BYTES);
  }

  /** The two pages that describe the file; undefined where one is damaged. */
  metas(): (Meta | undefined)[] {
    return ([0, 1] as const).map((index) => {
      const page = Buffer.alloc(PAGE_BYTES);
      if (readSync(this.#file, page, 0, PAGE_BYTES, index * PAGE_BYTES) < PAGE_BYTES) return undefined;
      const free = treeAt(page, 48);
      const main = treeAt(page, 96);
      const transaction = numberAt(page, 152);
      const lastPage = numberAt(page, 144);
      const sound =
        numberAt(page, 0) === index &&
        page.readUInt16LE(18) === PAGE_META &&
        page.readUInt32LE(24) === MAGIC &&
        page.readUInt32LE(28) === DATA_VERSION &&
        page.readBigUInt64LE(32) === 0n &&
        page.readUInt32LE(48) === PAGE_BYTES &&
        free?.flags === INTEGER_KEY &&
        main?.flags === 0 &&
        transaction !== undefined &&
        lastPage !== undefined &&
        // Each transaction writes the page of its parity.
        (transaction === 0 || transaction % 2 === index);
      if (!sound) return undefined;
      return { index, transaction, lastPage, free, main, bytes: Buffer.from(page.subarray(META_START, META_END)) };
    });
  }

  /** Reads a tree and checks it against what is claimed of it. @throws Damage */
  walk(name: string, tree: Tree, meta: Meta, { each, onDamage }: Walk): void {
    const seen = { branch: 0, leaf: 0, overflow: 0, entries: 0 };
    const isNumeric = tree.flags === INTEGER_KEY;
    const node: Node = { key: NO_KEY, page: 0, inline: undefined, big: undefined, isTree: false, child: 0 };
    let damaged = false;
    /** The last key of the leaf before. */
    let last: Buffer | undefined;
    const leaf = (page: Buffer, number: number, low: Buffer | undefined) => {
      const count = countOf(page, number, true);
      seen.leaf++;
      seen.entries += count;
      let before = last;
      let filled = 0;
      for (let index = 0; index < count; index++) {
        filled += readLeafNode(page, number, index, node);
        if (before && compare(isNumeric, before, node.key) >= 0) throw new Damage(`page ${number}: keys out of order`);
        if (index === 0 && low && compare(isNumeric, low, node.key) > 0)
          throw new Damage(`page ${number}: a key of another page`);
        before = node.key;
        if (node.big) seen.overflow += this.#overflow(name, node, meta, pageTransaction(page));
        each(node);
      }
      checkFilled(page, number, filled);
      last = Buffer.from(before as Buffer);
    };
    const branch = (page: Buffer, number: number, level: number, low: Buffer | undefined) => {
      const count = countOf(page, number, false);
      seen.branch++;
      let filled = 0;
      let before: Buffer | undefined;
      const children: { child: number; bound: Buffer | undefined }[] = [];
      for (let index = 0; index < count; index++) {
        filled += readBranchNode(page, number, index, node);
        const bound = index === 0 ? low : node.key;
        if (index > 0 && before && compare(isNumeric, before, node.key) >= 0)
          throw new Damage(`page ${number}: keys out of order`);
        before = bound;
        children.push({ child: node.child, bound });
      }
      checkFilled(page, number, filled);
      for (const { child, bound } of children) visit(child, level + 1, pageTransaction(page), bound);
    };
    const visit = (number: number, level: number, newest: number, low: Buffer | undefined): void => {
      try {
        const page = this.#read(name, number, { meta, newest, level });
        if (level === tree.depth) leaf(page, number, low);
        else branch(page, number, level, low);
      } catch (error) {
        if (!(error instanceof Damage) || !onDamage) throw error;
        damaged = true;
        onDamage(error);
      }
    };
    if (tree.root !== undefined) visit(tree.root, 1, meta.transaction, undefined);
    if (damaged) return;
    const claimed = [tree.branchPages, tree.leafPages, tree.overflowPages, tree.entries].join();
    if (claimed !== [seen.branch, seen.leaf, seen.overflow, seen.entries].join()) {
      const damage = new Damage(`table "${name}" has other counts of pages and records than it claims`);
      if (!onDamage) throw damage;
      onDamage(damage);
    }
  }

  /** The trees that the main tree names. @throws Damage */
  trees(meta: Meta): Map<string, Tree> {
    const found = new Map<string, Tree>();
    this.walk("main", meta.main, meta, {
      each: ({ key, inline, isTree, page }) => {
        const tree = isTree && inline?.length === DB_BYTES ? treeAt(inline, 0) : undefined;
        if (!tree || tree.flags !== 0) throw new Damage(`page ${page}: a table without its description`);
        found.set(key.toString("latin1").replace(/\0$/, ""), tree);
      },
    });
    return found;
  }

  /** Whether the root of the main tree was written by the very transaction that the meta page claims. */
  isNewest({ main, transaction }: Meta): boolean {
    if (main.root === undefined) return true;
    const page = Buffer.alloc(HEADER_BYTES);
    readSync(this.#file, page, 0, HEADER_BYTES, main.root * PAGE_BYTES);
    return pageTransaction(page) === transaction;
  }

  /** Checks the list of free pages: LMDB writes over what it names. Call it after all trees were read. @throws Damage */
  checkFree(meta: Meta): void {
    const free = new Set<number>();
    const lists: { page: number; bytes: Buffer }[] = [];
    this.walk("free", meta.free, meta, {
      each: ({ key, inline, big, page }) => {
        if (key.length !== 8) throw new Damage(`page ${page}: a list of free pages without its transaction`);
        const transaction = numberAt(key, 0) ?? Infinity;
        if (transaction > meta.transaction) throw new Damage(`page ${page}: a list of free pages of the future`);
        lists.push({ page, bytes: inline ? Buffer.from(inline) : this.big(big as { page: number; bytes: number }) });
      },
    });
    for (const { page, bytes } of lists) {
      for (const number of freeIn(bytes, page)) {
        const used = this.#used.get(number);
        if (used !== undefined || number < 2 || number > meta.lastPage || free.has(number)) {
          throw new Damage(
            `page ${page}: page ${number} is listed as free${used ? `, and is in use by "${used}"` : ""}`,
          );
        }
        free.add(number);
      }
    }
  }

  /** A value that lies on pages of its own. @throws Damage */
  big({ page, bytes }: { page: number; bytes: number }): Buffer {
    const value = Buffer.allocUnsafe(bytes);
    if (readSync(this.#file, value, 0, bytes, page * PAGE_BYTES + HEADER_BYTES) < bytes) {
      throw new Damage(`page ${page}: the file ends in the middle of a value`);
    }
    return value;
  }

  #buffer(level: number): Buffer {
    return (this.#buffers[level] ??= Buffer.allocUnsafe(PAGE_BYTES));
  }

  #read(name: string, number: number, at: { meta: Meta; newest: number; level: number }): Buffer {
    const { meta, newest, level } = at;
    if (level > DEPTH_MAX) throw new Damage(`page ${number}: the tree is too deep`);
    this.#use(name, number, 1, meta);
    const page = this.#buffer(level);
    if (readSync(this.#file, page, 0, PAGE_BYTES, number * PAGE_BYTES) < PAGE_BYTES) {
      throw new Damage(`page ${number} is beyond the end of the file`);
    }
    if (numberAt(page, 0) !== number) throw new Damage(`page ${number} says that it is another one`);
    if (pageTransaction(page) > newest) throw new Damage(`page ${number} is newer than the page that leads to it`);
    if (page.readUInt16LE(16) !== 0) throw new Damage(`page ${number} is of an unknown kind`);
    return page;
  }

  #use(name: string, first: number, count: number, { lastPage }: Meta): void {
    for (let number = first; number < first + count; number++) {
      if (number < 2 || number > lastPage || number >= this.#count) {
        throw new Damage(`page ${number}, which "${name}" leads to, is not a page of the file`);
      }
      const by = this.#used.get(number);
      if (by !== undefined) throw new Damage(`page ${number} is used twice, by "${by}" and "${name}"`);
      this.#used.set(number, name);
    }
  }

  /** Checks the pages of a large value, and returns how many they are. */
  #overflow(name: string, { big, page }: Node, meta: Meta, newest: number): number {
    const { page: first, bytes } = big as { page: number; bytes: number };
    const count = Math.floor((HEADER_BYTES - 1 + bytes) / PAGE_BYTES) + 1;
    const header = Buffer.alloc(HEADER_BYTES);
    readSync(this.#file, header, 0, HEADER_BYTES, first * PAGE_BYTES);
    const sound =
      numberAt(header, 0) === first &&
      header.readUInt16LE(16) === 0 &&
      header.readUInt16LE(18) === PAGE_OVERFLOW &&
      header.readUInt32LE(20) === count &&
      pageTransaction(header) <= newest;
    if (!sound) throw new Damage(`page ${page} leads to page ${first} for a value, which is not one`);
    this.#use(name, first, count, meta);
    return count;
  }
}

function pageTransaction(page: Buffer): number {
  return numberAt(page, 8) ?? Infinity;
}

/** A number of 64 bits; undefined beyond what is exact. */
function numberAt(bytes: Buffer, at: number): number | undefined {
  const high = bytes.readUInt32LE(at + 4);
  return high < 2 ** 21 ? high * 2 ** 32 + bytes.readUInt32LE(at) : undefined;
}

function treeAt(bytes: Buffer, at: number): Tree | undefined {
  const [branchPages, leafPages, overflowPages, entries] = [8, 16, 24, 32].map((offset) =>
    numberAt(bytes, at + offset),
  );
  const root = bytes.readBigUInt64LE(at + 40) === NO_ROOT ? undefined : (numberAt(bytes, at + 40) ?? 0);
  if (branchPages === undefined || leafPages === undefined) return undefined;
  if (overflowPages === undefined || entries === undefined) return undefined;
  const flags = bytes.readUInt16LE(at + 4);
  const depth = bytes.readUInt16LE(at + 6);
  if ((depth === 0) !== (root === undefined)) return undefined;
  return { flags, depth, branchPages, leafPages, overflowPages, entries, root };
}

/** How many records a page says that it has. @throws Damage */
function countOf(page: Buffer, number: number, isLeaf: boolean): number {
  if (page.readUInt16LE(18) !== (isLeaf ? PAGE_LEAF : PAGE_BRANCH)) {
    throw new Damage(`page ${number} is not a ${isLeaf ? "leaf" : "branch"}`);
  }
  const lower = page.readUInt16LE(20);
  const upper = page.readUInt16LE(22);
  const count = lower / 2;
  if (lower % 2 !== 0 || upper > PAGE_BYTES - HEADER_BYTES || lower > upper || count < (isLeaf ? 1 : 2)) {
    throw new Damage(`page ${number} has no room for its records`);
  }
  return count;
}

/** Where a record begins. @throws Damage when it is not within the page */
function placeOf(page: Buffer, number: number, index: number): number {
  const at = HEADER_BYTES + page.readUInt16LE(HEADER_BYTES + 2 * index);
  if (at < HEADER_BYTES + page.readUInt16LE(22) || at % 2 !== 0 || at + NODE_BYTES > PAGE_BYTES) {
    throw new Damage(`page ${number}: record ${index} is beyond it`);
  }
  return at;
}

/** Reads a record of a leaf, and returns the bytes that it takes. @throws Damage */
function readLeafNode(page: Buffer, number: number, index: number, node: Node): number {
  const at = placeOf(page, number, index);
  const size = page.readUInt16LE(at) + page.readUInt16LE(at + 2) * 65_536;
  const flags = page.readUInt16LE(at + 4);
  const keyEnd = at + NODE_BYTES + page.readUInt16LE(at + 6);
  const end = keyEnd + (flags === NODE_BIG ? BIG_BYTES : size);
  if (end > PAGE_BYTES) throw new Damage(`page ${number}: record ${index} ends beyond it`);
  if (flags !== 0 && flags !== NODE_BIG && flags !== NODE_TREE) {
    throw new Damage(`page ${number}: record ${index} is of an unknown kind`);
  }
  node.page = number;
  node.key = page.subarray(at + NODE_BYTES, keyEnd);
  node.big = flags === NODE_BIG ? bigAt(page, keyEnd, size, number) : undefined;
  node.inline = flags === NODE_BIG ? undefined : page.subarray(keyEnd, end);
  node.isTree = flags === NODE_TREE;
  return end - at + ((end - at) % 2);
}

/** Reads a record of a branch, and returns the bytes that it takes. @throws Damage */
function readBranchNode(page: Buffer, number: number, index: number, node: Node): number {
  const at = placeOf(page, number, index);
  const end = at + NODE_BYTES + page.readUInt16LE(at + 6);
  if (end > PAGE_BYTES) throw new Damage(`page ${number}: record ${index} ends beyond it`);
  node.key = page.subarray(at + NODE_BYTES, end);
  node.child = page.readUInt16LE(at) + page.readUInt16LE(at + 2) * 65_536 + page.readUInt16LE(at + 4) * 2 ** 32;
  return end - at + ((end - at) % 2);
}

/** Records that overlap would add up to more than the page has; a gap, to less. @throws Damage */
function checkFilled(page: Buffer, number: number, bytes: number): void {
  if (bytes !== PAGE_BYTES - HEADER_BYTES - page.readUInt16LE(22))
    throw new Damage(`page ${number}: its records do not fill it`);
}

/** Where a large value lies: the page, the transaction and the number of pages stand in the record. */
function bigAt(page: Buffer, at: number, bytes: number, number: number): { page: number; bytes: number } {
  const first = numberAt(page, at);
  const count = numberAt(page, at + 16);
  if (first === undefined || count !== Math.floor((HEADER_BYTES - 1 + bytes) / PAGE_BYTES) + 1) {
    throw new Damage(`page ${number}: a value lies nowhere`);
  }
  return { page: first, bytes };
}

/**
 * Page numbers of a list: its length, then numbers, then maybe room that is not used. Zeros are gaps; a negative number is how many
 * pages follow from the next number on.
 */
function* freeIn(bytes: Buffer, page: number): Iterable<number> {
  const length = bytes.length >= 8 ? numberAt(bytes, 0) : undefined;
  if (length === undefined || bytes.length < 8 * (length + 1))
    throw new Damage(`page ${page}: a list of free pages cut short`);
  for (let index = 1; index <= length; index++) {
    const value = bytes.readBigInt64LE(8 * index);
    if (value === 0n) continue;
    let count = 1;
    let first = value;
    if (value < 0n) {
      if (++index > length || -value > 0xffff_ffffn) throw new Damage(`page ${page}: a damaged list of free pages`);
      count = Number(-value);
      first = bytes.readBigInt64LE(8 * index);
    }
    if (first < 2n || first > 0xffff_ffff_ffffn || count > 0xff_ffff)
      throw new Damage(`page ${page}: a free page that is not one`);
    for (let number = 0; number < count; number++) yield Number(first) + number;
  }
}

function compare(numeric: boolean, a: Buffer, b: Buffer): number {
  return numeric && a.length === 8 && b.length === 8
    ? (numberAt(a, 0) ?? 0) - (numberAt(b, 0) ?? 0)
    : Buffer.compare(a, b);
}
