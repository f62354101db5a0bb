/** The files of this host, from definition files and from the local API: which there are, and what is followed and said for them. */
import { join } from "node:path";
import type { Host } from "#base";
import type { Acknowledge, SetName } from "#config-server/api";
import { isLoopback } from "#http";
import { AgentErrors, fileProblem, FILES_PER_AGENT_MAX, type FileRequest, type LocalFile } from "./api.ts";
import type { ConfigCache } from "./caches.ts";
import { contentOfFile, type DefinedFile } from "./definitions.ts";
import { fileChecker } from "./file-check.ts";
import type { FileSink } from "./file-sink.ts";
import { FileKeeper, setsOf, type WantedFile } from "./files.ts";
import { Reloader } from "./reloader.ts";
import type { AgentSettings } from "./settings.ts";
import type { Snapshot } from "./snapshot.ts";

export interface HostFilesParts {
  readonly sink: FileSink;
  readonly settings: Pick<AgentSettings, "filesDir" | "execAllow">;
  readonly configs: ConfigCache;
  readonly snapshot: Snapshot | undefined;
  /** There is something new to keep over a restart. */
  readonly onChange: () => void;
  /** What there is to say of a set, whenever it may be new. */
  readonly say: (name: SetName, said: Acknowledge) => void;
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
          this.#keeper.tellAll();
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
        onSettled: ({ name, said }) => {
          if (said) parts.say(name, said);
        },
      }),
    );
  }

  /** Sets those of the definition files. */
  define(files: readonly DefinedFile[]): void {
    this.#defined = files;
    this.#set();
  }

  /** Looks again at those that are made of a config. */
  changed(name: SetName): void {
    this.#keeper.changed(name);
  }

  /** @throws AGENT_FILES_FULL, AGENT_FILE_INVALID */
  keep(name: string, request: FileRequest): string {
    const problem = fileProblem(request, isLoopback);
    if (problem) {
      const { field, message } = problem;
      throw AgentErrors.FILE_INVALID(`${field === "" ? "The body" : field}: ${message}.`, { extra: { field } });
    }
    if (!this.#asked.has(name) && this.#asked.size + this.#defined.length >= FILES_PER_AGENT_MAX) {
      throw AgentErrors.FILES_FULL(`This host keeps ${FILES_PER_AGENT_MAX} files, the most there may be.`);
    }
    this.#asked.set(name, request);
    this.#set();
    this.#parts.onChange();
    return this.#pathOf(name);
  }

  /** @throws AGENT_FILE_NOT_FOUND */
  async drop(name: string): Promise<void> {
    if (!this.#asked.delete(name)) {
      throw AgentErrors.FILE_NOT_FOUND(
        `The local API keeps no file "${name}". A definition file's entry is removed there.`,
      );
    }
    this.#set();
    this.#parts.onChange();
    await this.#parts.sink.remove(this.#pathOf(name));
  }

  /** The sets that a file of the local API is made of. */
  setsOf(name: string): SetName[] {
    const request = this.#asked.get(name);
    return request ? setsOf(contentOfFile(request)) : [];
  }

  list(): LocalFile[] {
    return this.#keeper.list();
  }

  /** What is kept over a restart. */
  take(): Pick<Snapshot, "files" | "reloaded"> {
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
    const names = new Map(
      wanted.flatMap(setsOf).map((set) => [`${set.namespace}/${set.app}/${set.profile}`, set] as const),
    );
    this.#parts.configs.pin([...names.values()]);
    this.#keeper.set(wanted);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
