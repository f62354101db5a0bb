/**
 * The files that a config names, such as certificates: renewing one needs no release. They are checked once a second,
 * and changes are reported.
 */
import { readFile, stat } from "node:fs/promises";
import { messageOf, TaskGroup, type Host } from "#base";

/** Milliseconds between two checks. */
const LOOK_MS = 1_000;

/** By path, a text that identifies the state of the file. */
export type NamedFiles = ReadonlyMap<string, string>;

/** Reads files for a config, and records their states. */
export class NamedFileReader {
  readonly seen = new Map<string, string>();

  /** @throws the system's own error */
  async read(path: string): Promise<string> {
    // The state is read first, so that a change during the read is noticed later.
    this.seen.set(path, await stateOf(path));
    return await readFile(path, "utf8");
  }
}

async function stateOf(path: string): Promise<string> {
  const { ino, size, mtimeMs } = await stat(path);
  return `${ino} ${size} ${mtimeMs}`;
}

export class NamedFileWatch implements AsyncDisposable {
  readonly #host: Host;
  readonly #changed: () => Promise<void>;
  readonly #tasks: TaskGroup;
  #files: NamedFiles = new Map();
  #running = false;

  constructor(host: Host, changed: () => Promise<void>) {
    this.#host = host;
    this.#changed = changed;
    this.#tasks = new TaskGroup(host.log);
  }

  /** Watches the files of the config in force. */
  use(files: NamedFiles): void {
    this.#files = files;
    if (this.#running || files.size === 0) return;
    this.#running = true;
    this.#tasks.run("gateway watches the files that its config names", (signal) => this.#watch(signal));
  }

  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#host.clock.sleep(LOOK_MS, signal).catch(() => {});
      const files = this.#files;
      const now = await look(files);
      if (signal.aborted || this.#files !== files || same(files, now)) continue;
      // This state has been seen, whatever the result.
      this.#files = now;
      await this.#changed().catch((error: unknown) =>
        this.#host.log.error(
          { err: error },
          `the changed files of the config could not be applied: ${messageOf(error)}`,
        ),
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}

/** A file that is missing while it is replaced counts as unchanged. */
async function look(files: NamedFiles): Promise<NamedFiles> {
  const states = [...files].map(async ([path, before]) => [path, await stateOf(path).catch(() => before)] as const);
  return new Map(await Promise.all(states));
}

function same(a: NamedFiles, b: NamedFiles): boolean {
  return [...a].every(([path, state]) => b.get(path) === state);
}
