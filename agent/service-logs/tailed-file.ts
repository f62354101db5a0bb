/** One log file that is open for reading: its position, its identity, and the lines that were added to it. */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { LineSplitter } from "./core/lines.ts";
import type { Position } from "./log-state.ts";

/** Bytes at the start of a file that tell it from another file with the same inode. */
const PRINT_BYTES = 1024;
/** Milliseconds for which a line without an end waits for its rest. */
const PARTIAL_MS = 500;

/** The path is a link, a folder or a device: the agent reads only regular files. */
export class NotPlainFile extends Error {}

/** @throws NotPlainFile, and the errors of the system */
export async function openTailed(path: string): Promise<TailedFile> {
  // Without blocking, since a path that is a pipe would otherwise hang.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(path, flags).catch((error: NodeJS.ErrnoException) => {
    throw error.code === "ELOOP" ? new NotPlainFile("it is a symbolic link") : error;
  });
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw new NotPlainFile("it is not a regular file");
    return new TailedFile(path, handle, { file: fileIdOf(stats), size: stats.size });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

export function fileIdOf({ dev, ino }: { dev: number; ino: number }): string {
  return `${dev}:${ino}`;
}

export class TailedFile implements AsyncDisposable {
  readonly path: string;
  readonly file: string;
  /** Bytes of the file when it was opened. */
  readonly sizeAtOpen: number;
  readonly #handle: FileHandle;
  #splitter = new LineSplitter();
  #readTo = 0;
  #print: Position["print"] = { bytes: 0, digest: "" };
  /** When bytes were read last; undefined before the first look. */
  #changedAtMs: number | undefined;

  constructor(path: string, handle: FileHandle, { file, size }: { file: string; size: number }) {
    this.path = path;
    this.#handle = handle;
    this.file = file;
    this.sizeAtOpen = size;
  }

  /** Continues at a position of an earlier run; false: it is another file, or it was truncated. */
  async continueAt({ file, print, offset, isCutting }: Position): Promise<boolean> {
    if (file !== this.file || offset > this.sizeAtOpen) return false;
    const { digest } = await this.#printOf(print.bytes);
    if (digest !== print.digest) return false;
    this.#readTo = offset;
    this.#splitter = new LineSplitter(isCutting);
    return true;
  }

  startAtEnd(): void {
    this.#readTo = this.sizeAtOpen;
  }

  /** Lines added since the last call, read into the buffer; `isMore`: the buffer was filled. */
  async read(buffer: Buffer, nowMs: number): Promise<{ lines: string[]; isMore: boolean; isTruncated: boolean }> {
    const isTruncated = (await this.#handle.stat()).size < this.#readTo;
    const start = isTruncated ? 0 : this.#readTo;
    const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, start);
    this.#readTo = start + bytesRead;
    const ended = isTruncated ? this.#splitter.flush() : [];
    if (isTruncated) {
      this.#print = { bytes: 0, digest: "" };
      this.#splitter = new LineSplitter();
    }
    if (bytesRead > 0) this.#changedAtMs = nowMs;
    const quietMs = this.quietMs(nowMs);
    const lines = this.#splitter.push(buffer.subarray(0, bytesRead));
    if (quietMs >= PARTIAL_MS) lines.push(...this.#splitter.flush());
    return { lines: [...ended, ...lines], isMore: bytesRead === buffer.length, isTruncated };
  }

  /** Milliseconds since bytes were read last. */
  quietMs(nowMs: number): number {
    this.#changedAtMs ??= nowMs;
    return nowMs - this.#changedAtMs;
  }

  /** Where a later run continues: after the last complete line. */
  async position(): Promise<Position> {
    if (this.#print.bytes < PRINT_BYTES) this.#print = await this.#printOf(PRINT_BYTES).catch(() => this.#print);
    return {
      path: this.path,
      file: this.file,
      print: this.#print,
      offset: this.#readTo - this.#splitter.restBytes,
      isCutting: this.#splitter.isCutting,
    };
  }

  async #printOf(length: number): Promise<Position["print"]> {
    const { buffer, bytesRead } = await this.#handle.read(Buffer.alloc(length), 0, length, 0);
    const digest = createHash("sha256").update(buffer.subarray(0, bytesRead)).digest("base64");
    return { bytes: bytesRead, digest };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
