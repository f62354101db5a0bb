/**
 * The past of all instances' health: the latest state and the stamps of each history, the latest transitions of all, and the
 * histories themselves, which are read from the store when a reader wants them. So a flapping fleet costs little memory.
 */
import { decodeJson, firstIndexWhere, Trigger, type Host } from "#base";
import { keyOfEvent, type Store, type StoreEntry, type StoreEvent } from "#store";
import {
  HISTORY_INSTANCES_MAX,
  HISTORY_TRANSITIONS_MAX,
  type HealthTransition,
  type InstanceHistory,
  type ServiceHistory,
} from "./api.ts";
import {
  historiesIn,
  historyView,
  surplusOf,
  transitionsIn,
  transitionsOf,
  transitionView,
  type HistoryEntry,
  type InstanceState,
  type Transition,
} from "./core/history.ts";
import {
  afterHistoryOf,
  historyKey,
  historyPrefix,
  instanceHistoryPrefix,
  instanceKey,
  parseHistoryKey,
  type InstanceName,
  type ServiceName,
} from "./core/keys.ts";

/** Latest transitions of all instances in memory: some pages of a list of changes. */
const RECENT_TRANSITIONS_MAX = 2_000;
/** Transitions above that number before the oldest ones are dropped together: dropping moves all others. */
const RECENT_SURPLUS_MAX = 500;
/** Transitions above the number kept before a history is trimmed, so that trimming is rare. */
const SURPLUS_MAX = 32;
/** Entries of one read of histories. */
const READ_PAGE = 1_000;

/** One transition of one instance. */
export interface HealthChange {
  readonly name: InstanceName;
  readonly before: InstanceState;
  readonly transition: HealthTransition;
  readonly atMs: number;
}

interface Past {
  readonly name: InstanceName;
  latest: InstanceState & { readonly atMs: number };
  /** Oldest first. */
  readonly stamps: number[];
}

interface HistoryWindow {
  readonly hours: number;
  readonly after?: string | undefined;
  readonly limit: number;
  readonly instance?: string | undefined;
}

