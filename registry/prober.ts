/**
 * Probes the instances that no agent watches over. In a cluster exactly one member probes: the one that holds a key by a
 * lease; when it goes, the lease lapses and another takes over. Verdicts are written only when they change.
 */
import { fullJitter, messageOf, Trigger, type Host } from "#base";
import { ProbeRunner, type ProbeDefinition } from "#health";
import { RegistryErrors } from "./api.ts";
import { verdictKey, type InstanceName } from "./core/keys.ts";
import type { StoredCheck } from "./core/stored-check.ts";
import type { Registry } from "./registry.ts";
import { StoreErrors, type Store } from "#store";

/** Whoever holds this key probes. */
const HOLDER_KEY = "/cluster/prober";
/** Seconds of silence after which another member may probe: a few missed renewals. */
const HOLDER_TTL_SECONDS = 10;
/** Renewals per time to live. */
const RENEWALS = 3;
/** Milliseconds between looks at verdicts that could not be written, and at a key that another member holds. */
const RECONCILE_MS = 1_000;
/** Milliseconds between two looks at the whole catalog, however busy it is. */
const FOLLOW_MS = 50;
const RETRY = { baseMs: 200, capMs: 5_000 };

interface Probed {
  readonly name: InstanceName;
  readonly check: string;
}

export class Prober {
  readonly #host: Host;
  readonly #store: Store;
  readonly #registry: Registry;

  constructor(host: Host, store: Store, registry: Registry) {
    this.#host = host;
    this.#store = store;
    this.#registry = registry;
  }

  /** Campaigns, and probes while it holds the key, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    let attempt = 0;
    while (!signal.aborted) {
      try {
        const lease = await this.#acquire();
        if (lease !== undefined) {
          attempt = 0;
          await this.#hold(lease, signal);
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#host.log.warn({ err: error }, `probing interrupted: ${messageOf(error)}`);
        attempt++;
      }
      const pause = RECONCILE_MS + fullJitter(this.#host.random, attempt, RETRY);
      await this.#host.clock.sleep(pause, signal).catch(() => {});
    }
  }

  /** The lease that the key now lives by; undefined when another member holds it. */
  async #acquire(): Promise<string | undefined> {
    const held = await this.#store.range({ key: HOLDER_KEY });
    if (held.entries.length > 0) return undefined;
    const lease = await this.#store.grant(HOLDER_TTL_SECONDS);
    const { succeeded } = await this.#store.txn({
      when: [{ key: HOLDER_KEY, target: "modRevision", is: "equal", value: 0 }],
      then: [{ type: "put", key: HOLDER_KEY, value: new Uint8Array(), lease: lease.id }],
    });
    if (succeeded) return lease.id;
    await this.#store.revoke(lease.id);
    return undefined;
  }

  async #hold(lease: string, signal: AbortSignal): Promise<void> {
    const wake = new Trigger();
    const stop = this.#registry.onChange(() => wake.fire());
    const probed = new Map<string, Probed>();
    await using runner = new ProbeRunner(this.#host, {
      onVerdict: (key) => void this.#write(runner, key, probed.get(key)),
    });
    let renewedMs = this.#host.clock.monotonic();
    try {
      while (!signal.aborted) {
        this.#follow(runner, probed);
        await this.#host.clock.sleep(FOLLOW_MS, signal).catch(() => {});
        const cancel = this.#host.clock.after(RECONCILE_MS, () => wake.fire());
        await wake.wait(signal);
        cancel();
        const nowMs = this.#host.clock.monotonic();
        if (nowMs - renewedMs >= (HOLDER_TTL_SECONDS * 1000) / RENEWALS) {
          await this.#store.keepAlive(lease);
          renewedMs = nowMs;
        }
      }
      await this.#store.revoke(lease).catch((error: unknown) => {
        if (!StoreErrors.LEASE_NOT_FOUND.is(error)) throw error;
      });
    } finally {
      stop();
    }
  }

  /** Makes the runner probe what the catalog says, and writes what earlier could not be written. */
  #follow(runner: ProbeRunner, probed: Map<string, Probed>): void {
    const wanted = new Set<string>();
    for (const { name, check, verdict } of this.#registry.catalog.probed()) {
      const key = verdictKey(name, check.id);
      wanted.add(key);
      probed.set(key, { name, check: check.id });
      runner.set(key, definitionOf(check), verdict ? { initial: verdict.status } : {});
      const last = runner.last(key);
      if (last && last.status !== "unknown" && last.output !== "" && last.status !== verdict?.status) {
        void this.#write(runner, key, probed.get(key));
      }
    }
    for (const key of runner.keys()) {
      if (wanted.has(key)) continue;
      runner.delete(key);
      probed.delete(key);
    }
  }

  async #write(runner: ProbeRunner, key: string, probed: Probed | undefined): Promise<void> {
    const last = runner.last(key);
    if (!probed || !last || last.status === "unknown") return;
    try {
      await this.#registry.report(probed.name, probed.check, { status: last.status, output: last.output });
    } catch (error) {
      // Gone meanwhile: its probe goes with the next look at the catalog.
      if (RegistryErrors.INSTANCE_NOT_FOUND.is(error) || RegistryErrors.CHECK_NOT_FOUND.is(error)) return;
      this.#host.log.warn({ check: key, err: error }, `a verdict could not be written yet: ${messageOf(error)}`);
    }
  }
}

function definitionOf(check: StoredCheck & { type: "http" }): ProbeDefinition {
  return {
    url: check.url,
    method: check.method,
    intervalMs: check.intervalSeconds * 1000,
    timeoutMs: check.timeoutSeconds * 1000,
    rise: check.rise,
    fall: check.fall,
  };
}
