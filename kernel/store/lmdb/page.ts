/**
 * One page of an LMDB file: the places of its fields and records, read from its bytes and rejected where they are impossible.
 * @see MDB_meta, MDB_db, MDB_page, MDB_node in lmdb/libraries/liblmdb/mdb.c
 */

/** Twice the default: fewer, fuller pages for values of about a kilobyte, and a longer maximum key (4026 bytes). */
export const PAGE_BYTES = 8192;

export const HEADER_BYTES = 24;
const NODE_BYTES = 8;
/** The content of a record whose value is on separate pages. */
const BIG_BYTES = 24;
export const NO_KEY = Buffer.alloc(0);
export const DB_BYTES = 48;
/** The bytes of a meta page that LMDB uses, from the file's magic to the transaction's number. */
const META_START = 24;
const META_END = 160;
export const META_BYTES = META_END - META_START;
/** The offsets of the two meta pages in the file. */
export const META_PLACES: readonly [number, number] = [META_START, PAGE_BYTES + META_START];
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const PAGE_BRANCH = 1;
export const PAGE_LEAF = 2;
export const PAGE_OVERFLOW = 4;
const PAGE_META = 8;
const NODE_BIG = 1;
const NODE_TREE = 2;
const NO_ROOT = 0xffff_ffff_ffff_ffffn;
export const DEPTH_MAX = 20;
/** LMDB's flag for keys that are numbers, which the list of free pages has. */
export const INTEGER_KEY = 8;

/** Damage of the file. The message names the page. */
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
  /** The bytes in the file, for comparison with the witness. */
  readonly bytes: Buffer;
}

/** One record of a leaf. It and its buffers are overwritten by the next record that is read. */
export interface Node {
  key: Buffer;
  page: number;
  /** The value; undefined when it is on separate pages. */
  inline: Buffer | undefined;
  big: { readonly page: number; readonly bytes: number } | undefined;
  isTree: boolean;
  /** In a branch: the child page. */
  child: number;
}

/** The content of a meta page; undefined for a damaged one. */
export function metaAt(page: Buffer, index: 0 | 1): Meta | undefined {
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
    // Each transaction writes the meta page of its parity.
    (transaction === 0 || transaction % 2 === index);
  if (!sound) return undefined;
  return { index, transaction, lastPage, free, main, bytes: Buffer.from(page.subarray(META_START, META_END)) };
}

/** The same, from the bytes of a meta page in the witness. */
export function metaFrom(bytes: Buffer, index: 0 | 1): Meta | undefined {
  const page = Buffer.alloc(PAGE_BYTES);
  page[0] = index;
  page.writeUInt16LE(PAGE_META, 18);
  bytes.copy(page, META_START);
  return metaAt(page, index);
}

export function pageTransaction(page: Buffer): number {
  return numberAt(page, 8) ?? Infinity;
}

/** A 64-bit number; undefined when a double cannot represent it exactly. */
export function numberAt(bytes: Buffer, at: number): number | undefined {
  const high = bytes.readUInt32LE(at + 4);
  return high < 2 ** 21 ? high * 2 ** 32 + bytes.readUInt32LE(at) : undefined;
}

