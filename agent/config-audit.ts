/**
 * The safety net under the watches: now and then the agent compares every followed config with the server's, and reads those that
 * a watch missed again.
 */
import { messageOf, TaskGroup, type CounterChild, type Family, type Host } from "#base";
import { auditPauseMs, configOtherThan } from "#client/follow";
import type { ConfigCache, ConfigName, ControlPlane } from "./caches.ts";

/** Milliseconds that a change may still be on its way by the watch when the answer of an audit arrives first. */
const UNDER_WAY_MS = 2_000;

export interface ConfigAuditParts {
  readonly client: Pick<ControlPlane["config"], "effectiveOtherThan">;
  /** This host: gradual releases select it by its id and labels. */
  readonly instance: { readonly id: string; readonly labels: Readonly<Record<string, string>> };
  readonly configs: ConfigCache;
}

export class ConfigAudit implements AsyncDisposable {
  readonly #host: Host;
  readonly #parts: ConfigAuditParts;
  readonly #tasks: TaskGroup;
  readonly #audits: Family<CounterChild>;

  constructor(host: Host, parts: ConfigAuditParts) {
    this.#host = host;
    this.#parts = parts;
    this.#tasks = new TaskGroup(host.log);
    this.#audits = host.metrics.counter({
      name: "posthouse_agent_config_audits_total",
      help: "Followed configs compared with the server's, by result.",
      labelNames: ["result"],
    });
  }

  start(): void {
    this.#tasks.run("audit", async (signal) => {
      while (!signal.aborted) {
        await this.#host.clock.sleep(auditPauseMs(this.#host.random), signal);
        for (const name of this.#parts.configs.names()) this.#audits.labels(await this.#audit(name, signal)).inc();
      }
    });
  }

  async #audit(name: ConfigName, signal: AbortSignal): Promise<"same" | "missed" | "away"> {
    const { client, instance, configs } = this.#parts;
    const known = configs.peek(name)?.value.releaseKey;
    if (known === undefined) return "away";
    let theirs: string;
    try {
      const other = await configOtherThan(client, name, known, { signal, instance });
      if (!other) return "same";
      theirs = other.releaseKey;
    } catch (error) {
      signal.throwIfAborted();
      this.#host.log.debug({ ...name, err: error }, `not audited: ${messageOf(error)}`);
      return "away";
    }
    await this.#host.clock.sleep(UNDER_WAY_MS, signal);
    // The watch has brought it meanwhile, or it is older and held back.
    if (configs.peek(name)?.value.releaseKey !== known) return "same";
    if (configs.held().some((held) => isSameSet(held, name))) return "same";
    this.#host.log.warn({ ...name, known, theirs }, "the watch missed a release; the config is read again");
    configs.followAgain(name);
    return "missed";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}

function isSameSet(a: ConfigName, b: ConfigName): boolean {
  return a.namespace === b.namespace && a.app === b.app && a.profile === b.profile;
}
