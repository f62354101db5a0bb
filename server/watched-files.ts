/** Files of the operator that are checked once a second, such as certificates. A renewal needs no restart. */
import { stat } from "node:fs/promises";
import { type Host, messageOf, TaskGroup } from "#base";

/** Milliseconds between two checks. */
const LOOK_MS = 1_000;

export class WatchedFiles implements AsyncDisposable {
  readonly #host: Host;
  readonly #paths: readonly string[];
  readonly #tasks: TaskGroup;
  #seen = "";

  constructor(host: Host, paths: readonly string[]) {
    this.#host = host;
    this.#paths = paths;
    this.#tasks = new TaskGroup(host.log);
  }

  /** Reads once, and again after each change. When that fails, the last content stays in use. @throws what the first `read` throws */
  async start(name: string, read: () => Promise<void>): Promise<void> {
    // The state is taken first, so that a change during the read is noticed later.
    this.#seen = await this.#state();
    await read();
    this.#tasks.run(name, async (signal) => {
      while (!signal.aborted) {
        await this.#host.clock.sleep(LOOK_MS, signal).catch(() => {});
        if (!signal.aborted) await this.#look(read);
      }
    });
  }

  async #look(read: () => Promise<void>): Promise<void> {
    const seen = await this.#state();
    if (seen === this.#seen) return;
    // A pair that is half replaced is read again at its next change.
    this.#seen = seen;
    try {
      await read();
      this.#host.log.info({ files: this.#paths }, "files were replaced, and are in use");
    } catch (error) {
      this.#host.log.error({ err: error, files: this.#paths }, `the last content stays in use: ${messageOf(error)}`);
    }
  }

  /** A text that identifies the state of all files. A file that is missing while it is replaced counts as unchanged. */
  async #state(): Promise<string> {
    const states = this.#paths.map(async (path) => {
      const { ino, size, mtimeMs } = await stat(path);
      return `${ino} ${size} ${mtimeMs}`;
    });
    return (await Promise.all(states).catch(() => [this.#seen])).join();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}
