/**
 * The history of every key, in memory and without the values: the revisions that are kept, oldest first. A transaction is evaluated
 * against it alone, so it needs neither the disk nor a lock.
 */
import { invariant } from "#base";
import { OrderedKeys } from "../ordered-keys.ts";
import type { KeyOrPrefix, Revision } from "../types.ts";
import type { Change } from "./layout.ts";

/** Keys that a compaction examines in one turn of the event loop. */
const COMPACT_KEYS = 2000;

export class KeyHistory<C extends Change = Change> {
  readonly #keys = new OrderedKeys();
  readonly #changes = new Map<string, C[]>();
  /** Keys with a past to forget: more than one change, or a delete. */
  readonly #worn = new Set<string>();

  get size(): number {
    return this.#keys.size;
  }

  record(change: C): void {
    const changes = this.#changes.get(change.key);
    if (changes) {
      const last = changes.at(-1) as C;
      invariant(last.modRevision <= change.modRevision, "the changes of a key are in order of revision");
      changes.push(change);
    } else {
      this.#changes.set(change.key, [change]);
      this.#keys.add(change.key);
    }
    if (changes || change.version === 0) this.#worn.add(change.key);
  }

  /** The change of a key that was current at a revision; undefined when the key did not exist. */
  at(key: string, revision: Revision): C | undefined {
    const changes = this.#changes.get(key);
    if (!changes) return undefined;
    for (let index = changes.length - 1; index >= 0; index--) {
      const change = changes[index] as C;
      if (change.modRevision <= revision) return change.version === 0 ? undefined : change;
    }
    return undefined;
  }

  /** All changes that were current at a revision, in order of key. */
  select(selector: KeyOrPrefix & { readonly after?: string }, revision: Revision): C[] {
    const keys = "key" in selector ? [selector.key] : this.#keys.withPrefix(selector.prefix, selector.after);
    const found: C[] = [];
    for (const key of keys) {
      const change = this.at(key, revision);
      if (change) found.push(change);
    }
    return found;
  }

  /** The last change of every key. */
  *current(): Iterable<C> {
    for (const changes of this.#changes.values()) yield changes.at(-1) as C;
  }

  /** Forgets the past through a revision, some keys at a time; yields the forgotten changes. */
  *compact(through: Revision): Iterable<C[]> {
    let forgotten: C[] = [];
    let looked = 0;
    for (const key of this.#worn) {
      forgotten.push(...this.#compactKey(key, through));
      if (++looked % COMPACT_KEYS > 0) continue;
      yield forgotten;
      forgotten = [];
    }
    yield forgotten;
  }

  #compactKey(key: string, through: Revision): C[] {
    const changes = this.#changes.get(key) as C[];
    let current = changes.length - 1;
    while (current >= 0 && (changes[current] as C).modRevision > through) current--;
    if (current < 0) return [];
    const cut = (changes[current] as C).version === 0 ? current + 1 : current;
    const forgotten = changes.splice(0, cut);
    if (changes.length === 0) {
      this.#changes.delete(key);
      this.#keys.delete(key);
    }
    if (changes.length === 0 || (changes.length === 1 && (changes[0] as C).version > 0)) this.#worn.delete(key);
    return forgotten;
  }
}
