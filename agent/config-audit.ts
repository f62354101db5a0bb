/**
 * The safety net under the push: now and then every followed config is held against the server's. What was missed, for whatever
 * reason, is asked for again by the way of all news.
 */
import { messageOf, TaskGroup, type CounterChild, type Family, type Host } from "#base";
import { ConfigErrors } from "#config-server/api";
import type { ConfigCache, ConfigName, ControlPlane } from "./caches.ts";

/** Milliseconds between two audits, give or take a fifth, so that hosts do not ask together. */
export const AUDIT_MS = 300_000;
/** Milliseconds that news may be under way by push while the answer of an audit came first. */
const UNDER_WAY_MS = 2_000;

/** Asks as this host does: a gradual release may have reached it. */
export type AuditClient = Pick<ControlPlane["config"], "effectiveOtherThan">;

export class ConfigAudit implements AsyncDisposable {
  readonly #host: Host;
  readonly #client: AuditClient;
  readonly #configs: ConfigCache;
  readonly #tasks: TaskGroup;
  readonly #audits: Family<CounterChild>;

  constructor(host: Host, client: AuditClient, configs: ConfigCache) {
    this.#host = host;
    this.#client = client;
    this.#configs = configs;
    this.#tasks = new TaskGroup(host.log);
    this.#audits = host.metrics.counter({
      name: "posthouse_agent_config_audits_total",
      help: "Followed configs held against the server's, by what was found.",
      labelNames: ["result"],
    });
  }

  start(): void {
    this.#tasks.run("audit", async (signal) => {
      while (!signal.aborted) {
        await this.#host.clock.sleep(AUDIT_MS * (0.8 + 0.4 * this.#host.random.float()), signal);
        for (const name of this.#configs.names()) this.#audits.labels(await this.#audit(name, signal)).inc();
      }
    });
  }

  async #audit(name: ConfigName, signal: AbortSignal): Promise<"same" | "missed" | "away"> {
    const known = this.#configs.peek(name)?.value.releaseKey;
    if (known === undefined) return "away";
    let theirs: string | undefined;
    try {
      theirs = (await this.#client.effectiveOtherThan(name, known, { signal }))?.releaseKey;
      if (theirs === undefined) return "same";
    } catch (error) {
      signal.throwIfAborted();
      // Nothing released is an answer, too.
      if (!ConfigErrors.SET_NOT_FOUND.is(error)) {
        this.#host.log.debug({ ...name, err: error }, `not audited: ${messageOf(error)}`);
        return "away";
      }
    }
    await this.#host.clock.sleep(UNDER_WAY_MS, signal);
    // Heard meanwhile, or known and held back because it is older.
    if (this.#configs.peek(name)?.value.releaseKey !== known) return "same";
    if (this.#configs.held().some((held) => sameSet(held, name))) return "same";
    this.#host.log.warn({ ...name, known, theirs }, "a release was missed by push; the config is asked for again");
    this.#configs.followAnew(name);
    return "missed";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}

function sameSet(a: ConfigName, b: ConfigName): boolean {
  return a.namespace === b.namespace && a.app === b.app && a.profile === b.profile;
}
