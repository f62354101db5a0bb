/**
 * Keeps config values in files: whenever a config, the list of files or a file itself changes, what is wanted is held
 * against what is on disk, and only what differs is written. A failed write is shown and tried again.
 */
import { messageOf, TaskGroup, type CancelTimer, type Host } from "#base";
import type { EffectiveConfig, LocalFile } from "./api.ts";
import { planFile } from "./core/plan.ts";
import type { DefinedFile } from "./definitions.ts";
import { readText, type FileSink } from "./file-sink.ts";

/** Milliseconds between looks at files that nothing was heard about: somebody may have changed or removed one. */
const LOOK_MS = 60_000;
/** Back-off after a failed write. Milliseconds. */
const RETRY = { baseMs: 500, capMs: 60_000 };

export interface WantedFile extends DefinedFile {
  readonly source: LocalFile["source"];
}

interface Entry {
  wanted: WantedFile;
  state: LocalFile["state"];
  releaseKey: string | undefined;
  error: string | undefined;
  attempt: number;
  cancelRetry: CancelTimer;
  /** A look is under way; another one is wanted after it. */
  busy: boolean;
  again: boolean;
}

export class FileKeeper implements AsyncDisposable {
  readonly #host: Host;
  readonly #sink: FileSink;
  readonly #configOf: (wanted: WantedFile) => EffectiveConfig | undefined;
  readonly #tasks: TaskGroup;
  readonly #entries = new Map<string, Entry>();

  constructor(host: Host, sink: FileSink, configOf: (wanted: WantedFile) => EffectiveConfig | undefined) {
    this.#host = host;
    this.#sink = sink;
    this.#configOf = configOf;
    this.#tasks = new TaskGroup(host.log);
    this.#tasks.run("look at files", async (signal) => {
      while (!signal.aborted) {
        await host.clock.sleep(LOOK_MS, signal);
        for (const entry of this.#entries.values()) this.#look(entry);
      }
    });
  }

  /** Sets the whole list. Files that are wanted no more stay as they are. */
  set(files: readonly WantedFile[]): void {
    const paths = new Set(files.map(({ path }) => path));
    for (const [path, entry] of this.#entries) {
      if (paths.has(path)) continue;
      entry.cancelRetry();
      this.#entries.delete(path);
    }
    for (const wanted of files) {
      const known = this.#entries.get(wanted.path);
      const entry: Entry = known ?? {
        wanted,
        state: "waiting",
        releaseKey: undefined,
        error: undefined,
        attempt: 0,
        cancelRetry: () => {},
        busy: false,
        again: false,
      };
      entry.wanted = wanted;
      this.#entries.set(wanted.path, entry);
      this.#look(entry);
    }
  }

  /** Looks at the files of one config again. */
  changed(config: { namespace: string; app: string; profile: string }): void {
    for (const entry of this.#entries.values()) {
      const { namespace, app, profile } = entry.wanted;
      if (namespace === config.namespace && app === config.app && profile === config.profile) this.#look(entry);
    }
  }

  list(): LocalFile[] {
    return [...this.#entries.values()].map(({ wanted, state, releaseKey, error }) => {
      const { path, namespace, app, profile, key, source } = wanted;
      return {
        path,
        namespace,
        app,
        profile,
        key,
        source,
        state,
        ...(releaseKey === undefined ? {} : { releaseKey }),
        ...(error === undefined ? {} : { error }),
      };
    });
  }

  #look(entry: Entry): void {
    if (entry.busy) {
      entry.again = true;
      return;
    }
    entry.busy = true;
    entry.cancelRetry();
    this.#tasks.run("write file", async (signal) => {
      do {
        entry.again = false;
        await this.#bringUpToDate(entry);
      } while (entry.again && !signal.aborted);
      entry.busy = false;
    });
  }

  async #bringUpToDate(entry: Entry): Promise<void> {
    const { wanted } = entry;
    const onDisk = await readText(wanted.path);
    const planned = planFile(wanted, this.#configOf(wanted), onDisk);
    if (this.#entries.get(wanted.path) !== entry) return;
    if (planned.state === "masked") {
      this.#fail(
        entry,
        `"${wanted.key}" is a secret, which the agent's token may not read; ${wanted.path} stays. Give the agent a token of the role agent.`,
      );
      return;
    }
    if (planned.state !== "write") {
      this.#settle(entry, planned.state, planned.state === "current" ? planned.releaseKey : undefined);
      return;
    }
    try {
      await this.#sink.write(wanted.path, planned.value, {
        mode: wanted.mode,
        followLinks: wanted.source === "file",
      });
      this.#settle(entry, "current", planned.releaseKey);
      this.#host.log.info({ path: wanted.path, releaseKey: planned.releaseKey }, "file written");
    } catch (error) {
      this.#fail(entry, messageOf(error));
    }
  }

  #settle(entry: Entry, state: LocalFile["state"], releaseKey: string | undefined): void {
    entry.state = state;
    entry.releaseKey = releaseKey ?? entry.releaseKey;
    entry.error = undefined;
    entry.attempt = 0;
  }

  #fail(entry: Entry, message: string): void {
    if (entry.error !== message) this.#host.log.error({ path: entry.wanted.path }, message);
    entry.state = "failed";
    entry.error = message;
    const waitMs = Math.min(RETRY.capMs, RETRY.baseMs * 2 ** Math.min(entry.attempt++, 20));
    const retryMs = waitMs * (0.5 + 0.5 * this.#host.random.float());
    entry.cancelRetry = this.#host.clock.after(retryMs, () => this.#look(entry));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const entry of this.#entries.values()) entry.cancelRetry();
    this.#entries.clear();
    await this.#tasks[Symbol.asyncDispose]();
  }
}
