/** Whether a data file is what was written: its pages, and then every record by its checksum. Read before LMDB opens it. */
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
  nameOf,
  sumOf,
  type Change,
} from "./layout.ts";
import { Damage, type Meta, type Node, type Tree } from "./page.ts";
import { Pages } from "./pages.ts";
import { newestMeta, WITNESS_FILE } from "./witness.ts";

/** Bytes of large values whose checksums are looked at when a store is opened; the rest is checked as it is read. */
const LARGE_BYTES_MAX = 256 * 1024 * 1024;

/** A format that is not this program's. */
export class UnknownFormat extends Error {
  readonly format: number;

  constructor(format: number) {
    super(`format ${format}`);
    this.format = format;
  }
}

export interface Verified {
  /** Undefined: the file holds nothing yet. */
  readonly format: number | undefined;
  /** Every change that is kept, in order of revision. */
  readonly changes: Change[];
}

/**
 * @param largeBytesMax bytes of large values whose checksums are looked at; of the rest only the head is checked
 * @throws Damage and other errors that name the page or the record; UnknownFormat
 */
export function verifyFile(folder: string, largeBytesMax = LARGE_BYTES_MAX): Verified {
  const file = openSync(join(folder, DATA_FILE), "r");
  try {
    const pages = new Pages(file);
    const meta = newestMeta(pages.metas(), join(folder, WITNESS_FILE));
    if (!pages.isNewest(meta)) throw new Damage(`page ${meta.index} describes a transaction that was not written`);
    const trees = pages.trees(meta);
    for (const name of trees.keys()) if (!TABLES.has(name)) throw new Damage(`a table "${name}" that is not ours`);
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
    if (records.length > 0) throw new Damage("the table of numbers does not name its format");
    return undefined;
  }
  const format = stated.length === 8 ? decodeMeta1(META.format, stated) : decodeMeta(META.format, stated);
  if (format !== FORMAT_VERSION && format !== 1) throw new UnknownFormat(format);
  if ((format === 1) !== (stated.length === 8)) throw new Damage("the record of the format is damaged");
  for (const { key, value } of records) void (format === 1 ? decodeMeta1(key, value) : decodeMeta(key, value));
  return format;
}

/** Instead of a checksum, for a record of format 1. */
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
    // A first start that was cut off has made some tables and written nothing.
    if (format !== undefined || (idx ?? rev)?.entries) throw new Damage("a table is missing");
    return changes;
  }
  /** By place: the checksum of each head, which both tables have. */
  const sums: number[] = [];
  pages.walk("idx", idx, meta, {
    each(node) {
      const head = valueIn(pages, node);
      const older = format === 1 ? decodeRow1(node.key, head) : undefined;
      if (older && older.value.length > 0) throw new Damage(`page ${node.page}: a record of another length`);
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
      if (!change || sum === undefined) throw new Damage(`page ${node.page}: a record that the index does not name`);
      large += node.big?.bytes ?? 0;
      // Beyond the limit only the head is read; its value is checked when somebody reads it.
      const whole = !node.big || large <= largeBytesMax;
      const row = whole ? valueIn(pages, node) : pages.big({ page: node.big?.page ?? 0, bytes: HEAD_BYTES_READ });
      const sound =
        sum === OLDER ? isSame(change, decodeRow1(node.key, row)?.change) : isRow(node.key, row, { sum, whole });
      if (!sound) throw new Damage(`page ${node.page}: ${nameOf(change)} does not match its checksum`);
    },
  });
  if (at !== changes.length) throw new Damage(`the index names ${changes.length} records, and there are ${at}`);
  return changes;
}

function valueIn(pages: Pages, { inline, big }: Node): Buffer {
  return inline ?? pages.big(big as NonNullable<Node["big"]>);
}
