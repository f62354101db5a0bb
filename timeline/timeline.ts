/**
 * Recent changes: the log in the store and the transitions of instances, in one order. Members keep both in memory. One
 * member removes the oldest entries of the log beyond its number; their age is limited by their lease.
 */
import { AppError, decodeJson, firstIndexWhere, messageOf, type Host } from "#base";
import { changeId, CHANGES_MAX, CHANGES_PREFIX, type StoredChange } from "#changes";
import { maySee, type Principal } from "#http";
import { type Store, type StoreEntry, TXN_OPS_MAX, View } from "#store";
import { TimelineErrors, type Change, type ChangeKind, type ChangeList } from "./api.ts";
import { changeOfHealth, type HealthChangeFact } from "./health-changes.ts";
import { kindRow } from "./kinds.ts";

/** Milliseconds between two removals of the oldest entries. */
const TRIM_MS = 30_000;
const CURSOR = /^\d{15}-[\x20-\x7e]{1,256}$/;

/** The facts that the timeline reads of other modules. */
export interface TimelineSources {
  /** The latest transitions of all instances. The same list until it changes. */
  readonly health: () => { readonly version: number; readonly changes: readonly HealthChangeFact[] };
  /** Whether this member does what one member must do. */
  readonly leads: () => boolean;
}

type Entry = StoredChange & { readonly id: string };

export interface ChangeQuery {
  readonly limit: number;
  readonly before?: string | undefined;
  readonly namespace?: string | undefined;
  readonly kinds?: readonly ChangeKind[] | undefined;
  /** Instances of this service, and config of the app with its name. */
  readonly service?: string | undefined;
  /** Only changes at this time or later, in RFC 3339. */
  readonly since?: string | undefined;
  /** Only changes before this time, in RFC 3339. */
  readonly until?: string | undefined;
}

export class Timeline {
  readonly #host: Host;
  readonly #store: Store;
  readonly #sources: TimelineSources;
  readonly #view: View;
  readonly #log = new Map<string, Entry>();
  #merged: readonly Entry[] = [];
  #isMerged = false;
  #healthVersion = -1;

  constructor(host: Host, store: Store, sources: TimelineSources) {
    this.#host = host;
    this.#store = store;
    this.#sources = sources;
    this.#view = new View(host, store, {
      name: "changes",
      prefix: CHANGES_PREFIX,
      reset: (entries) => {
        this.#log.clear();
        for (const entry of entries) this.#put(entry);
      },
      apply: ({ events }) => {
        for (const event of events) {
          if (event.type === "put") this.#put(event.entry);
          else {
            this.#log.delete(event.key.slice(CHANGES_PREFIX.length));
            this.#isMerged = false;
          }
        }
      },
    });
  }

  get revision(): number {
    return this.#view.revision;
  }

  /** Follows the log, and trims it, until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#view.run(signal), this.#trim(signal)]);
  }

  /** The newest changes that the caller may see. @throws TIMELINE_CURSOR_INVALID */
  list(principal: Principal, { limit, before, namespace, kinds, service, since, until }: ChangeQuery): ChangeList {
    if (before !== undefined && !CURSOR.test(before)) {
      throw TimelineErrors.CURSOR_INVALID(
        `"${before}" is not the id of a change. Pass the value of "next", or no "before".`,
      );
    }
    const all = this.#all();
    const indexOf = (id: string) => firstIndexWhere(all.length, (index) => (all[index] as Entry).id >= id);
    const start = since === undefined ? 0 : indexOf(changeId(Date.parse(since), ""));
    const end = Math.min(
      before === undefined ? all.length : indexOf(before),
      until === undefined ? all.length : indexOf(changeId(Date.parse(until), "")),
    );
    const changes: Change[] = [];
    for (let index = end - 1; index >= start; index--) {
      const entry = all[index] as Entry;
      const row = kindRow(entry.kind);
      if (!row || !maySee(principal, row.action, entry.subject)) continue;
      if (namespace !== undefined && (entry.subject.namespace ?? namespace) !== namespace) continue;
      if (service !== undefined && (entry.subject.service ?? entry.subject.app) !== service) continue;
      if (kinds !== undefined && !kinds.includes(entry.kind)) continue;
      if (changes.length === limit) return { changes, next: (changes.at(-1) as Change).id };
      changes.push({ ...entry, text: row.text(entry) });
    }
    return { changes };
  }

  /** All changes, oldest first. */
  #all(): readonly Entry[] {
    const { version, changes } = this.#sources.health();
    if (this.#isMerged && version === this.#healthVersion) return this.#merged;
    const merged = [...this.#log.values(), ...changes.map(changeOfHealth)];
    this.#merged = merged.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
    this.#isMerged = true;
    this.#healthVersion = version;
    return this.#merged;
  }

  /** Entries of the log of some kinds, newest first, for people's problems. */
  latest(kinds: ReadonlySet<ChangeKind>): Entry[] {
    return [...this.#log.values()].filter(({ kind }) => kinds.has(kind)).sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  #put({ key, value }: StoreEntry): void {
    const id = key.slice(CHANGES_PREFIX.length);
    this.#log.set(id, { id, ...decodeJson<StoredChange>(value) });
    this.#isMerged = false;
  }

  async #trim(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#host.clock.sleep(TRIM_MS, signal).catch(() => {});
      const surplus = this.#log.size - CHANGES_MAX;
      if (signal.aborted || surplus <= 0 || !this.#sources.leads()) continue;
      const oldest = [...this.#log.keys()].sort().slice(0, surplus);
      try {
        for (let at = 0; at < oldest.length && !signal.aborted; at += TXN_OPS_MAX) {
          const batch = oldest.slice(at, at + TXN_OPS_MAX);
          await this.#store.txn({ then: batch.map((id) => ({ type: "delete", key: `${CHANGES_PREFIX}${id}` })) });
        }
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        this.#host.log.debug({ code: error.code }, `old changes not removed yet: ${messageOf(error)}`);
      }
    }
  }
}
