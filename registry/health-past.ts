/**
 * The past of all instances' health: an index of the latest state in each history, the latest transitions of all, and the
 * histories themselves, which are read from the store when a reader wants them. So a flapping fleet costs little memory.
 */
import { decodeJson, firstIndexWhere, type Host } from "#base";
import type { Store, StoreEntry, StoreEvent } from "#store";
import { HISTORY_INSTANCES_MAX, type HealthTransition, type InstanceHistory, type ServiceHistory } from "./api.ts";
import { historyView, latestState, transitionsAfter, type HistoryRecord, type InstanceState } from "./core/history.ts";
import {
  historyKey,
  historyPrefix,
  instanceKey,
  parseHistoryKey,
  type InstanceName,
  type ServiceName,
} from "./core/keys.ts";

/** Latest transitions of all instances in memory: some pages of a list of changes. */
const RECENT_TRANSITIONS_MAX = 2_000;

/** One transition of one instance. */
export interface HealthChange {
  readonly name: InstanceName;
  readonly before: InstanceState;
  readonly transition: HealthTransition;
  readonly atMs: number;
}

type Latest = InstanceState & { readonly atMs: number };

export class HealthPast {
  readonly #host: Host;
  readonly #store: Store;
  /** By the key of the instance. */
  readonly #latest = new Map<string, Latest>();
  /** Oldest first. */
  readonly #recent: HealthChange[] = [];
  #version = 0;

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
  }

  /** The state that the instance's history ends with; undefined without a history. */
  latest(name: InstanceName): InstanceState | undefined {
    return this.#latest.get(instanceKey(name));
  }

  /** Instances with a history, including those that have gone. */
  *names(): Iterable<InstanceName> {
    for (const key of this.#latest.keys()) {
      const [, , , namespace = "", service = "", id = ""] = key.split("/");
      yield { namespace, service, id };
    }
  }

  /** The latest transitions of all instances, oldest first. The version tells whether they changed. */
  get recent(): { readonly version: number; readonly changes: readonly HealthChange[] } {
    return { version: this.#version, changes: this.#recent };
  }

  reset(entries: readonly StoreEntry[]): void {
    this.#latest.clear();
    this.#recent.length = 0;
    this.#version++;
    const all: HealthChange[] = [];
    for (const entry of entries) {
      all.push(...this.#take(entry));
      // Sorted and cut in between, so that a store full of histories does not fill the memory.
      if (all.length > RECENT_TRANSITIONS_MAX * 8) latestOf(all);
    }
    this.#recent.push(...latestOf(all));
  }

  apply(events: readonly StoreEvent[]): void {
    for (const event of events) {
      if (event.type === "put") {
        for (const change of this.#take(event.entry)) {
          this.#version++;
          const at = firstIndexWhere(
            this.#recent.length,
            (index) => (this.#recent[index] as HealthChange).atMs > change.atMs,
          );
          this.#recent.splice(at, 0, change);
        }
        continue;
      }
      const name = parseHistoryKey(event.key);
      if (name) this.#latest.delete(instanceKey(name));
    }
    if (this.#recent.length > RECENT_TRANSITIONS_MAX)
      this.#recent.splice(0, this.#recent.length - RECENT_TRANSITIONS_MAX);
  }

  /** Remembers the latest state of a history, and returns its transitions that are new. */
  #take({ key, value }: StoreEntry): HealthChange[] {
    const name = parseHistoryKey(key);
    if (!name) return [];
    const record = decodeJson<HistoryRecord>(value);
    const known = this.#latest.get(instanceKey(name));
    this.#latest.set(instanceKey(name), latestState(record));
    return transitionsAfter(record, known?.atMs ?? -Infinity).map(({ before, transition }) => ({
      name,
      before,
      transition,
      atMs: Date.parse(transition.at),
    }));
  }

  /** The histories of a service's instances within the last hours, in order of id. */
  async read(
    { namespace, service }: ServiceName,
    {
      hours,
      after,
      limit,
      instance,
    }: { hours: number; after?: string | undefined; limit: number; instance?: string | undefined },
  ): Promise<ServiceHistory> {
    const nowMs = this.#host.clock.now();
    const fromMs = nowMs - hours * 3_600_000;
    const prefix = historyPrefix({ namespace, service });
    const { entries, more } = await this.#store.range(
      instance === undefined
        ? {
            prefix,
            limit: Math.min(limit, HISTORY_INSTANCES_MAX),
            ...(after === undefined ? {} : { after: historyKey({ namespace, service, id: after }) }),
          }
        : { key: historyKey({ namespace, service, id: instance }) },
    );
    const instances = entries.flatMap(({ key, value }): InstanceHistory[] => {
      const view = historyView(key.slice(prefix.length), decodeJson(value), fromMs);
      return view ? [view] : [];
    });
    const last = entries.at(-1)?.key.slice(prefix.length);
    return {
      namespace,
      service,
      from: new Date(fromMs).toISOString(),
      to: new Date(nowMs).toISOString(),
      instances,
      ...(more && last !== undefined ? { next: last } : {}),
    };
  }
}

function latestOf(changes: HealthChange[]): HealthChange[] {
  changes.sort((a, b) => a.atMs - b.atMs);
  if (changes.length > RECENT_TRANSITIONS_MAX) changes.splice(0, changes.length - RECENT_TRANSITIONS_MAX);
  return changes;
}
