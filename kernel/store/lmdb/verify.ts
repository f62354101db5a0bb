/** Verifies a data file before LMDB opens it: its pages, and then the checksum of every record. */
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import {
  DATA_FILE,
  decodeHead,
  decodeMeta,
  decodeMeta1,
  decodeRow1,
  FORMAT_VERSION,
  isRow,
  META,
  recordNameOf,
  sumOf,
  type Change,
} from "./layout.ts";
import { Damage, type Meta, type Node, type Tree } from "./page.ts";
import { Pages } from "./pages.ts";
import { newestMeta, WITNESS_FILE } from "./witness.ts";

/** Bytes of large values whose checksums are verified when a store is opened. The others are verified when they are read. */
const LARGE_BYTES_MAX = 256 * 1024 * 1024;

/** A format that this program cannot read. */
export class UnknownFormat extends Error {
  readonly format: number;

  constructor(format: number) {
    super(`format ${format}`);
    this.format = format;
  }
}

export interface Verified {
  /** Undefined: the file has no data yet. */
  readonly format: number | undefined;
  /** Every change that is kept, in order of revision. */
  readonly changes: Change[];
}

/**
 * @param largeBytesMax bytes of large values whose checksums are verified; of the others, only the head
 * @throws Damage and other errors with the page or the record; UnknownFormat
 */
export function verifyFile(folder: string, largeBytesMax = LARGE_BYTES_MAX): Verified {
  const file = openSync(join(folder, DATA_FILE), "r");
  try {
    const pages = new Pages(file);
    const meta = newestMeta(pages.metas(), join(folder, WITNESS_FILE));
    if (!pages.isNewest(meta)) throw new Damage(`page ${meta.index} describes a transaction that was not written`);
    const trees = pages.trees(meta);
    for (const name of trees.keys()) if (!TABLES.has(name)) throw new Damage(`unknown table "${name}"`);
    const format = checkNumbers(pages, meta, trees.get("meta"));
    const tables = { idx: trees.get("idx"), rev: trees.get("rev"), format, largeBytesMax };
    const changes = checkChanges(pages, meta, tables);
    pages.checkFree(meta);
    return { format, changes };
  } finally {
    closeSync(file);
  }
}

const TABLES = new Set(["rev", "idx", "meta"]);

/** Checks the meta table, and returns the format that it names. */
function checkNumbers(pages: Pages, meta: Meta, tree: Tree | undefined): number | undefined {
  const records: { key: Buffer; value: Buffer }[] = [];
  if (!tree) return undefined;
  pages.walk("meta", tree, meta, {
    each: (node) => records.push({ key: Buffer.from(node.key), value: Buffer.from(valueIn(pages, node)) }),
  });
  const stated = records.find(({ key }) => key.equals(META.format))?.value;
  if (!stated) {
    if (records.length > 0) throw new Damage("the meta table has no format");
    return undefined;
  }
  const format = stated.length === 8 ? decodeMeta1(META.format, stated) : decodeMeta(META.format, stated);
  if (format !== FORMAT_VERSION && format !== 1) throw new UnknownFormat(format);
  if ((format === 1) !== (stated.length === 8)) throw new Damage("the record of the format is damaged");
  for (const { key, value } of records) void (format === 1 ? decodeMeta1(key, value) : decodeMeta(key, value));
  return format;
}

/** Replaces the checksum of a record of format 1. */
const OLDER = -1;
/** Bytes of a large record that hold its head: the longest key and lease, and the numbers. */
const HEAD_BYTES_READ = 2048;

function isSame(a: Change, b: Change | undefined): boolean {
  return (
    b !== undefined &&
    a.key === b.key &&
    a.version === b.version &&
    a.lease === b.lease &&
    a.createRevision === b.createRevision
  );
}

interface Tables {
  readonly idx: Tree | undefined;
  readonly rev: Tree | undefined;
  readonly format: number | undefined;
  readonly largeBytesMax: number;
}

/** Checks both tables of changes, record by record and against each other. */
function checkChanges(pages: Pages, meta: Meta, { idx, rev, format, largeBytesMax }: Tables): Change[] {
  const changes: Change[] = [];
  if (!idx || !rev) {
    // An interrupted first start may have created some tables without data.
    if (format !== undefined || (idx ?? rev)?.entries) throw new Damage("a table is missing");
    return changes;
  }
  /** The checksum of each head, in order. Both tables have it. */
  const sums: number[] = [];
  pages.walk("idx", idx, meta, {
    each(node) {
      const head = valueIn(pages, node);
      const older = format === 1 ? decodeRow1(node.key, head) : undefined;
      if (older && older.value.length > 0) throw new Damage(`page ${node.page}: a record has the wrong length`);
      changes.push(older?.change ?? decodeHead(node.key, head));
      sums.push(older ? OLDER : sumOf(head));
    },
  });
  let at = 0;
  let large = 0;
  pages.walk("rev", rev, meta, {
    each(node) {
      const change = changes[at];
      const sum = sums[at++];
      if (!change || sum === undefined) throw new Damage(`page ${node.page}: a record is missing in the index`);
      large += node.big?.bytes ?? 0;
      // Beyond the limit only the head is read. The value is verified when it is read.
      const whole = !node.big || large <= largeBytesMax;
      const row = whole ? valueIn(pages, node) : pages.big({ page: node.big?.page ?? 0, bytes: HEAD_BYTES_READ });
      const sound =
        sum === OLDER ? isSame(change, decodeRow1(node.key, row)?.change) : isRow(node.key, row, { sum, whole });
      if (!sound) throw new Damage(`page ${node.page}: ${recordNameOf(change)} does not match its checksum`);
    },
  });
  if (at !== changes.length)
    throw new Damage(`the index has ${changes.length} records, but the table of revisions has ${at}`);
  return changes;
}

function valueIn(pages: Pages, { inline, big }: Node): Buffer {
  return inline ?? pages.big(big as NonNullable<Node["big"]>);
}
