/**
 * The tree of collected logs: `DAY/SERVICE/INSTANCE/LEVEL.log`. A batch is appended whole or not at all, and each file's length is known,
 * so that what an interrupted run appended beyond it is cut off.
 */
import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, rmdir, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { LogLevel } from "./core/level.ts";
import { dayOf, filesToDelete, type TreeFile, type TreeLimits } from "./core/retention.ts";

/** Bytes after which a file is followed by the next one; small enough for an editor. */
const TREE_FILE_BYTES_MAX = 16 * 1024 * 1024;
/** Logs can contain secrets: only the agent's user reads them. */
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

export interface TreeLine {
  readonly timeMs: number;
  readonly service: string;
  readonly instance: string;
  readonly level: LogLevel;
  readonly text: string;
}

export class LogTree {
  readonly folder: string;
  readonly #fileBytesMax: number;
  /** Bytes of the files that are being written, by their paths below the tree. */
  #open = new Map<string, number>();
  /** Path of the file that is being written, by day, service, instance and level. */
  readonly #current = new Map<string, string>();

  constructor(folder: string, fileBytesMax = TREE_FILE_BYTES_MAX) {
    this.folder = folder;
    this.#fileBytesMax = fileBytesMax;
  }

  /** Bytes of the files that are being written. */
  get open(): ReadonlyMap<string, number> {
    return this.#open;
  }

  /** Cuts the files of an earlier run off at the lengths that it kept, and continues them. */
  async restore(open: Readonly<Record<string, number>>): Promise<void> {
    for (const [path, bytes] of Object.entries(open)) {
      const size = await this.#cut(path, bytes);
      if (size === undefined) continue;
      this.#open.set(path, size);
      this.#current.set(stemOf(path), path);
    }
  }

  /**
   * Chooses the files of a batch, and stops writing to those of earlier days. Returns whether a file is new; then the caller keeps
   * `open` before it appends.
   */
  async prepare(lines: readonly TreeLine[], nowMs: number): Promise<boolean> {
    const today = dayOf(nowMs);
    for (const [stem, path] of this.#current) {
      if (stem.startsWith(today)) continue;
      this.#current.delete(stem);
      this.#open.delete(path);
    }
    let isNew = false;
    for (const stem of new Set(lines.map((line) => stemFor(line, today)))) {
      const current = this.#current.get(stem);
      if (current !== undefined && (this.#open.get(current) ?? 0) < this.#fileBytesMax) continue;
      const next = await this.#nextPath(stem);
      if (current !== undefined) this.#open.delete(current);
      this.#current.set(stem, next);
      this.#open.set(next, 0);
      isNew = true;
    }
    return isNew;
  }

  /** Appends the lines of a prepared batch. When it rejects, a second call with the same batch repeats it. */
  async append(lines: readonly TreeLine[], nowMs: number): Promise<void> {
    const today = dayOf(nowMs);
    const texts = new Map<string, string[]>();
    for (const line of lines) {
      const path = this.#current.get(stemFor(line, today));
      if (path === undefined) throw new Error("the batch was not prepared");
      const text = `${new Date(line.timeMs).toISOString()} ${line.text}\n`;
      const list = texts.get(path);
      if (list) list.push(text);
      else texts.set(path, [text]);
    }
    const lengths = new Map(this.#open);
    try {
      for (const [path, list] of texts) lengths.set(path, await this.#write(path, Buffer.from(list.join(""))));
    } catch (error) {
      // The batch may be repeated into the files of another day.
      for (const path of texts.keys()) await this.#cut(path, this.#open.get(path) ?? 0).catch(() => {});
      throw error;
    }
    this.#open = lengths;
  }

  /** Deletes what is beyond the limits, and the folders that are empty afterwards. */
  async sweep(limits: TreeLimits, nowMs: number): Promise<void> {
    const files = await this.#files();
    for (const { path } of filesToDelete(files, { limits, nowMs, isOpen: (one) => this.#open.has(one) })) {
      await unlink(join(this.folder, path)).catch(ignoreMissing);
      // A folder with content stays: the system refuses to remove it.
      for (let up = dirname(path); up !== "."; up = dirname(up)) {
        const isRemoved = await rmdir(join(this.folder, up)).then(
          () => true,
          () => false,
        );
        if (!isRemoved) break;
      }
    }
  }

  /** Writes at the known length, so that the rest of a failed write is overwritten. Returns the new length. */
  async #write(path: string, bytes: Buffer): Promise<number> {
    const whole = join(this.folder, path);
    await mkdir(dirname(whole), { recursive: true, mode: FOLDER_MODE });
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    await using file = await open(whole, flags, FILE_MODE);
    const { size } = await file.stat();
    // Someone may have emptied or removed the file.
    const start = Math.min(size, this.#open.get(path) ?? 0);
    if (size > start) await file.truncate(start);
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await file.write(bytes, at, bytes.length - at, start + at);
      at += bytesWritten;
    }
    return start + bytes.length;
  }

  /** The length afterwards; undefined for a file that cannot be opened, as one that was removed. */
  async #cut(path: string, bytes: number): Promise<number | undefined> {
    try {
      await using file = await open(join(this.folder, path), constants.O_RDWR | constants.O_NOFOLLOW);
      const { size } = await file.stat();
      if (size > bytes) await file.truncate(bytes);
      return Math.min(size, bytes);
    } catch (error) {
      ignoreMissing(error);
      return undefined;
    }
  }

  async #nextPath(stem: string): Promise<string> {
    for (let number = 0; ; number++) {
      const path = number === 0 ? `${stem}.log` : `${stem}.${number}.log`;
      const exists = await lstat(join(this.folder, path)).then(() => true, ignoreMissing);
      if (exists !== true && !this.#open.has(path)) return path;
    }
  }

  async #files(): Promise<TreeFile[]> {
    const entries = await readdir(this.folder, { recursive: true, withFileTypes: true }).catch(() => []);
    const files: TreeFile[] = [];
    for (const entry of entries) {
      const whole = join(entry.parentPath, entry.name);
      const stats = entry.isFile() ? await lstat(whole).catch(() => undefined) : undefined;
      if (stats)
        files.push({ path: whole.slice(this.folder.length + 1), bytes: stats.size, changedAtMs: stats.mtimeMs });
    }
    return files;
  }
}

function stemFor({ service, instance, level }: TreeLine, day: string): string {
  return `${day}/${service}/${instance}/${level}`;
}

function stemOf(path: string): string {
  return path.replace(/(\.\d+)?\.log$/, "");
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
