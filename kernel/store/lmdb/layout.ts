/**
 * Keys and records on disk. Three tables: `rev` holds every change in order of revision, with its value; `idx` holds the
 * same records up to the value, so that opening reads little; `meta` holds the format, the leases, how far the past was
 * forgotten, and the last revision then. Both tables of changes only grow at their end: an index in order of key made
 * each commit rewrite one page per key (1.1 MB instead of 0.2 MB for 128 writes). Numbers are big-endian, so that their
 * order is the bytes' order. Every record has a checksum over itself and its key, so that a byte that turned on the disk is an error
 * and not another value.
 */
import { crc32 } from "node:zlib";
import type { LeaseId, Revision } from "../types.ts";

/** Raised with every change of what follows. An older format is brought up to this one when the store is opened. */
export const FORMAT_VERSION = 2;

/** Name of the data file in the data folder. */
export const DATA_FILE = "data.mdb";

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

/** Marks a row as ours and of this format; that of format 1 was 0xa5. */
const ROW_MARK = 0xa6;
const ROW_MARK_1 = 0xa5;

/** mark, checksum of the head, checksum of the value. */
const SUMS_BYTES = 1 + 4 + 4;
/** sub, create revision, version, length of the lease. */
const FIXED_BYTES = 4 + 8 + 8 + 1;
const HEAD_BYTES = SUMS_BYTES + FIXED_BYTES;

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
  row.writeUInt32BE(crc32(value), 5);
  row.writeUInt32BE(change.sub, SUMS_BYTES);
  writeU64(row, change.createRevision, SUMS_BYTES + 4);
  writeU64(row, change.version, SUMS_BYTES + 12);
  row[HEAD_BYTES - 1] = change.lease?.length ?? 0;
  if (change.lease !== undefined) row.write(change.lease, HEAD_BYTES, "latin1");
  row.writeUInt16BE(change.key.length, leaseEnd);
  row.write(change.key, leaseEnd + 2, "latin1");
  row.set(value, keyEnd);
  const head = row.subarray(0, keyEnd);
  row.writeUInt32BE(headSum(placeOfRevision(change.modRevision, change.sub), row, keyEnd), 1);
  return { row, head, value: row.subarray(keyEnd) };
}

/**
 * Over the key of the record, too: one that stands under another key is as wrong as another record. The key's part is a product with
 * odd numbers instead of a second call, which would cost as much as the rest.
 */
function headSum(place: number, head: Buffer, end: number): number {
  return (crc32(head.subarray(5, end)) ^ place) >>> 0;
}

/** The part of a checksum that a record's key is. */
function placeOfRevision(revision: Revision, sub: number): number {
  return (
    Math.imul(revision >>> 0, 0x9e3779b1) ^
    Math.imul(Math.floor(revision / 2 ** 32), 0x85ebca6b) ^
    Math.imul(sub, 0xc2b2ae35)
  );
}

function placeOfKey(key: Buffer): number {
  return placeOfRevision(readU64(key, 0), key.readUInt32BE(8));
}

/**
 * Checks a record of `rev` without decoding it. `sum` is the checksum of its head in `idx`, which has the same head; without `whole`
 * the value is not all there and is left out. @returns whether it is what was written
 */
export function isRow(key: Buffer, row: Buffer, { sum, whole }: { sum: number; whole: boolean }): boolean {
  if (key.length !== 12 || row[0] !== ROW_MARK || row.length < HEAD_BYTES + 2 || row.readUInt32BE(1) !== sum)
    return false;
  const keyEnd = keyEndOf(row, SUMS_BYTES);
  if (keyEnd > row.length || headSum(placeOfKey(key), row, keyEnd) !== sum) return false;
  return !whole || crc32(row.subarray(keyEnd)) === row.readUInt32BE(5);
}

/** The checksum of a head, as it stands there. */
export function sumOf(head: Buffer): number {
  return head.readUInt32BE(1);
}

/** A record of `idx`. @throws Error that names the record when it is not what was written */
export function decodeHead(key: Buffer, head: Buffer): Change {
  const { change, keyEnd } = decodeChange(key, head);
  if (keyEnd !== head.length) throw new Error(`${nameOf(change)} has another length`);
  return change;
}

/** A record of `rev`. @throws Error that names the record when it is not what was written */
export function decodeRow(key: Buffer, row: Buffer): { change: Change; value: Buffer; head: Buffer } {
  const { change, keyEnd } = decodeChange(key, row);
  const value = row.subarray(keyEnd);
  if (crc32(value) !== row.readUInt32BE(5))
    throw new Error(`the value of ${nameOf(change)} does not match its checksum`);
  return { change, value, head: row.subarray(0, keyEnd) };
}

