/** The definition files of this host, read at the start and again whenever they or their templates change. */
import { watch } from "node:fs";
import { messageOf, Trigger, type Host } from "#base";
import { fingerprint, readDefinitions, type Definitions } from "./definitions.ts";
import type { AgentSettings } from "./settings.ts";

/** Milliseconds between looks at the definition files, for file systems that do not report changes. */
const LOOK_MS = 5_000;
/** Milliseconds over which changes are gathered: an editor writes a file in several steps. */
const GATHER_MS = 100;

export class DefinitionFiles {
  readonly #host: Host;
  readonly #settings: Pick<AgentSettings, "servicesDir" | "node" | "address">;
  /** Files outside the folder that other files are made from. */
  #templates: readonly string[] = [];
  #fingerprint = "";

  constructor(host: Host, settings: Pick<AgentSettings, "servicesDir" | "node" | "address">) {
    this.#host = host;
    this.#settings = settings;
  }

  /** Reads all definitions; none without a folder. @throws AGENT_DEFINITION_INVALID */
  async read(): Promise<Definitions> {
    const { servicesDir, node, address } = this.#settings;
    if (servicesDir === undefined) return { services: [], files: [] };
    const definitions = await readDefinitions(servicesDir, { node, address });
    this.#templates = definitions.files.flatMap(({ template }) => template?.source.path ?? []);
    return definitions;
  }

  /** Reads the definitions of the start. @throws AGENT_DEFINITION_INVALID */
  async readFirst(): Promise<Definitions> {
    // Taken before the templates are known, so the first look of `follow` reads everything again if there are any.
    this.#fingerprint = await this.#currentFingerprint();
    return this.read();
  }

  /** Calls `reload` after each change, until the signal aborts. Without a folder it returns at once. */
  async follow(reload: () => Promise<void>, signal: AbortSignal): Promise<void> {
    if (this.#settings.servicesDir === undefined) return;
    const trigger = new Trigger();
    using _watcher = this.#watch(this.#settings.servicesDir, () => trigger.fire());
    while (!signal.aborted) {
      const cancel = this.#host.clock.after(LOOK_MS, () => trigger.fire());
      await trigger.wait(signal);
      cancel();
      await this.#host.clock.sleep(GATHER_MS, signal).catch(() => {});
      if (signal.aborted) return;
      const current = await this.#currentFingerprint();
      if (current === this.#fingerprint) continue;
      this.#fingerprint = current;
      await reload();
    }
  }

  /** The folder may not exist yet, or the kernel may have no watch left: the look every few seconds finds changes, too. */
  #watch(folder: string, onChange: () => void): Disposable {
    const watcher = new DisposableStack();
    try {
      const watched = watcher.adopt(watch(folder, { persistent: false }, onChange), (one) => one.close());
      watched.on("error", () => watched.close());
    } catch (error) {
      this.#host.log.debug(
        { folder, err: error },
        `the folder of definition files is only looked at every ${LOOK_MS} ms`,
      );
    }
    return watcher;
  }

  /** A folder that cannot be listed has its error as the fingerprint; reading it then reports the error. */
  async #currentFingerprint(): Promise<string> {
    const { servicesDir } = this.#settings;
    return servicesDir === undefined ? "" : fingerprint(servicesDir, this.#templates).catch(messageOf);
  }
}
