/**
 * The latest value of many names, each followed by its own watch. While the server is away the last known value stays, with
 * its age. The data of a cold server is combined with it where the fold allows that.
 */
import { messageOf, TaskGroup, Waiters, type Host } from "#base";
import { FoldedWatch, type Fold } from "#client";
import { type IfNoneMatch, longPoll, type Polled } from "#http";
import type { Frame } from "#http/frames";
import { AgentErrors } from "./api.ts";

/** Names followed on demand; the least recently used one makes room first. Each watch is a stream at the server. */
const ON_DEMAND_MAX = 128;
/** Milliseconds that a first request waits for the server's first answer. */
const FIRST_ANSWER_MS_MAX = 3_000;

export interface WatchCacheOptions<Name, Value, Data> {
  readonly what: string;
  readonly keyOf: (name: Name) => string;
  readonly fold: Fold<Value, Data>;
  readonly watch: (
    name: Name,
    options: {
      signal: AbortSignal;
      onState: (state: "connected" | "disconnected", error?: unknown) => void;
      /** Whether it is followed permanently. */
      pinned: boolean;
    },
  ) => AsyncIterable<Frame<Data>>;
  /** Called when a value changed. */
  readonly onChange: (name: Name) => void;
  /** Whether the server's value is older than the known one, which is then kept. Absent: it never is. */
  readonly isOlder?: (known: ValueAt<Value>, offered: ValueAt<Value>) => boolean;
  /** Called when the cache begins to hold back an older value. */
  readonly onHeld?: (name: Name) => void;
}

/** A value, and the store revision at which the server sent it. */
export interface ValueAt<Value> {
  readonly value: Value;
  readonly revision: number;
}

export interface KnownValue<Value> {
  readonly value: Value;
  /** True while the server is away, has not confirmed this value since it was read from the snapshot, or has an older one. */
  readonly stale: boolean;
  /** Whole seconds since the server last confirmed the value. */
  readonly ageSeconds: number;
}

/** The value that a name had before a restart. */
export interface Seed<Value> extends ValueAt<Value> {
  /** When the server last confirmed it, by the wall clock. */
  readonly heardAtMs: number;
}

interface FollowedEntry<Name, Value> {
  readonly name: Name;
  readonly pinned: boolean;
  readonly stop: AbortController;
  value: Value | undefined;
  /** Store revision up to which the server has confirmed the value. */
  revision: number;
  /** The server's value when it is older than the known one. */
  held: ValueAt<Value> | undefined;
  connected: boolean;
  /** Wall clock, since it outlives the process. */
  heardAtMs: number;
  error: string | undefined;
  readonly news: Waiters;
}

