/**
 * The pages of an LMDB file, read and checked without LMDB. LMDB maps its file and trusts it: a damaged page number or offset makes
 * it read beyond the map, which ends the process, or read other records than were written. So every page that LMDB would follow is
 * checked before LMDB opens the file: its own number and kind, the place of each node, the order of keys, the counts that its tree
 * claims, that no page is used twice, and that none in use is listed as free.
 */
import { fstatSync, readSync } from "node:fs";
import {
  checkFilled,
  compare,
  countOf,
  Damage,
  DB_BYTES,
  DEPTH_MAX,
  freeIn,
  HEADER_BYTES,
  INTEGER_KEY,
  type Meta,
  metaAt,
  NO_KEY,
  type Node,
  numberAt,
  PAGE_BYTES,
  PAGE_OVERFLOW,
  pageTransaction,
  readBranchNode,
  readLeafNode,
  type Tree,
  treeAt,
} from "./page.ts";

export interface Walk {
  /** Called for each record, in order of key. */
  readonly each: (node: Node) => void;
  /** Called with a leaf after its records, when all of them are as they should be. */
  readonly onLeaf?: (page: number) => void;
  /** Called with what is wrong with a page, which is then left out with all below it. Absent: it is thrown. */
  readonly onDamage?: ((damage: Damage, page: number | undefined) => void) | undefined;
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
      return metaAt(page, index);
    });
  }

  /** Reads a tree and checks it against what is claimed of it. @throws Damage */
  walk(name: string, tree: Tree, meta: Meta, { each, onLeaf, onDamage }: Walk): void {
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
      onLeaf?.(number);
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
        onDamage(error, number);
      }
    };
    if (tree.root !== undefined) visit(tree.root, 1, meta.transaction, undefined);
    if (damaged) return;
    const claimed = [tree.branchPages, tree.leafPages, tree.overflowPages, tree.entries].join();
    if (claimed !== [seen.branch, seen.leaf, seen.overflow, seen.entries].join()) {
      const damage = new Damage(`table "${name}" has other counts of pages and records than it claims`);
      if (!onDamage) throw damage;
      onDamage(damage, tree.root);
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
    if (main.root >= this.#count) return false;
    const page = Buffer.alloc(HEADER_BYTES);
    readSync(this.#file, page, 0, HEADER_BYTES, main.root * PAGE_BYTES);
    return pageTransaction(page) === transaction;
  }

  /** The tree that led to a page, as far as trees were read. */
  userOf(page: number): string | undefined {
    return this.#used.get(page);
  }

  /** Checks the list of free pages, and returns it: LMDB writes over what it names. Call it after all trees were read. @throws Damage */
  checkFree(meta: Meta): ReadonlySet<number> {
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
    return free;
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
