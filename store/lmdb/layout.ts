/**
 * Keys and records on disk. Three tables: `rev` holds every change in order of revision, with its value; `idx` holds the
 * same records up to the value, so that opening reads little; `meta` holds the format, the leases, how far the past was
 * forgotten, and the last revision then. Both tables of changes only grow at their end: an index in order of key made
 * each commit rewrite one page per key (1.1 MB instead of 0.2 MB for 128 writes). Numbers are big-endian, so that their
 * order is the bytes' order.
 */
import type { LeaseId, Revision } from "../types.ts";

/** Raised with every change of what follows; an engine opens its own format only. */
export const FORMAT_VERSION = 1;

/** One change of one key: a put, or a delete (`version` 0). */
export interface Change {
  readonly key: string;
  readonly modRevision: Revision;
  /** Its place among the changes of its revision. */
  readonly sub: number;
  readonly createRevision: Revision;
  readonly version: number;
  readonly lease: LeaseId | undefined;
}

export const META = {
  format: Buffer.from("format"),
  /** The revision through which the past is forgotten. */
  compacted: Buffer.from("compacted"),
  /** The store's revision at that time: its last change may be among what was forgotten. */
  revision: Buffer.from("revision"),
  leasePrefix: "lease/",
} as const;

/** Marks a row as ours: a page of zeros must not read as a change. */
const ROW_MARK = 0xa5;

/** mark, sub, create revision, version, length of the lease. */
const HEAD_BYTES = 1 + 4 + 8 + 8 + 1;

export function revKey(revision: Revision, sub: number): Buffer {
  const bytes = Buffer.allocUnsafe(12);
  writeU64(bytes, revision, 0);
  bytes.writeUInt32BE(sub, 8);
  return bytes;
}

export interface Row {
  /** What `rev` holds: the head, the key, the value. */
  readonly row: Buffer;
  /** What `idx` holds: the part of it before the value. */
  readonly head: Buffer;
  /** The part of it that is the value. */
  readonly value: Buffer;
}

export function encodeRow(change: Change, value: Uint8Array): Row {
  const leaseEnd = HEAD_BYTES + (change.lease?.length ?? 0);
  const keyEnd = leaseEnd + 2 + change.key.length;
  const row = Buffer.allocUnsafe(keyEnd + value.byteLength);
  row[0] = ROW_MARK;
  row.writeUInt32BE(change.sub, 1);
  writeU64(row, change.createRevision, 5);
  writeU64(row, change.version, 13);
  row[21] = change.lease?.length ?? 0;
  if (change.lease !== undefined) row.write(change.lease, HEAD_BYTES, "latin1");
  row.writeUInt16BE(change.key.length, leaseEnd);
  row.write(change.key, leaseEnd + 2, "latin1");
  row.set(value, keyEnd);
  return { row, head: row.subarray(0, keyEnd), value: row.subarray(keyEnd) };
}

/** @throws RangeError or Error when the bytes are none of ours. */
export function decodeRow(key: Buffer, row: Buffer): { change: Change; value: Buffer } {
  if (row[0] !== ROW_MARK) throw new Error("a record without its mark");
  const leaseEnd = HEAD_BYTES + row.readUInt8(21);
  const keyEnd = leaseEnd + 2 + row.readUInt16BE(leaseEnd);
  if (keyEnd > row.length) throw new Error("a record cut short");
  const change = {
    key: row.toString("latin1", leaseEnd + 2, keyEnd),
    modRevision: readU64(key, 0),
    sub: row.readUInt32BE(1),
    createRevision: readU64(row, 5),
    version: readU64(row, 13),
    lease: leaseEnd === HEAD_BYTES ? undefined : row.toString("latin1", HEAD_BYTES, leaseEnd),
  };
  return { change, value: row.subarray(keyEnd) };
}

export function encodeNumber(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  writeU64(bytes, value, 0);
  return bytes;
}

export function decodeNumber(bytes: Buffer): number {
  return readU64(bytes, 0);
}

export function leaseKey(id: LeaseId): Buffer {
  return Buffer.from(META.leasePrefix + id, "latin1");
}

function writeU64(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  bytes.writeUInt32BE(value >>> 0, at + 4);
}

function readU64(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
}
