/**
 * The gateway's config from a file, for use without a control plane: the same text as a release, read again when it
 * changes. An invalid config changes nothing; the previous one stays in force. The file is read once a second. That
 * works on every file system, for mounted ConfigMaps that are swapped by symlink, and for editors that replace the
 * file.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { messageOf, TaskGroup, type Host } from "#base";
import type { Filters } from "../core/request/filter.ts";
import { readConfig, type ConfigListener } from "./config.ts";

/** Milliseconds between two reads. */
const LOOK_MS = 1_000;
/** Bytes of a config file: more than the largest release may have. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

export class FileSource implements AsyncDisposable {
  readonly #host: Host;
  readonly #path: string;
  readonly #listener: ConfigListener;
  readonly #filters: Filters | undefined;
  readonly #tasks: TaskGroup;
  #readable = false;

  constructor(host: Host, path: string, listener: ConfigListener, filters?: Filters) {
    this.#host = host;
    this.#path = path;
    this.#listener = listener;
    this.#filters = filters;
    this.#tasks = new TaskGroup(host.log);
  }

  /** Whether the last read succeeded. */
  get connected(): boolean {
    return this.#readable;
  }

  start(): void {
    this.#tasks.run("gateway watches its config file", (signal) => this.#watch(signal));
  }

  async #watch(signal: AbortSignal): Promise<void> {
    let last: string | undefined;
    while (!signal.aborted) {
      const text = await this.#read();
      if (text !== undefined) {
        const key = `file-${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
        if (key !== last) await this.#take(text, key);
        last = key;
      }
      await this.#host.clock.sleep(LOOK_MS, signal).catch(() => {});
    }
  }

  async #read(): Promise<string | undefined> {
    try {
      const bytes = await readFile(this.#path);
      if (bytes.length > FILE_BYTES_MAX) throw new Error(`it is larger than ${FILE_BYTES_MAX} bytes`);
      this.#readable = true;
      return bytes.toString("utf8");
    } catch (error) {
      // Logged once. While it is being replaced, the file may be missing for a moment.
      if (this.#readable)
        this.#host.log.warn({ path: this.#path, reason: messageOf(error) }, "the config file cannot be read");
      else this.#host.log.debug({ path: this.#path, reason: messageOf(error) }, "the config file cannot be read");
      this.#readable = false;
      return undefined;
    }
  }

  async #take(text: string, key: string): Promise<void> {
    const read = await readConfig(text, this.#filters);
    for (const warning of read.warnings ?? [])
      this.#host.log.warn({ ...warning }, "a part of the config has no effect");
    if (read.config) this.#listener.apply(read.config, { key, text, files: read.files });
    else this.#listener.refused(read.problems, { key });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}
