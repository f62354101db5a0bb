/**
 * Reads and checks the pages of an LMDB file without LMDB. LMDB maps its file and trusts it: a damaged page number or offset makes it read
 * beyond the map, which ends the process, or read wrong records. So every page that LMDB would follow is checked before LMDB opens the
 * file: its number and kind, the place of each node, the order of keys, and the counts of its tree. No page may be used twice, and no page
 * in use may be listed as free.
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
  /** Called with a leaf after its records, when all of them are valid. */
  readonly onLeaf?: (page: number) => void;
  /** Called with the damage of a page, which is then skipped with everything below it. Absent: the damage is thrown. */
  readonly onDamage?: ((damage: Damage, page: number | undefined) => void) | undefined;
}

export class Pages {
  readonly #file: number;
  readonly #count: number;
  /** Pages in use, and the tree of each. */
  readonly #used = new Map<number, string>();
  /** One buffer for each level, so that a parent survives while its children are read. */
  readonly #buffers: Buffer[] = [];

  constructor(file: number) {
    this.#file = file;
    this.#count = Math.floor(fstatSync(file).size / PAGE_BYTES);
  }

  /** The two meta pages; undefined for a damaged one. */
  metas(): (Meta | undefined)[] {
    return ([0, 1] as const).map((index) => {
      const page = Buffer.alloc(PAGE_BYTES);
      if (readSync(this.#file, page, 0, PAGE_BYTES, index * PAGE_BYTES) < PAGE_BYTES) return undefined;
      return metaAt(page, index);
    });
  }

  /** Reads a tree and checks it against its description. @throws Damage */
  walk(name: string, tree: Tree, meta: Meta, { each, onLeaf, onDamage }: Walk): void {
    const seen = { branch: 0, leaf: 0, overflow: 0, entries: 0 };
    const isNumeric = tree.flags === INTEGER_KEY;
    const node: Node = { key: NO_KEY, page: 0, inline: undefined, big: undefined, isTree: false, child: 0 };
    let damaged = false;
    /** The last key of the previous leaf. */
    let last: Buffer | undefined;
    const leaf = (page: Buffer, number: number, low: Buffer | undefined) => {
      const count = countOf(page, number, true);
      seen.leaf++;
      seen.entries += count;
      let before = last;
      let filled = 0;
      for (let index = 0; index < count; index++) {
        filled += readLeafNode(page, number, index, node);
        if (before && compare(isNumeric, before, node.key) >= 0)
          throw new Damage(`page ${number}: keys are out of order`);
        if (index === 0 && low && compare(isNumeric, low, node.key) > 0)
          throw new Damage(`page ${number}: a key belongs to another page`);
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
          throw new Damage(`page ${number}: keys are out of order`);
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
      const damage = new Damage(`table "${name}" has counts of pages or records that do not match its description`);
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
        if (!tree || tree.flags !== 0) throw new Damage(`page ${page}: a table has no description`);
        found.set(key.toString("latin1").replace(/\0$/, ""), tree);
      },
    });
    return found;
  }

  /** Whether the transaction of the meta page wrote the root of the main tree. */
  isNewest({ main, transaction }: Meta): boolean {
    if (main.root === undefined) return true;
    if (main.root >= this.#count) return false;
    const page = Buffer.alloc(HEADER_BYTES);
    readSync(this.#file, page, 0, HEADER_BYTES, main.root * PAGE_BYTES);
    return pageTransaction(page) === transaction;
  }

  /** The tree that uses a page, among the trees that were read. */
  userOf(page: number): string | undefined {
    return this.#used.get(page);
  }

  /** Checks and returns the list of free pages, which LMDB overwrites. Call it after all trees were read. @throws Damage */
  checkFree(meta: Meta): ReadonlySet<number> {
    const free = new Set<number>();
    const lists: { page: number; bytes: Buffer }[] = [];
    this.walk("free", meta.free, meta, {
      each: ({ key, inline, big, page }) => {
        if (key.length !== 8) throw new Damage(`page ${page}: a list of free pages has no transaction`);
        const transaction = numberAt(key, 0) ?? Infinity;
        if (transaction > meta.transaction)
          throw new Damage(`page ${page}: a list of free pages is from a later transaction`);
        lists.push({ page, bytes: inline ? Buffer.from(inline) : this.big(big as { page: number; bytes: number }) });
      },
    });
    for (const { page, bytes } of lists) {
      for (const number of freeIn(bytes, page)) {
        const used = this.#used.get(number);
        if (used !== undefined || number < 2 || number > meta.lastPage || free.has(number)) {
          throw new Damage(`page ${page}: page ${number} is listed as free${used ? `, but "${used}" uses it` : ""}`);
        }
        free.add(number);
      }
    }
    return free;
  }

  /** Reads a value on separate pages. @throws Damage */
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
    if (numberAt(page, 0) !== number) throw new Damage(`page ${number} has another number inside`);
    if (pageTransaction(page) > newest) throw new Damage(`page ${number} is newer than the page that refers to it`);
    if (page.readUInt16LE(16) !== 0) throw new Damage(`page ${number} has an unknown kind`);
    return page;
  }

  #use(name: string, first: number, count: number, { lastPage }: Meta): void {
    for (let number = first; number < first + count; number++) {
      if (number < 2 || number > lastPage || number >= this.#count) {
        throw new Damage(`"${name}" refers to page ${number}, which is not in the file`);
      }
      const by = this.#used.get(number);
      if (by !== undefined) throw new Damage(`page ${number} is used twice, by "${by}" and "${name}"`);
      this.#used.set(number, name);
    }
  }

  /** Checks the pages of a large value, and returns their number. */
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
    if (!sound) throw new Damage(`page ${page} refers to page ${first} for a value, which is not valid`);
    this.#use(name, first, count, meta);
    return count;
  }
}
