/**
 * Keys and records on disk. Three tables: `rev` has every change in order of revision, with its value; `idx` has the same records without
 * the value, so that opening reads little; `meta` has the format, the leases, the compacted revision, and the last revision at that time.
 * Both tables of changes only grow at their end: an index in order of key made each commit rewrite one page per key (1.1 MB instead of
 * 0.2 MB for 128 writes). Numbers are big-endian, so that their order is the order of the bytes. Every record has a checksum over itself
 * and its key, so that a flipped bit on the disk is an error and not another value.
 */
import { crc32 } from "node:zlib";
import type { LeaseId, Revision } from "../types.ts";

/** Increased with every change of the format. A store of an older format is upgraded when it is opened. */
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

/** Marks a row of this format. The mark of format 1 was 0xa5. */
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
  /** The record of `rev`: the head, the key, the value. */
  readonly row: Buffer;
  /** The record of `idx`: the part of `row` before the value. */
  readonly head: Buffer;
  /** The part of `row` that is the value. */
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
 * The checksum includes the key of the record, because a record under another key is as wrong as another record. The key's part is a
 * product with odd numbers, because a second call would cost as much as the rest.
 */
function headSum(place: number, head: Buffer, end: number): number {
  return (crc32(head.subarray(5, end)) ^ place) >>> 0;
}

/** The key's part of a checksum. */
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
 * Checks a record of `rev` without decoding it. `sum` is the checksum of its head in `idx`, which has the same head. Without `whole`, the
 * value is incomplete and not checked. @returns whether the record is intact
 */
export function isRow(key: Buffer, row: Buffer, { sum, whole }: { sum: number; whole: boolean }): boolean {
  if (key.length !== 12 || row[0] !== ROW_MARK || row.length < HEAD_BYTES + 2 || row.readUInt32BE(1) !== sum)
    return false;
  const keyEnd = keyEndOf(row, SUMS_BYTES);
  if (keyEnd > row.length || headSum(placeOfKey(key), row, keyEnd) !== sum) return false;
  return !whole || crc32(row.subarray(keyEnd)) === row.readUInt32BE(5);
}

/** The checksum that a head contains. */
export function sumOf(head: Buffer): number {
  return head.readUInt32BE(1);
}

/** Decodes a record of `idx`. @throws Error with the name of a damaged record */
export function decodeHead(key: Buffer, head: Buffer): Change {
  const { change, keyEnd } = decodeChange(key, head);
  if (keyEnd !== head.length) throw new Error(`${recordNameOf(change)} has the wrong length`);
  return change;
}

/** Decodes a record of `rev`. @throws Error with the name of a damaged record */
export function decodeRow(key: Buffer, row: Buffer): { change: Change; value: Buffer; head: Buffer } {
  const { change, keyEnd } = decodeChange(key, row);
  const value = row.subarray(keyEnd);
  if (crc32(value) !== row.readUInt32BE(5))
    throw new Error(`the value of ${recordNameOf(change)} does not match its checksum`);
  return { change, value, head: row.subarray(0, keyEnd) };
}

/**
 * Decodes a record of either table as far as its checksums hold: the change, and whether the value is intact; undefined for a damaged
 * head. A record of `idx` counts as intact when the value is empty, such as that of a delete.
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
  const wrong = () => new Error(`${recordPlaceOf(key)} does not match its checksum`);
  if (key.length !== 12 || row[0] !== ROW_MARK || row.length < HEAD_BYTES + 2) throw wrong();
  const { change, keyEnd } = fieldsOf(key, row, SUMS_BYTES);
  if (keyEnd > row.length || headSum(placeOfKey(key), row, keyEnd) !== row.readUInt32BE(1)) throw wrong();
  return { change, keyEnd };
}

/** Decodes a record of format 1, without checksums; undefined for a record of this format. @throws Error */
export function decodeRow1(key: Buffer, row: Buffer): { change: Change; value: Buffer } | undefined {
  if (row[0] === ROW_MARK) return undefined;
  if (key.length !== 12 || row[0] !== ROW_MARK_1 || row.length < 1 + FIXED_BYTES + 2) {
    throw new Error(`${recordPlaceOf(key)} is not a record`);
  }
  const { change, keyEnd } = fieldsOf(key, row, 1);
  if (keyEnd > row.length) throw new Error(`${recordPlaceOf(key)} is truncated`);
  return { change, value: row.subarray(keyEnd) };
}

/** The change of a row; `at` is the offset of its fields. */
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

/** The offset of the value; Infinity when the row is too short. */
function keyEndOf(row: Buffer, at: number): number {
  const leaseEnd = at + FIXED_BYTES + row.readUInt8(at + FIXED_BYTES - 1);
  return leaseEnd + 2 <= row.length ? leaseEnd + 2 + row.readUInt16BE(leaseEnd) : Infinity;
}

/** Describes a record, for people. */
export function recordNameOf({ key, modRevision }: Pick<Change, "key" | "modRevision">): string {
  return `the record of "${key}" at revision ${modRevision}`;
}

/** Describes the place of a record by its key, for people. */
export function recordPlaceOf(key: Buffer): string {
  return key.length === 12 ? `record ${key.readUInt32BE(8)} of revision ${readU64(key, 0)}` : "a record without a key";
}

/** Encodes a number of the meta table, with a checksum over it and its key. */
export function encodeMeta(key: Buffer, value: number): Buffer {
  const bytes = Buffer.allocUnsafe(12);
  writeU64(bytes, value, 0);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 8), crc32(key)), 8);
  return bytes;
}

/** @throws Error with the name of a damaged record */
export function decodeMeta(key: Buffer, bytes: Buffer): number {
  if (bytes.length !== 12 || crc32(bytes.subarray(0, 8), crc32(key)) !== bytes.readUInt32BE(8)) {
    throw new Error(`the record "${key.toString("latin1")}" does not match its checksum`);
  }
  return readU64(bytes, 0);
}

/** Decodes a number of the meta table of format 1. @throws Error */
export function decodeMeta1(key: Buffer, bytes: Buffer): number {
  if (bytes.length !== 8) throw new Error(`the record "${key.toString("latin1")}" has the wrong length`);
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
