/**
 * The watchers of one stream of revisions. Each is *catching up* (it reads history at its own pace), *current* (published batches go into
 * its queue) or *too slow* (its queue overflowed: it reads the rest of the queue, and then receives STORE_WATCH_LAGGED with its last
 * revision). Publishing never waits for a reader, and a batch is filtered once per key or prefix, not once per watcher.
 */
import { invariant, type CancelTimer, type Clock } from "#base";
import { closed } from "./rules.ts";
import { keyOfEvent, StoreErrors, type KeyOrPrefix, type Revision, type StoreEvent, type WatchBatch } from "./types.ts";

/** Revisions that wait for one reader before it counts as too slow. */
const WATCH_QUEUE_REVISIONS_MAX = 4096;

/** Bytes of values that wait for one reader. Readers share the values, but a stuck one alone keeps them alive. */
const WATCH_QUEUE_BYTES_MAX = 64 * 1024 * 1024;

/** Revisions read from history in one go, so that a long catch-up does not stall the event loop. */
const CATCH_UP_REVISIONS = 256;

/** Milliseconds until a waiting watcher gets a bookmark for changes of other keys. A read of "at least revision R" may wait that long. */
const BOOKMARK_MS = 50;

/** Milliseconds between bookmarks while nothing changes at all. */
const BOOKMARK_IDLE_MS = 1000;

export interface History {
  readonly batches: readonly WatchBatch[];
  /** The batches are complete up to here. */
  readonly through: Revision;
}

export interface WatchHubOptions {
  /** Everything up to here is already published. */
  readonly revision: Revision;
  /**
   * Batches after `after`, in order: at least one revision if there is one, and about `limit` revisions at most.
   * @throws STORE_COMPACTED when they are compacted
   */
  readonly history: (after: Revision, limit: number) => History;
  readonly queueRevisionsMax?: number | undefined;
  /**
   * Whether `confirm` reports the store's signs of life, because the store is another process. Otherwise the store is this process, and an
   * idle hub sends bookmarks on its own.
   */
  readonly confirmed?: boolean;
}

/** Watchers of the same key or prefix: they share their filtered batches. */
type Group = Set<Watcher>;

export class WatchHub implements Disposable {
  readonly #clock: Clock;
  readonly #keys = new Map<string, Group>();
  readonly #prefixes = new Map<string, Group>();
  /** Lengths of the watched prefixes, with the number of prefixes of each. An event is looked up once per length. */
  readonly #prefixLengths = new Map<number, number>();
  readonly #watchers = new Set<Watcher>();
  readonly history: WatchHubOptions["history"];
  readonly queueRevisionsMax: number;
  readonly #confirmed: boolean;
  #revision: Revision;
  #paused = false;
  #timer: { readonly soon: boolean; readonly cancel: CancelTimer } | undefined;

  constructor(clock: Clock, options: WatchHubOptions) {
    this.#clock = clock;
    this.#revision = options.revision;
    this.history = options.history;
    this.queueRevisionsMax = options.queueRevisionsMax ?? WATCH_QUEUE_REVISIONS_MAX;
    this.#confirmed = options.confirmed ?? false;
  }

  /** Everything up to here has been published. */
  get revision(): Revision {
    return this.#revision;
  }

  get size(): number {
    return this.#watchers.size;
  }

