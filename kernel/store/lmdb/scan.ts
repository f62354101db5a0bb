/** Reads the leaves of a damaged data file record by record, without their trees, so that a damaged record does not hide its neighbors. */
import { fstatSync, readSync } from "node:fs";
import {
  Damage,
  HEADER_BYTES,
  type Meta,
  NO_KEY,
  type Node,
  numberAt,
  PAGE_BYTES,
  PAGE_LEAF,
  PAGE_OVERFLOW,
  pageTransaction,
  readLeafNode,
} from "./page.ts";

/** The pages of a file that claim to be leaves of this state or an earlier one. The pages of large values are excluded. */
export function* leavesOf(file: number, { lastPage, transaction }: Meta): Iterable<number> {
  const header = Buffer.alloc(HEADER_BYTES);
  const end = Math.min(lastPage + 1, Math.floor(fstatSync(file).size / PAGE_BYTES));
  for (let number = 2; number < end; number++) {
    readSync(file, header, 0, HEADER_BYTES, number * PAGE_BYTES);
    if (numberAt(header, 0) !== number) continue;
    const kind = header.readUInt16LE(18);
    if (kind === PAGE_OVERFLOW) number += Math.max(header.readUInt32LE(20) - 1, 0);
    if (kind === PAGE_LEAF && pageTransaction(header) <= transaction) yield number;
  }
}

export class LeafReader {
  readonly #file: number;
  readonly #bytes: number;
  readonly #page = Buffer.alloc(PAGE_BYTES);
  #number = 0;
  readonly #node: Node = { key: NO_KEY, page: 0, inline: undefined, big: undefined, isTree: false, child: 0 };

  constructor(file: number) {
    this.#file = file;
    this.#bytes = fstatSync(file).size;
  }

  /** The number of records that a leaf claims. */
  count(number: number): number {
    return Math.floor(Math.min(this.#read(number).readUInt16LE(20), PAGE_BYTES - HEADER_BYTES) / 2);
  }

  /** Reads a record into a shared buffer, which the next read overwrites. @throws Damage */
  record(number: number, index: number): Node {
    readLeafNode(this.#read(number), number, index, this.#node);
    return this.#node;
  }

  /** @throws Damage */
  valueOf({ inline, big, page }: Node): Buffer {
    if (!big) return inline ?? NO_KEY;
    const start = big.page * PAGE_BYTES + HEADER_BYTES;
    if (start + big.bytes > this.#bytes) throw new Damage(`page ${page} refers to a value beyond the end of the file`);
    const value = Buffer.alloc(big.bytes);
    readSync(this.#file, value, 0, big.bytes, start);
    return value;
  }

  #read(number: number): Buffer {
    if (number !== this.#number) readSync(this.#file, this.#page, 0, PAGE_BYTES, number * PAGE_BYTES);
    this.#number = number;
    return this.#page;
  }
}