export function treeAt(bytes: Buffer, at: number): Tree | undefined {
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

/** The number of records that a page claims. @throws Damage */
export function countOf(page: Buffer, number: number, isLeaf: boolean): number {
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

/** The offset of a record. @throws Damage when it is outside of the page */
function placeOf(page: Buffer, number: number, index: number): number {
  const at = HEADER_BYTES + page.readUInt16LE(HEADER_BYTES + 2 * index);
  if (at < HEADER_BYTES + page.readUInt16LE(22) || at % 2 !== 0 || at + NODE_BYTES > PAGE_BYTES) {
    throw new Damage(`page ${number}: record ${index} is outside of the page`);
  }
  return at;
}

/** Reads a record of a leaf, and returns its size in bytes. @throws Damage */
export function readLeafNode(page: Buffer, number: number, index: number, node: Node): number {
  const at = placeOf(page, number, index);
  const size = page.readUInt16LE(at) + page.readUInt16LE(at + 2) * 65_536;
  const flags = page.readUInt16LE(at + 4);
  const keyEnd = at + NODE_BYTES + page.readUInt16LE(at + 6);
  const end = keyEnd + (flags === NODE_BIG ? BIG_BYTES : size);
  if (end > PAGE_BYTES) throw new Damage(`page ${number}: record ${index} ends outside of the page`);
  if (flags !== 0 && flags !== NODE_BIG && flags !== NODE_TREE) {
    throw new Damage(`page ${number}: record ${index} has an unknown kind`);
  }
  node.page = number;
  node.key = page.subarray(at + NODE_BYTES, keyEnd);
  node.big = flags === NODE_BIG ? bigAt(page, keyEnd, size, number) : undefined;
  node.inline = flags === NODE_BIG ? undefined : page.subarray(keyEnd, end);
  node.isTree = flags === NODE_TREE;
  return end - at + ((end - at) % 2);
}

/** Reads a record of a branch, and returns its size in bytes. @throws Damage */
export function readBranchNode(page: Buffer, number: number, index: number, node: Node): number {
  const at = placeOf(page, number, index);
  const end = at + NODE_BYTES + page.readUInt16LE(at + 6);
  if (end > PAGE_BYTES) throw new Damage(`page ${number}: record ${index} ends outside of the page`);
  node.key = page.subarray(at + NODE_BYTES, end);
  node.child = page.readUInt16LE(at) + page.readUInt16LE(at + 2) * 65_536 + page.readUInt16LE(at + 4) * 2 ** 32;
  return end - at + ((end - at) % 2);
}

/** Overlapping records would have more bytes than the page; gaps, fewer. @throws Damage */
export function checkFilled(page: Buffer, number: number, bytes: number): void {
  if (bytes !== PAGE_BYTES - HEADER_BYTES - page.readUInt16LE(22))
    throw new Damage(`page ${number}: its records do not fill it`);
}

/** The place of a large value. The record has its page, transaction and number of pages. */
function bigAt(page: Buffer, at: number, bytes: number, number: number): { page: number; bytes: number } {
  const first = numberAt(page, at);
  const count = numberAt(page, at + 16);
  if (first === undefined || count !== Math.floor((HEADER_BYTES - 1 + bytes) / PAGE_BYTES) + 1) {
    throw new Damage(`page ${number}: a value has no page`);
  }
  return { page: first, bytes };
}

/**
 * Page numbers of a list: its length, then numbers, then possibly unused space. Zeros are gaps. A negative number is the number of pages
 * that follow from the next number on.
 */
export function* freeIn(bytes: Buffer, page: number): Iterable<number> {
  const length = bytes.length >= 8 ? numberAt(bytes, 0) : undefined;
  if (length === undefined || bytes.length < 8 * (length + 1))
    throw new Damage(`page ${page}: a list of free pages is truncated`);
  for (let index = 1; index <= length; index++) {
    const value = bytes.readBigInt64LE(8 * index);
    if (value === 0n) continue;
    let count = 1;
    let first = value;
    if (value < 0n) {
      if (++index > length || -value > 0xffff_ffffn) throw new Damage(`page ${page}: a list of free pages is damaged`);
      count = Number(-value);
      first = bytes.readBigInt64LE(8 * index);
    }
    if (first < 2n || first > 0xffff_ffff_ffffn || count > 0xff_ffff)
      throw new Damage(`page ${page}: the list of free pages has an invalid number`);
    for (let number = 0; number < count; number++) yield Number(first) + number;
  }
}

export function compare(numeric: boolean, a: Buffer, b: Buffer): number {
  return numeric && a.length === 8 && b.length === 8
    ? (numberAt(a, 0) ?? 0) - (numberAt(b, 0) ?? 0)
    : Buffer.compare(a, b);
}
