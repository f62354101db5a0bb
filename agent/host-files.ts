/** The files of this host, from definition files and from the local API, with the configs that they need and their acknowledgements. */
import { join } from "node:path";
import type { Host } from "#base";
import type { Acknowledge, SetName } from "#config-server/api";
import { isLoopback } from "#http";
import { AgentErrors, fileProblem, FILES_PER_AGENT_MAX, type FileRequest, type LocalFile } from "./api.ts";
import type { ConfigCache } from "./caches.ts";
import { contentOfFile, type DefinedFile } from "./definitions.ts";
import { fileChecker } from "./file-check.ts";
import type { FileSink } from "./file-sink.ts";
import { FileKeeper } from "./file-keeper.ts";
import { setIdOf, setsOf, type WantedFile } from "./kept-file.ts";
import { Reloader } from "./reloader.ts";
import type { AgentSettings } from "./settings.ts";
import type { Snapshot } from "./snapshot.ts";

export interface HostFilesParts {
  readonly sink: FileSink;
  readonly settings: Pick<AgentSettings, "filesDir" | "execAllow">;
  readonly configs: ConfigCache;
  readonly snapshot: Snapshot | undefined;
  /** Called when the snapshot should be written again. */
  readonly onChange: () => void;
  /** Called with a set's acknowledgement whenever it may have changed. */
  readonly acknowledge: (name: SetName, body: Acknowledge) => void;
}

export class HostFiles implements AsyncDisposable {
  readonly #parts: HostFilesParts;
  readonly #stack = new AsyncDisposableStack();
  readonly #asked: Map<string, FileRequest>;
  #defined: readonly DefinedFile[] = [];
  readonly #reloader: Reloader;
  readonly #keeper: FileKeeper;

  constructor(host: Host, parts: HostFilesParts) {
    const { sink, settings, configs, snapshot } = parts;
    this.#parts = parts;
    this.#asked = new Map((snapshot?.files ?? []).map(({ name, request }) => [name, request]));
    this.#reloader = this.#stack.use(
      new Reloader(host, {
        execAllow: settings.execAllow,
        loaded: new Map(snapshot?.reloaded),
        onChange: () => {
          this.#keeper.reportAll();
          parts.onChange();
        },
      }),
    );
    this.#keeper = this.#stack.use(
      new FileKeeper(host, {
        sink,
        check: fileChecker(host, settings.execAllow),
        reloader: this.#reloader,
        configOf: (name) => configs.peek(name)?.value,
        isHeard: (name) => configs.peek(name)?.stale === false,
        onSettled: ({ name, acknowledgement }) => {
          if (acknowledgement) parts.acknowledge(name, acknowledgement);
        },
      }),
    );
  }

  /** Sets the files of the definition files. */
  define(files: readonly DefinedFile[]): void {
    this.#defined = files;
    this.#set();
  }

  /** Looks again at the files that are made of a config. */
  changed(name: SetName): void {
    this.#keeper.changed(name);
  }

  /** Keeps a file of the local API, and returns its path. @throws AGENT_FILES_FULL, AGENT_FILE_INVALID */
  keep(name: string, request: FileRequest): string {
    const problem = fileProblem(request, isLoopback);
    if (problem) {
      const { field, message } = problem;
      throw AgentErrors.FILE_INVALID(`${field === "" ? "The body" : field}: ${message}.`, { extra: { field } });
    }
    if (!this.#asked.has(name) && this.#asked.size + this.#defined.length >= FILES_PER_AGENT_MAX) {
      throw AgentErrors.FILES_FULL(
        `This host already keeps ${FILES_PER_AGENT_MAX} files, which is the maximum. Remove one first.`,
      );
    }
    this.#asked.set(name, request);
    this.#set();
    this.#parts.onChange();
    return this.#pathOf(name);
  }

  /** Stops keeping a file of the local API, and removes it. @throws AGENT_FILE_NOT_FOUND */
  async drop(name: string): Promise<void> {
    if (!this.#asked.delete(name)) {
      throw AgentErrors.FILE_NOT_FOUND(
        `The local API keeps no file "${name}". To remove a file of a definition file, remove its entry there.`,
      );
    }
    this.#set();
    this.#parts.onChange();
    await this.#parts.sink.remove(this.#pathOf(name));
  }

  /** The sets that a file of the local API is made of; none for an unknown name. */
  setsOf(name: string): SetName[] {
    const request = this.#asked.get(name);
    return request ? setsOf(contentOfFile(request)) : [];
  }

  list(): LocalFile[] {
    return this.#keeper.list();
  }

  /** The part of the snapshot that is about files. */
  snapshot(): Pick<Snapshot, "files" | "reloaded"> {
    const files = [...this.#asked].map(([name, request]) => ({ name, request }));
    return { files, reloaded: this.#reloader.loaded() };
  }

  #pathOf(name: string): string {
    return join(this.#parts.settings.filesDir, name);
  }

  #set(): void {
    const wanted: WantedFile[] = this.#defined.map((file) => ({ ...file, source: "file" }));
    for (const [name, request] of this.#asked) {
      wanted.push({ ...contentOfFile(request), path: this.#pathOf(name), mode: undefined, source: "api" });
    }
    const names = new Map(wanted.flatMap(setsOf).map((set) => [setIdOf(set), set] as const));
    this.#parts.configs.pin([...names.values()]);
    this.#keeper.set(wanted);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
