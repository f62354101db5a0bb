/**
 * A disk in memory that replaces `node:fs/promises` under `/sim/`: each operation takes a moment of virtual time, a
 * write arrives in two halves, and a process killed in between leaves the first half. It has only the operations that
 * agents use.
 */
import type * as files from "node:fs/promises";
import type { Random } from "#base";
import type { History } from "./history.ts";
import { never, type Life, type SimTime } from "./host.ts";

const ROOT = "/sim/";
/** Longest that one operation takes. Milliseconds. */
const OPERATION_MS = 3;

let mounted: SimDisk | undefined;

interface File {
  text: string;
  mode: number;
}

export class SimDisk {
  readonly #files = new Map<string, File>();
  readonly #lives = new Map<string, Life>();
  readonly #time: SimTime;
  readonly #random: Random;
  readonly #history: History;
  /** Whether a rename copies bytes instead: what it would be without atomic replacement. For trying the checkers. */
  torn = false;

  constructor(time: SimTime, random: Random, history: History) {
    this.#time = time;
    this.#random = random;
    this.#history = history;
  }

  /** The process that works below `/sim/NAME/`; an earlier one's operations under way never end. */
  own(name: string, life: Life): void {
    this.#lives.set(name, life);
  }

  text(path: string): string | undefined {
    return this.#files.get(path)?.text;
  }

  remove(path: string): void {
    this.#files.delete(path);
  }

  async #moment(path: string): Promise<void> {
    const life = this.#lives.get(path.split("/")[2] ?? "");
    if (!life) throw new Error(`no process works at ${path}`);
    await this.#time.sleep(life, this.#random.float() * OPERATION_MS);
    if (!life.alive) await never();
  }

  async read(path: string): Promise<File> {
    await this.#moment(path);
    const file = this.#files.get(path);
    if (!file) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
    return file;
  }

  async create(path: string, mode: number): Promise<File> {
    await this.#moment(path);
    const file: File = { text: "", mode };
    this.#files.set(path, file);
    return file;
  }

  async write(path: string, file: File, text: string): Promise<void> {
    const half = Math.floor(text.length / 2);
    file.text = text.slice(0, half);
    await this.#moment(path);
    file.text = text;
    await this.#moment(path);
  }

  async rename(from: string, to: string): Promise<void> {
    const file = await this.read(from);
    this.#files.delete(from);
    if (this.torn) {
      const target: File = { text: "", mode: file.mode };
      this.#files.set(to, target);
      target.text = file.text.slice(0, Math.floor(file.text.length / 2));
      this.#history.file(to, target.text);
      await this.#moment(to);
      target.text = file.text;
    } else this.#files.set(to, file);
    this.#history.file(to, file.text);
  }

  async unlink(path: string): Promise<void> {
    await this.read(path);
    this.#files.delete(path);
  }

  async list(folder: string): Promise<string[]> {
    await this.#moment(folder);
    const prefix = folder.endsWith("/") ? folder : `${folder}/`;
    const names = [...this.#files.keys()]
      .filter((path) => path.startsWith(prefix))
      .map((path) => path.slice(prefix.length));
    return [...new Set(names.map((name) => name.split("/")[0] ?? ""))];
  }

  async touch(path: string): Promise<void> {
    await this.#moment(path);
  }
}

/** From now on this is the disk under `/sim/`. */
export function mount(disk: SimDisk): void {
  mounted = disk;
}

type Real = typeof files;

/** `node:fs/promises`, with what lies under `/sim/` on the mounted disk. */
export function withSimDisk(real: Real): Real {
  const here = (path: unknown): SimDisk | undefined =>
    typeof path === "string" && path.startsWith(ROOT) ? mounted : undefined;
  const statOf = ({ text, mode }: File) => ({
    size: Buffer.byteLength(text),
    mode,
    uid: 0,
    gid: 0,
    isFile: () => true,
    isSymbolicLink: () => false,
    isDirectory: () => false,
  });
  const stat = async (disk: SimDisk, path: string) => statOf(await disk.read(path));
  const handle = (disk: SimDisk, path: string, file: File) => ({
    writeFile: (text: string) => disk.write(path, file, text),
    stat: async () => statOf(file),
    chown: () => disk.touch(path),
    chmod: async (mode: number) => void (file.mode = mode),
    sync: () => disk.touch(path),
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  });
  const isFolder = (path: string) => !/\.[^/]*$/.test(path);
  const replaced: Record<string, (disk: SimDisk, path: string, ...rest: never[]) => Promise<unknown>> = {
    stat,
    lstat: stat,
    readFile: async (disk, path) => (await disk.read(path)).text,
    readdir: (disk, path) => disk.list(path),
    realpath: async (disk, path) => (await disk.read(path), path),
    rename: (disk, path, to: string) => disk.rename(path, to),
    unlink: (disk, path) => disk.unlink(path),
    rm: async (disk, path) => disk.unlink(path).catch(() => {}),
    mkdir: (disk, path) => disk.touch(path),
    open: async (disk, path, _flags: unknown, mode: number = 0o600) =>
      isFolder(path) ? handle(disk, path, { text: "", mode }) : handle(disk, path, await disk.create(path, mode)),
  };
  const merged: Record<string, unknown> = { ...real };
  for (const [name, run] of Object.entries(replaced)) {
    const original = merged[name] as (...args: unknown[]) => unknown;
    merged[name] = (path: unknown, ...rest: never[]) => {
      const disk = here(path);
      return disk ? run(disk, path as string, ...rest) : original(path, ...(rest as unknown[]));
    };
  }
  merged["default"] = merged;
  return merged as unknown as Real;
}
