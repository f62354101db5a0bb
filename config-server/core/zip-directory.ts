/**
 * Checks the directory of a zip before a byte of it is inflated: the number and sizes of entries, names that stay inside, no
 * links, no overlapping entries. Pure; reads the central directory, which is authoritative.
 * @see PKWARE APPNOTE.TXT 4.3, and Fifield, "A better zip bomb" (overlapping entries)
 */
import { ConfigErrors, fileBytesMax, TRANSFER_BYTES_MAX, TRANSFER_FILES_MAX, ZIP_RATIO_MAX } from "../api.ts";

export interface ZipEntry {
  readonly name: string;
  /** 0: stored; 8: deflated. */
  readonly method: 0 | 8;
  readonly crc: number;
  /** Bytes once inflated, as declared. */
  readonly size: number;
  /** Offsets of its bytes in the zip. */
  readonly start: number;
  readonly end: number;
}

const END = { signature: 0x06054b50, bytes: 22, commentMax: 0xffff };
const CENTRAL = { signature: 0x02014b50, bytes: 46 };
const LOCAL = { signature: 0x04034b50, bytes: 30 };
const ENCRYPTED = 1;
const UNIX_TYPE = 0o170000;
const UNIX_LINK = 0o120000;
const UNIX_FOLDER = 0o040000;
/** A zip with fewer inflated bytes is not a bomb, however well it shrinks. */
const RATIO_FROM_BYTES = 1024 * 1024;

/** Files of a zip, without folders. @throws CONFIG_ZIP_INVALID (`extra.entry`), CONFIG_ZIP_TOO_LARGE */
export function readZipDirectory(zip: Uint8Array): ZipEntry[] {
  const view = new DataView(zip.buffer, zip.byteOffset, zip.byteLength);
  const end = findEnd(view);
  const count = view.getUint16(end + 10, true);
  const size = view.getUint32(end + 12, true);
  let at = view.getUint32(end + 16, true);
  if (count === 0xffff || at === 0xffffffff) throw invalid("", "it is a zip64; split it by namespace or app");
  if (view.getUint16(end + 4, true) !== 0 || view.getUint16(end + 8, true) !== count) {
    throw invalid("", "it is one part of a multi-part zip");
  }
  if (count > TRANSFER_FILES_MAX) {
    throw tooLarge(
      "",
      `it has ${count} entries; at most ${TRANSFER_FILES_MAX} are allowed. Split it by namespace or app`,
    );
  }
  if (at + size > end) throw invalid("", "its directory is cut off");
  const entries: ZipEntry[] = [];
  const names = new Set<string>();
  let total = 0;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL.bytes > end || view.getUint32(at, true) !== CENTRAL.signature) {
      throw invalid("", "its directory is cut off");
    }
    const nameBytes = view.getUint16(at + 28, true);
    const next = at + CENTRAL.bytes + nameBytes + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    if (next > end) throw invalid("", "its directory is cut off");
    const name = entryNameOf(zip.subarray(at + CENTRAL.bytes, at + CENTRAL.bytes + nameBytes));
    const entry = entryAt(view, zip, at, name);
    if (names.has(name)) throw invalid(name, "the name appears twice");
    names.add(name);
    if (entry) {
      total += entry.size;
      if (total > TRANSFER_BYTES_MAX) {
        throw tooLarge("", `its inflated size is more than ${TRANSFER_BYTES_MAX} bytes. Split it by namespace or app`);
      }
      entries.push(entry);
    }
    at = next;
  }
  if (total > RATIO_FROM_BYTES && total > zip.length * ZIP_RATIO_MAX) {
    throw invalid("", `it would inflate to more than ${ZIP_RATIO_MAX} times its size, like a zip bomb`);
  }
  requireApart(entries);
  return entries;
}

/** Undefined for a folder. */
function entryAt(view: DataView, zip: Uint8Array, at: number, name: string): ZipEntry | undefined {
  requireSafeName(name);
  const flags = view.getUint16(at + 8, true);
  const method = view.getUint16(at + 10, true);
  const compressed = view.getUint32(at + 20, true);
  const size = view.getUint32(at + 24, true);
  const local = view.getUint32(at + 42, true);
  // The upper half holds the mode of Unix, whatever system wrote the zip; others leave it 0.
  const type = (view.getUint32(at + 38, true) >>> 16) & UNIX_TYPE;
  if (type === UNIX_LINK) throw invalid(name, "it is a symbolic link; add the file itself");
  if (name.endsWith("/") || type === UNIX_FOLDER) {
    if (size !== 0) throw invalid(name, "it is a folder with content");
    return undefined;
  }
  if ((flags & ENCRYPTED) !== 0) throw invalid(name, "it is encrypted");
  if (method !== 0 && method !== 8)
    throw invalid(name, `it is compressed by method ${method}; only deflate is supported`);
  if (size > fileBytesMax(name)) throw tooLarge(name, `it is ${size} bytes; at most ${fileBytesMax(name)} are allowed`);
  if (method === 0 && size !== compressed) throw invalid(name, "its two sizes differ although it is not compressed");
  if (local + LOCAL.bytes > zip.length || view.getUint32(local, true) !== LOCAL.signature) {
    throw invalid(name, "it is not where the directory says");
  }
  const nameBytes = view.getUint16(local + 26, true);
  if (entryNameOf(zip.subarray(local + LOCAL.bytes, local + LOCAL.bytes + nameBytes)) !== name) {
    throw invalid(name, "its name differs from the name in the directory");
  }
  const start = local + LOCAL.bytes + nameBytes + view.getUint16(local + 28, true);
  const end = start + compressed;
  if (end > zip.length) throw invalid(name, "it is cut off");
  return { name, method, crc: view.getUint32(at + 16, true), size, start, end };
}

function findEnd(view: DataView): number {
  const lowest = Math.max(0, view.byteLength - END.bytes - END.commentMax);
  for (let at = view.byteLength - END.bytes; at >= lowest; at--) {
    if (view.getUint32(at, true) === END.signature) return at;
  }
  throw invalid("", "it is not a zip file, or it is cut off");
}

/** Bytes that are not UTF-8 become replacement characters. No key has such a name, so the entry is rejected later. */
function entryNameOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function requireSafeName(name: string): void {
  if (name.includes("\\")) throw invalid(name, "its name has a backslash; separate folders with /");
  if (name.startsWith("/") || /^[A-Za-z]:/.test(name)) throw invalid(name, "its name is absolute");
  const parts = name.replace(/\/$/, "").split("/");
  if (parts.some((part) => part === ".." || part === "." || part === "")) {
    throw invalid(name, 'its name has an empty, "." or ".." part');
  }
  if (name.includes("\0")) throw invalid(name, "its name has a NUL");
}

/** Entries must not overlap: a few bytes could otherwise be inflated thousands of times. */
function requireApart(entries: readonly ZipEntry[]): void {
  let reached = 0;
  for (const { name, start, end } of entries.toSorted((a, b) => a.start - b.start)) {
    if (start < reached) throw invalid(name, "it overlaps another entry");
    reached = end;
  }
}

export function invalid(entry: string, what: string) {
  const which = entry === "" ? "The zip cannot be used" : `Entry "${entry}" of the zip cannot be used`;
  return ConfigErrors.ZIP_INVALID(`${which}: ${what}. Nothing was imported.`, { extra: { entry } });
}

function tooLarge(entry: string, what: string) {
  const which = entry === "" ? "The zip" : `Entry "${entry}" of the zip`;
  return ConfigErrors.ZIP_TOO_LARGE(`${which} is too large: ${what}. Nothing was imported.`, { extra: { entry } });
}