export class HealthPast {
  readonly #host: Host;
  readonly #store: Store;
  /** By the key of the instance. */
  readonly #pasts = new Map<string, Past>();
  readonly #crowded = new Set<Past>();
  /** Oldest first. */
  readonly #recent: HealthChange[] = [];
  #version = 0;
  /** Fires when a history has become too long. */
  readonly crowded = new Trigger();

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
  }

  /** The state that the instance's history ends with; undefined without a history. */
  latest(name: InstanceName): InstanceState | undefined {
    return this.#pasts.get(instanceKey(name))?.latest;
  }

  /** The stamp of the latest transition of an instance. */
  latestStamp(name: InstanceName): number | undefined {
    return this.#pasts.get(instanceKey(name))?.stamps.at(-1);
  }

  /** Instances with a history, including those that have gone. */
  *names(): Iterable<InstanceName> {
    for (const { name } of this.#pasts.values()) yield name;
  }

  /** The keys of entries that are no longer needed: of histories that have become too long, or of all. */
  *surplus(of: "crowded" | "all"): Iterable<{ readonly name: InstanceName; readonly keys: readonly string[] }> {
    const nowMs = this.#host.clock.now();
    const pasts = [...(of === "all" ? this.#pasts.values() : this.#crowded)];
    this.#crowded.clear();
    for (const { name, latest, stamps } of pasts) {
      const count = surplusOf(stamps, latest, nowMs);
      if (count > 0) yield { name, keys: stamps.slice(0, count).map((stamp) => historyKey(name, stamp)) };
    }
  }

  /** The latest transitions of all instances, oldest first. The version tells whether they changed. */
  get recent(): { readonly version: number; readonly changes: readonly HealthChange[] } {
    return { version: this.#version, changes: this.#recent };
  }

  reset(entries: readonly StoreEntry[]): void {
    this.#pasts.clear();
    this.#crowded.clear();
    this.#recent.length = 0;
    this.#version++;
    const all: HealthChange[] = [];
    for (const { name, rows } of historiesIn(entries)) {
      for (const row of rows) all.push(...this.#take(name, row));
      // Sorted and cut in between, so that a store full of histories does not fill the memory.
      if (all.length > RECENT_TRANSITIONS_MAX * 8) latestOf(all);
    }
    this.#recent.push(...latestOf(all));
  }

  apply(events: readonly StoreEvent[]): void {
    for (const event of events) {
      const parsed = parseHistoryKey(keyOfEvent(event));
      if (!parsed) continue;
      const { stamp, ...name } = parsed;
      if (event.type === "delete") this.#drop(name, stamp);
      else for (const change of this.#take(name, { stamp, stored: decodeJson(event.entry.value) })) this.#add(change);
    }
    if (this.#recent.length > RECENT_TRANSITIONS_MAX + RECENT_SURPLUS_MAX)
      this.#recent.splice(0, this.#recent.length - RECENT_TRANSITIONS_MAX);
  }

  /** Remembers an entry of a history, and returns the transitions that it adds. */
  #take(name: InstanceName, row: HistoryEntry): HealthChange[] {
    const key = instanceKey(name);
    const past = this.#pasts.get(key);
    // After a failure, a revision is delivered again.
    if (past && row.stamp <= (past.stamps.at(-1) ?? 0) && past.stamps.includes(row.stamp)) return [];
    const transitions = transitionsOf(past?.latest, row);
    const last = transitions.at(-1);
    const latest = last ? { ...last.state, atMs: last.atMs } : past?.latest;
    if (!latest) return [];
    if (past) {
      past.latest = latest;
      insert(past.stamps, row.stamp, (stamp) => stamp);
      if (past.stamps.length > HISTORY_TRANSITIONS_MAX + SURPLUS_MAX) this.#crowd(past);
    } else this.#pasts.set(key, { name, latest, stamps: [row.stamp] });
    // That an instance existed before its history began is not a change.
    return transitions.filter(({ before }) => before.status !== "unknown" || before.lifecycle).map(changeOf(name));
  }

  #add(change: HealthChange): void {
    this.#version++;
    insert(this.#recent, change, ({ atMs }) => atMs);
  }

  #drop(name: InstanceName, stamp: number): void {
    const past = this.#pasts.get(instanceKey(name));
    const at = past?.stamps.indexOf(stamp) ?? -1;
    if (!past || at < 0) return;
    past.stamps.splice(at, 1);
    if (past.stamps.length > 0) return;
    this.#pasts.delete(instanceKey(name));
    this.#crowded.delete(past);
  }

  #crowd(past: Past): void {
    this.#crowded.add(past);
    this.crowded.fire();
  }

  /** The histories of a service's instances within the last hours, in order of id. */
  async read(
    { namespace, service }: ServiceName,
    { hours, after, limit, instance }: HistoryWindow,
  ): Promise<ServiceHistory> {
    const nowMs = this.#host.clock.now();
    const fromMs = nowMs - hours * 3_600_000;
    const { histories, next } =
      instance === undefined
        ? await this.#histories(
            historyPrefix({ namespace, service }),
            Math.min(limit, HISTORY_INSTANCES_MAX),
            after === undefined ? undefined : afterHistoryOf({ namespace, service, id: after }),
          )
        : await this.#histories(instanceHistoryPrefix({ namespace, service, id: instance }), 1, undefined);
    const instances = histories.flatMap(({ name, rows }): InstanceHistory[] => {
      const view = historyView(name.id, transitionsIn(rows), fromMs);
      return view ? [view] : [];
    });
    return {
      namespace,
      service,
      from: new Date(fromMs).toISOString(),
      to: new Date(nowMs).toISOString(),
      instances,
      ...(next === undefined ? {} : { next }),
    };
  }

  /** Whole histories under a prefix. `next`: the id of the last one, when there are more. */
  async #histories(prefix: string, limit: number, after: string | undefined) {
    const entries: StoreEntry[] = [];
    for (let from = after; ;) {
      const page = await this.#store.range({
        prefix,
        limit: READ_PAGE,
        ...(from === undefined ? {} : { after: from }),
      });
      entries.push(...page.entries);
      from = page.entries.at(-1)?.key;
      const histories = [...historiesIn(entries)];
      const isEnd = !page.more || from === undefined;
      // The last history of a page may go on in the next page.
      if (!isEnd && histories.length <= limit) continue;
      const shown = histories.slice(0, limit);
      return { histories: shown, next: histories.length > limit ? shown.at(-1)?.name.id : undefined };
    }
  }
}

function changeOf(name: InstanceName) {
  return (one: Transition): HealthChange => ({
    name,
    before: one.before,
    transition: transitionView(one),
    atMs: one.atMs,
  });
}

/** Inserts into a sorted list, where the new item is nearly always the last one. */
function insert<T>(list: T[], item: T, rankOf: (item: T) => number): void {
  const rank = rankOf(item);
  const last = list.at(-1);
  if (last === undefined || rankOf(last) <= rank) list.push(item);
  else
    list.splice(
      firstIndexWhere(list.length, (index) => rankOf(list[index] as T) > rank),
      0,
      item,
    );
}

function latestOf(changes: HealthChange[]): HealthChange[] {
  changes.sort((a, b) => a.atMs - b.atMs);
  if (changes.length > RECENT_TRANSITIONS_MAX) changes.splice(0, changes.length - RECENT_TRANSITIONS_MAX);
  return changes;
}
