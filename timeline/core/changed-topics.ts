/** Topics that changed, with the names of what changed as long as these are few. Adding and merging keep it small. Pure. */
import { FEED_NAMES_MAX, type FeedChanged, type FeedTopic } from "../api.ts";

export class ChangedTopics {
  /** `undefined`: any of the topic may have changed. */
  readonly #names = new Map<FeedTopic, Set<string> | undefined>();

  get isEmpty(): boolean {
    return this.#names.size === 0;
  }

  has(topic: FeedTopic): boolean {
    return this.#names.has(topic);
  }

  topics(): Iterable<FeedTopic> {
    return this.#names.keys();
  }

  add(topic: FeedTopic, name: string | undefined): void {
    const known = this.#names.get(topic);
    if (this.#names.has(topic) && known === undefined) return;
    if (name === undefined) {
      this.#names.set(topic, undefined);
      return;
    }
    const names = known ?? new Set<string>();
    names.add(name);
    this.#names.set(topic, names.size > FEED_NAMES_MAX ? undefined : names);
  }

  merge(other: ChangedTopics): void {
    for (const [topic, names] of other.#names) {
      if (names === undefined) this.add(topic, undefined);
      else for (const name of names) this.add(topic, name);
    }
  }

  /** The topics and names that are visible to a reader. A topic of which no name is visible has not changed for it. */
  seenBy(isVisible: (topic: FeedTopic, name: string | undefined) => boolean): FeedChanged["topics"] {
    return [...this.#names].flatMap(([topic, names]) => {
      if (!isVisible(topic, undefined)) return [];
      if (names === undefined) return [{ topic }];
      const visible = [...names].filter((name) => isVisible(topic, name));
      return visible.length === 0 ? [] : [{ topic, names: visible }];
    });
  }
}
