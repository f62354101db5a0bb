/**
 * Deletes entries of histories that are no longer needed, in the background, so that a flip only adds. An old entry that is
 * deleted twice, or late, does no harm, so nothing is compared.
 */
import { AppError, messageOf, type Host } from "#base";
import { type Store, TXN_OPS_MAX } from "#store";
import { instanceKey } from "./core/keys.ts";
import { ownership } from "./core/ownership.ts";
import type { HealthPast } from "./health-past.ts";
import type { Members } from "./members.ts";

/** Milliseconds between looks at all histories for entries that are too old: readers leave them out in any case. */
const SWEEP_MS = 300_000;
/** Milliseconds over which histories that are too long are gathered, so that a flapping fleet costs few transactions. */
const GATHER_MS = 1_000;

export class HistoryTrimmer {
  readonly #host: Host;
  readonly #store: Store;
  readonly #past: HealthPast;

  constructor(host: Host, store: Store, past: HealthPast) {
    this.#host = host;
    this.#store = store;
    this.#past = past;
  }

  /** Trims until the signal aborts. Give it to a TaskGroup. */
  async run(members: Members, signal: AbortSignal): Promise<void> {
    const { clock } = this.#host;
    const { crowded } = this.#past;
    let sweepAtMs = clock.monotonic() + SWEEP_MS;
    while (!signal.aborted) {
      const cancel = clock.after(Math.max(0, sweepAtMs - clock.monotonic()), () => crowded.fire());
      await crowded.wait(signal);
      cancel();
      await clock.sleep(GATHER_MS, signal).catch(() => {});
      if (signal.aborted) return;
      const isSweep = clock.monotonic() >= sweepAtMs;
      if (isSweep) sweepAtMs = clock.monotonic() + SWEEP_MS;
      try {
        await this.#trim(members, isSweep ? "all" : "crowded", signal);
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        // The next look at all histories tries again.
        this.#host.log.debug({ code: error.code }, `health history not trimmed: ${messageOf(error)}`);
      }
    }
  }

  /** Trims the histories of the instances that are this member's. */
  async #trim(members: Members, which: "crowded" | "all", signal: AbortSignal): Promise<void> {
    const owns = ownership(members.list(), members.id);
    let keys: string[] = [];
    const flush = async () => {
      const then = keys.map((key) => ({ type: "delete" as const, key }));
      keys = [];
      if (then.length > 0) await this.#store.txn({ then });
    };
    for (const { name, keys: surplus } of this.#past.surplus(which)) {
      if (!owns(instanceKey(name))) continue;
      for (const key of surplus) {
        keys.push(key);
        if (keys.length === TXN_OPS_MAX) await flush();
        if (signal.aborted) return;
      }
    }
    await flush();
  }
}
