/** Zip files: written as a stream of bytes that depend on the content alone, and read with every size known in advance. */
import { promisify } from "node:util";
import { crc32, inflateRaw } from "node:zlib";
import { Zip, ZipDeflate } from "fflate";
import { invalid, readZipDirectory } from "../core/zip-directory.ts";
import type { TreeFile } from "../core/tree.ts";

/** The media type of zip files. */
export const ZIP_TYPE = "application/zip";

/** The earliest time that a zip can hold, in any time zone: a zip keeps local time without its zone. */
const MTIME = new Date(1980, 0, 1);
/** Made on Unix, a plain file that its owner may write. */
const UNIX = 3;
const PLAIN_FILE = (0o100644 << 16) >>> 0;
const LEVEL = 6;

/** A zip as it grows, file by file. Only its directory is kept in memory. */
export async function* writeZip(files: AsyncIterable<TreeFile> | Iterable<TreeFile>): AsyncGenerator<Uint8Array> {
  let ready: Uint8Array[] = [];
  let failure: Error | undefined;
  const zip = new Zip((error, chunk) => {
    if (error) failure = error;
    else ready.push(chunk);
  });
  for await (const { path, bytes } of files) {
    const entry = new ZipDeflate(path, { level: LEVEL });
    Object.assign(entry, { mtime: MTIME, os: UNIX, attrs: PLAIN_FILE });
    zip.add(entry);
    entry.push(bytes, true);
    if (failure) throw failure;
    yield* ready;
    ready = [];
  }
  zip.end();
  if (failure) throw failure;
  yield* ready;
}

const inflate = promisify(inflateRaw);

/**
 * The files of a zip. The directory has been checked; an entry that does not match it is rejected.
 * @throws CONFIG_ZIP_INVALID (`extra.entry`), CONFIG_ZIP_TOO_LARGE
 */
export async function readZip(zip: Uint8Array): Promise<TreeFile[]> {
  const files: TreeFile[] = [];
  for (const { name, method, crc, size, start, end } of readZipDirectory(zip)) {
    const raw = zip.subarray(start, end);
    let bytes: Uint8Array = raw;
    if (method === 8) {
      // The inflater stops at the declared size, so a false size costs no memory.
      bytes = await inflate(raw, { maxOutputLength: Math.max(1, size) }).catch((cause: unknown) => {
        const lied = (cause as { code?: string }).code === "ERR_BUFFER_TOO_LARGE";
        throw invalid(name, lied ? `it is larger than its declared size of ${size} bytes` : "it cannot be inflated");
      });
    }
    if (bytes.length !== size) throw invalid(name, `it is ${bytes.length} bytes, but its declared size is ${size}`);
    if (crc32(bytes) !== crc) throw invalid(name, "its checksum is wrong");
    files.push({ path: name, bytes });
  }
  return files;
}