/**
 * A record of either table as far as its checksums reach: the change, and whether the value is whole; undefined when the head is not
 * what was written. A record of `idx` is whole when the value is empty, as that of a delete is.
 */
export function readRecord(key: Buffer, row: Buffer): { change: Change; isWhole: boolean } | undefined {
  try {
    const { change, keyEnd } = decodeChange(key, row);
    return { change, isWhole: crc32(row.subarray(keyEnd)) === row.readUInt32BE(5) };
  } catch {
    return undefined;
  }
}

function decodeChange(key: Buffer, row: Buffer): { change: Change; keyEnd: number } {
  const wrong = () => new Error(`${placeOf(key)} does not match its checksum`);
  if (key.length !== 12 || row[0] !== ROW_MARK || row.length < HEAD_BYTES + 2) throw wrong();
  const { change, keyEnd } = fieldsOf(key, row, SUMS_BYTES);
  if (keyEnd > row.length || headSum(placeOfKey(key), row, keyEnd) !== row.readUInt32BE(1)) throw wrong();
  return { change, keyEnd };
}

/** A record as format 1 had it, without checksums; undefined when it is already of this format. @throws Error */
export function decodeRow1(key: Buffer, row: Buffer): { change: Change; value: Buffer } | undefined {
  if (row[0] === ROW_MARK) return undefined;
  if (key.length !== 12 || row[0] !== ROW_MARK_1 || row.length < 1 + FIXED_BYTES + 2) {
    throw new Error(`${placeOf(key)} is not a record`);
  }
  const { change, keyEnd } = fieldsOf(key, row, 1);
  if (keyEnd > row.length) throw new Error(`${placeOf(key)} is cut short`);
  return { change, value: row.subarray(keyEnd) };
}

/** The change that a row tells of; `at` is where its fields begin. */
function fieldsOf(key: Buffer, row: Buffer, at: number): { change: Change; keyEnd: number } {
  const leaseStart = at + FIXED_BYTES;
  const leaseEnd = leaseStart + row.readUInt8(leaseStart - 1);
  const keyEnd = keyEndOf(row, at);
  const change = {
    key: row.toString("latin1", leaseEnd + 2, Math.min(keyEnd, row.length)),
    modRevision: readU64(key, 0),
    sub: row.readUInt32BE(at),
    createRevision: readU64(row, at + 4),
    version: readU64(row, at + 12),
    lease: leaseEnd === leaseStart ? undefined : row.toString("latin1", leaseStart, leaseEnd),
  };
  return { change, keyEnd };
}

/** Where the part before the value ends; Infinity when the row is too short. */
function keyEndOf(row: Buffer, at: number): number {
  const leaseEnd = at + FIXED_BYTES + row.readUInt8(at + FIXED_BYTES - 1);
  return leaseEnd + 2 <= row.length ? leaseEnd + 2 + row.readUInt16BE(leaseEnd) : Infinity;
}

/** For people: what a record is about. */
export function nameOf({ key, modRevision }: Pick<Change, "key" | "modRevision">): string {
  return `the record of "${key}" at revision ${modRevision}`;
}

/** For people: which record a key leads to. */
export function placeOf(key: Buffer): string {
  return key.length === 12 ? `record ${key.readUInt32BE(8)} of revision ${readU64(key, 0)}` : "a record without a key";
}

/** A number of the meta table, with a checksum over it and its key. */
export function encodeMeta(key: Buffer, value: number): Buffer {
  const bytes = Buffer.allocUnsafe(12);
  writeU64(bytes, value, 0);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 8), crc32(key)), 8);
  return bytes;
}

/** @throws Error that names the record when it is not what was written */
export function decodeMeta(key: Buffer, bytes: Buffer): number {
  if (bytes.length !== 12 || crc32(bytes.subarray(0, 8), crc32(key)) !== bytes.readUInt32BE(8)) {
    throw new Error(`the record "${key.toString("latin1")}" does not match its checksum`);
  }
  return readU64(bytes, 0);
}

/** A number of the meta table as format 1 had it. @throws Error */
export function decodeMeta1(key: Buffer, bytes: Buffer): number {
  if (bytes.length !== 8) throw new Error(`the record "${key.toString("latin1")}" has another length`);
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