export class WatchCache<Name, Value, Data> implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: WatchCacheOptions<Name, Value, Data>;
  readonly #tasks: TaskGroup;
  /** In order of use, the least recently used first. */
  readonly #entries = new Map<string, FollowedEntry<Name, Value>>();
  /** Values from before a restart whose names are not followed yet. */
  readonly #seeds = new Map<string, { readonly name: Name; readonly seed: Seed<Value> }>();

  constructor(host: Host, options: WatchCacheOptions<Name, Value, Data>) {
    this.#host = host;
    this.#options = options;
    this.#tasks = new TaskGroup(host.log);
  }

  /** Keeps a value from before a restart until its name is followed. `followSeeds` follows the remaining ones. */
  seed(name: Name, seed: Seed<Value>): void {
    this.#seeds.set(this.#options.keyOf(name), { name, seed });
  }

  /** Follows on demand each seeded name that is not followed yet. */
  followSeeds(): void {
    for (const { name } of this.#seeds.values()) this.follow(name, { pinned: false });
  }

  /** Follows a name from now on. A pinned one never makes room for another. */
  follow(name: Name, options: { pinned: boolean }): void {
    const key = this.#options.keyOf(name);
    const known = this.#entries.get(key);
    if (known && (known.pinned || !options.pinned)) return;
    known?.stop.abort(new Error("followed again"));
    this.#makeRoom();
    const seed = this.#seeds.get(key)?.seed;
    this.#seeds.delete(key);
    const entry: FollowedEntry<Name, Value> = {
      name,
      pinned: options.pinned,
      stop: new AbortController(),
      value: known?.value ?? seed?.value,
      revision: known?.revision ?? seed?.revision ?? 0,
      held: known?.held,
      connected: false,
      heardAtMs: known?.heardAtMs ?? seed?.heardAtMs ?? 0,
      error: undefined,
      news: known?.news ?? new Waiters(),
    };
    this.#entries.set(key, entry);
    this.#tasks.run(`watch ${this.#options.what}`, (signal) => this.#run(entry, signal));
  }

  /** Sets the names that are followed permanently, and stops following earlier ones that are not among them. */
  pin(names: readonly Name[]): void {
    const wanted = new Set(names.map((name) => this.#options.keyOf(name)));
    for (const [key, { pinned }] of this.#entries) if (pinned && !wanted.has(key)) this.#drop(key);
    for (const name of names) this.follow(name, { pinned: true });
  }

  /** The known value, without waiting. */
  peek(name: Name): KnownValue<Value> | undefined {
    const entry = this.#entries.get(this.#options.keyOf(name));
    return entry?.value === undefined ? undefined : this.#known(entry, entry.value);
  }

  /**
   * The known value. Follows the name on demand, and then waits for a first answer.
   * @throws AGENT_NOT_KNOWN_YET when none arrives within FIRST_ANSWER_MS_MAX
   */
  async get(name: Name): Promise<KnownValue<Value>> {
    const key = this.#options.keyOf(name);
    this.follow(name, { pinned: false });
    const entry = this.#entries.get(key);
    if (!entry) throw AgentErrors.NOT_KNOWN_YET(`The agent is stopping.`);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (entry.value === undefined) {
      await entry.news.wait({ limit: { clock: this.#host.clock, ms: FIRST_ANSWER_MS_MAX } });
    }
    const current = this.#entries.get(key);
    if (current?.value !== undefined) return this.#known(current, current.value);
    const why = current?.error === undefined ? "" : ` The last error was: ${current.error}`;
    throw AgentErrors.NOT_KNOWN_YET(
      `The control plane did not send ${this.#options.what} ${key} within ${FIRST_ANSWER_MS_MAX} ms.${why} Try again once it answers.`,
    );
  }

  /**
   * The known value, as soon as it differs from the one that the caller has.
   * @throws AGENT_NOT_KNOWN_YET
   */
  async getOther(
    name: Name,
    options: {
      tagOf: (value: Value) => string;
      known: IfNoneMatch | undefined;
      waitMs: number;
      signal: AbortSignal;
    },
  ): Promise<Polled<KnownValue<Value>> & { readonly isKnown: boolean }> {
    const { tagOf, known, waitMs, signal } = options;
    const read = async () => {
      const state = await this.get(name);
      return { state, tag: tagOf(state.value) };
    };
    const next = async (ms: number, signal: AbortSignal) => {
      const entry = this.#entries.get(this.#options.keyOf(name));
      if (!entry) return false;
      return (await entry.news.wait({ limit: { clock: this.#host.clock, ms }, signal })) === "woken";
    };
    // Followed before the first read, so that there is an entry to wait on.
    this.follow(name, { pinned: false });
    return longPoll(this.#host.clock, { read, next, known, waitMs, signal });
  }

  /** Every known value, for the snapshot; with the time of its last confirmation, unless that is now. */
  *all(): Iterable<{ value: Value; revision: number; heardAtMs?: number }> {
    for (const { value, revision, heardAtMs, connected } of this.#entries.values()) {
      if (value !== undefined) yield connected ? { value, revision } : { value, revision, heardAtMs };
    }
  }

  /** The names that are followed. */
  names(): Name[] {
    return [...this.#entries.values()].map(({ name }) => name);
  }

  /** The names whose value at the server is older. */
  held(): Name[] {
    return [...this.#entries.values()].filter(({ held }) => held !== undefined).map(({ name }) => name);
  }

  /** Accepts the server's older value; false when there is none. */
  acceptHeld(name: Name): boolean {
    const entry = this.#entries.get(this.#options.keyOf(name));
    if (!entry?.held) return false;
    this.#accept(entry, entry.held);
    this.#notify(entry);
    return true;
  }

  /** Reads the whole value from the server again. The known one stays until the answer. */
  followAgain(name: Name): void {
    const entry = this.#entries.get(this.#options.keyOf(name));
    if (!entry) return;
    entry.stop.abort(new Error("followed again"));
    const next = { ...entry, stop: new AbortController() };
    this.#entries.set(this.#options.keyOf(name), next);
    this.#tasks.run(`watch ${this.#options.what}`, (signal) => this.#run(next, signal));
  }

  #known(entry: FollowedEntry<Name, Value>, value: Value): KnownValue<Value> {
    const ageMs = entry.connected ? 0 : Math.max(0, this.#host.clock.now() - entry.heardAtMs);
    return { value, stale: !entry.connected || entry.held !== undefined, ageSeconds: Math.floor(ageMs / 1000) };
  }

  #accept(entry: FollowedEntry<Name, Value>, { value, revision }: ValueAt<Value>): void {
    entry.value = value;
    entry.revision = revision;
    entry.held = undefined;
  }

  #notify(entry: FollowedEntry<Name, Value>): void {
    this.#options.onChange(entry.name);
    entry.news.wakeAll();
  }

  /** Accepts the server's value, unless it is older than the known one. False: nothing changed. */
  #offer(entry: FollowedEntry<Name, Value>, offered: ValueAt<Value>): boolean {
    const { value, revision } = entry;
    if (value !== undefined && this.#options.isOlder?.({ value, revision }, offered)) {
      const isNew = entry.held === undefined;
      entry.held = offered;
      if (isNew) this.#options.onHeld?.(entry.name);
      return false;
    }
    this.#accept(entry, offered);
    return true;
  }

  #makeRoom(): void {
    let onDemand = 0;
    for (const { pinned } of this.#entries.values()) if (!pinned) onDemand++;
    if (onDemand < ON_DEMAND_MAX) return;
    for (const [key, { pinned }] of this.#entries) if (!pinned) return this.#drop(key);
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    entry?.stop.abort(new Error("no longer followed"));
    entry?.news.wakeAll();
  }

  async #run(entry: FollowedEntry<Name, Value>, groupSignal: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([groupSignal, entry.stop.signal]);
    const { fold, watch } = this.#options;
    const folded = new FoldedWatch(fold, entry.value);
    const onState = (state: "connected" | "disconnected", error?: unknown) => {
      // A connection alone does not confirm the value; the first whole state does.
      if (state === "connected") return;
      if (entry.connected) entry.heardAtMs = this.#host.clock.now();
      entry.connected = false;
      if (error !== undefined) entry.error = messageOf(error);
    };
    for await (const frame of watch(entry.name, { signal, onState, pinned: entry.pinned })) {
      const { event, revision } = frame;
      // A resumed watch continues from the known value; any other begins with a snapshot, which replaces it.
      let isNew = event === "synced" && folded.settled;
      const changed = folded.take(frame);
      if (event === "reset" || event === "snapshot" || !folded.settled) continue;
      if (changed) isNew = this.#offer(entry, { value: folded.value as Value, revision });
      else if (event === "heartbeat") {
        // The server may have caught up with the known value. If its value is still the older one, that one is right.
        if (entry.held) isNew = this.#offer(entry, { value: entry.held.value, revision });
        else entry.revision = Math.max(entry.revision, revision);
      }
      entry.connected = entry.value !== undefined;
      entry.error = undefined;
      if (isNew) this.#notify(entry);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { news } of this.#entries.values()) news.wakeAll();
    await this.#tasks[Symbol.asyncDispose]();
    this.#entries.clear();
  }
}