  /** Publishes one whole revision. Revisions come in order, each once. */
  publish(batch: WatchBatch): void {
    invariant(batch.revision > this.#revision, "revisions are published in order, each once");
    this.#revision = batch.revision;
    if (this.#watchers.size === 0) return;
    const matched = new Map<Group, StoreEvent[]>();
    for (const event of batch.events) {
      const key = keyOfEvent(event);
      collect(matched, this.#keys.get(key), event);
      for (const length of this.#prefixLengths.keys()) {
        if (length <= key.length) collect(matched, this.#prefixes.get(key.slice(0, length)), event);
      }
    }
    for (const [group, events] of matched) {
      const part = events.length === batch.events.length ? batch : { revision: batch.revision, events };
      const bytes = bytesOf(part);
      for (const watcher of group) watcher.offer(part, bytes);
    }
    this.#schedule(true);
  }

  /** Nothing changed up to here. Watchers receive a bookmark. */
  progress(revision: Revision): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    this.#schedule(true);
  }

  /** The store gave a sign of life: everything up to the revision is published. Watchers receive a bookmark. */
  confirm(): void {
    if (!this.#paused) for (const watcher of this.#watchers) watcher.bookmark();
  }

  /** While paused, watchers receive no bookmarks, because the stream of revisions may be cut. */
  set paused(paused: boolean) {
    this.#paused = paused;
  }

  /** A watch of everything after a revision. A future revision is allowed. */
  watch(selector: KeyOrPrefix, after: Revision, signal: AbortSignal): AsyncIterableIterator<WatchBatch> {
    const watcher = new Watcher(this, selector, after, signal);
    this.#watchers.add(watcher);
    this.#schedule(false);
    watcher.start();
    return watcher;
  }

  /** Ends every watch with this error. */
  fail(error: Error): void {
    for (const watcher of this.#watchers) watcher.fail(error);
  }

  [Symbol.dispose](): void {
    this.fail(closed());
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** From now on the watcher receives published batches. For watchers only. */
  join(watcher: Watcher): void {
    const { selector } = watcher;
    if ("key" in selector) {
      groupOf(this.#keys, selector.key).add(watcher);
      return;
    }
    const group = groupOf(this.#prefixes, selector.prefix);
    group.add(watcher);
    if (group.size > 1) return;
    const { length } = selector.prefix;
    this.#prefixLengths.set(length, (this.#prefixLengths.get(length) ?? 0) + 1);
  }

  /** The watcher has ended. For watchers only. */
  leave(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    const { selector } = watcher;
    const [groups, name] = "key" in selector ? [this.#keys, selector.key] : [this.#prefixes, selector.prefix];
    const group = groups.get(name);
    if (!group?.delete(watcher) || group.size > 0) return;
    groups.delete(name);
    if ("key" in selector) return;
    const count = (this.#prefixLengths.get(name.length) ?? 1) - 1;
    if (count === 0) this.#prefixLengths.delete(name.length);
    else this.#prefixLengths.set(name.length, count);
  }

  #schedule(soon: boolean): void {
    if (this.#watchers.size === 0 || (this.#timer && (this.#timer.soon || !soon))) return;
    if (!soon && this.#confirmed) return;
    this.#timer?.cancel();
    const cancel = this.#clock.after(soon ? BOOKMARK_MS : BOOKMARK_IDLE_MS, () => {
      this.#timer = undefined;
      if (!this.#paused) for (const watcher of this.#watchers) watcher.bookmark();
      this.#schedule(false);
    });
    this.#timer = { soon, cancel };
  }
}

class Watcher implements AsyncIterableIterator<WatchBatch> {
  readonly selector: KeyOrPrefix;
  readonly #hub: WatchHub;
  readonly #signal: AbortSignal;
  /** Everything up to here has been examined, and the watcher's part delivered. */
  #cursor: Revision;
  /** The revision of the last batch or bookmark. */
  #told: Revision = 0;
  /** Whether the opening bookmark was delivered. */
  #opened = false;
  /** Whether published batches go into the queue; otherwise the watcher is catching up. */
  #current = false;
  /** Whether the queue overflowed; nothing is added to it then. */
  #lagged = false;
  #ended = false;
  #failure: Error | undefined;
  /** History that was read but not delivered, and its last revision. */
  #past: WatchBatch[] = [];
  #pastThrough: Revision;
  #queue: { batch: WatchBatch; bytes: number }[] = [];
  #queueBytes = 0;
  #waiting: PromiseWithResolvers<IteratorResult<WatchBatch>> | undefined;

  constructor(hub: WatchHub, selector: KeyOrPrefix, after: Revision, signal: AbortSignal) {
    this.#hub = hub;
    this.selector = selector;
    this.#cursor = after;
    this.#pastThrough = after;
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  start(): void {
    if (this.#signal.aborted) this.#end();
    else this.#signal.addEventListener("abort", this.#end, { once: true });
    this.#joinWhenCurrent();
  }

  async next(): Promise<IteratorResult<WatchBatch>> {
    invariant(!this.#waiting, "a watch has one reader, which reads one batch at a time");
    if (!this.#opened && !this.#ended) {
      this.#opened = true;
      this.#told = Math.min(this.#cursor, this.#hub.revision);
      return { done: false, value: { revision: this.#told, events: [] } };
    }
    const past = this.#current ? undefined : await this.#catchUp();
    if (past) return this.#handOver(past);
    if (this.#failure) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
    if (this.#ended) return { done: true, value: undefined };
    const queued = this.#queue.shift();
    if (queued) {
      this.#queueBytes -= queued.bytes;
      return this.#handOver(queued.batch);
    }
    if (this.#lagged) {
      this.#end();
      throw StoreErrors.WATCH_LAGGED(`The reader was too slow. Watch again after revision ${this.#cursor}.`, {
        extra: { revision: this.#cursor },
      });
    }
    if (this.#told < this.#hub.revision) return this.#handOver({ revision: this.#hub.revision, events: [] });
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  async return(): Promise<IteratorResult<WatchBatch>> {
    this.#end();
    return { done: true, value: undefined };
  }

  /** A batch was published that concerns this watcher. */
  offer(batch: WatchBatch, bytes: number): void {
    if (batch.revision <= this.#cursor) return;
    if (this.#waiting) {
      this.#wake(this.#handOver(batch));
      return;
    }
    this.#queue.push({ batch, bytes });
    this.#queueBytes += bytes;
    if (this.#queue.length <= this.#hub.queueRevisionsMax && this.#queueBytes <= WATCH_QUEUE_BYTES_MAX) return;
    // The reader still gets the queue, so that each watch makes progress, however slow its reader.
    this.#lagged = true;
    this.#hub.leave(this);
  }

  /** A waiting reader receives the store's revision. */
  bookmark(): void {
    if (this.#waiting) this.#wake(this.#handOver({ revision: this.#hub.revision, events: [] }));
  }

  fail(error: Error): void {
    if (this.#ended) return;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (!waiting) this.#failure = error;
    this.#end();
    waiting?.reject(error);
  }

  readonly #end = (): void => {
    if (this.#ended) return;
    this.#ended = true;
    this.#past = [];
    this.#queue = [];
    this.#signal.removeEventListener("abort", this.#end);
    this.#hub.leave(this);
    this.#wake({ done: true, value: undefined });
  };

  /** The next batch of the history; undefined when there is none, and the watcher is then current or at its end. */
  async #catchUp(): Promise<WatchBatch | undefined> {
    while (!this.#current && !this.#ended) {
      for (let batch = this.#past.shift(); batch; batch = this.#past.shift()) {
        const events = batch.events.filter((event) => selects(this.selector, keyOfEvent(event)));
        if (events.length > 0) return { revision: batch.revision, events };
      }
      this.#cursor = this.#pastThrough;
      this.#joinWhenCurrent();
      if (this.#current) return undefined;
      try {
        const { batches, through } = this.#hub.history(this.#cursor, CATCH_UP_REVISIONS);
        this.#past = [...batches];
        this.#pastThrough = through;
      } catch (error) {
        this.#end();
        throw error;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    return undefined;
  }

  #joinWhenCurrent(): void {
    if (this.#ended || this.#cursor < this.#hub.revision) return;
    this.#current = true;
    this.#hub.join(this);
  }

  #handOver(batch: WatchBatch): IteratorResult<WatchBatch> {
    this.#told = batch.revision;
    this.#cursor = Math.max(this.#cursor, batch.revision);
    return { done: false, value: batch };
  }

  #wake(result: IteratorResult<WatchBatch>): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(result);
  }
}

function selects(selector: KeyOrPrefix, key: string): boolean {
  return "key" in selector ? key === selector.key : key.startsWith(selector.prefix);
}

export function bytesOf(batch: WatchBatch): number {
  let bytes = 0;
  for (const event of batch.events) bytes += event.type === "put" ? event.entry.value.byteLength : 0;
  return bytes;
}

function collect(matched: Map<Group, StoreEvent[]>, group: Group | undefined, event: StoreEvent): void {
  if (!group) return;
  const events = matched.get(group);
  if (events) events.push(event);
  else matched.set(group, [event]);
}

function groupOf(groups: Map<string, Group>, name: string): Group {
  let group = groups.get(name);
  if (!group) groups.set(name, (group = new Set()));
  return group;
}
