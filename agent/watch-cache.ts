/**
 * The latest of what the server says about many things, each followed by a watch of its own. While the server is away
 * the last known stays, and says how old it is; beside what a cold server says it stays where its fold puts the two together.
 */
import { messageOf, TaskGroup, type Host } from "#base";
import { FoldedWatch, type Fold } from "#client";
import { type IfNoneMatch, longPoll, type Polled } from "#http";
import type { Frame } from "#http/frames";
import { AgentErrors } from "./api.ts";

/** Things followed on demand; the one asked for least recently goes first. A watch is a stream at the server. */
const ON_DEMAND_MAX = 128;
/** Milliseconds that a first question waits for the server's first answer. */
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
      /** Whether it is followed for good. */
      pinned: boolean;
    },
  ) => AsyncIterable<Frame<Data>>;
  /** Called when a value changed. */
  readonly onChange: (name: Name) => void;
  /** Whether what a server says now is older than what is known, and so not to be taken. Absent: it never is. */
  readonly isOlder?: (known: At<Value>, said: At<Value>) => boolean;
  /** Called when something older begins to be held back. */
  readonly onHeld?: (name: Name) => void;
}

/** A value, and the store revision at which the server said it. */
export interface At<Value> {
  readonly value: Value;
  readonly revision: number;
}

export interface Known<Value> {
  readonly value: Value;
  /** True while the server is away, has not been heard since this value was read from the snapshot, or has an older one. */
  readonly stale: boolean;
  /** Whole seconds since the server last said that this is so. */
  readonly ageSeconds: number;
}

/** What was known of a name before a restart. */
export interface Seed<Value> extends At<Value> {
  /** When the server last confirmed it, by the wall clock. */
  readonly heardAtMs: number;
}

interface Entry<Name, Value> {
  readonly name: Name;
  readonly pinned: boolean;
  readonly stop: AbortController;
  value: Value | undefined;
  /** Store revision up to which the value is known to be so. */
  revision: number;
  /** What the server says instead, and is older. */
  held: At<Value> | undefined;
  connected: boolean;
  /** Wall clock, since it outlives the process. */
  heardAtMs: number;
  error: string | undefined;
  readonly waiting: Set<() => void>;
}

export class WatchCache<Name, Value, Data> implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: WatchCacheOptions<Name, Value, Data>;
  readonly #tasks: TaskGroup;
  /** In order of use, the least recently used first. */
  readonly #entries = new Map<string, Entry<Name, Value>>();
  /** Known from before a restart, and not followed yet. */
  readonly #seeds = new Map<string, { readonly name: Name; readonly seed: Seed<Value> }>();

  constructor(host: Host, options: WatchCacheOptions<Name, Value, Data>) {
    this.#host = host;
    this.#options = options;
    this.#tasks = new TaskGroup(host.log);
  }

  /** Remembers what was known before a restart until the name is followed; `followSeeds` follows the rest. */
  seed(name: Name, seed: Seed<Value>): void {
    this.#seeds.set(this.#options.keyOf(name), { name, seed });
  }

  /** Follows on demand whatever was seeded and is not followed yet. */
  followSeeds(): void {
    for (const { name } of this.#seeds.values()) this.follow(name, { pinned: false });
  }

  /** Follows something from now on. Pinned: never given up for another. */
  follow(name: Name, options: { pinned: boolean }): void {
    const key = this.#options.keyOf(name);
    const known = this.#entries.get(key);
    if (known && (known.pinned || !options.pinned)) return;
    known?.stop.abort(new Error("followed again"));
    this.#makeRoom();
    const seed = this.#seeds.get(key)?.seed;
    this.#seeds.delete(key);
    const entry: Entry<Name, Value> = {
      name,
      pinned: options.pinned,
      stop: new AbortController(),
      value: known?.value ?? seed?.value,
      revision: known?.revision ?? seed?.revision ?? 0,
      held: known?.held,
      connected: false,
      heardAtMs: known?.heardAtMs ?? seed?.heardAtMs ?? 0,
      error: undefined,
      waiting: known?.waiting ?? new Set(),
    };
    this.#entries.set(key, entry);
    this.#tasks.run(`watch ${this.#options.what}`, (signal) => this.#run(entry, signal));
  }

  /** Sets what is followed for good. What was, and is not any more, is given up. */
  pin(names: readonly Name[]): void {
    const wanted = new Set(names.map((name) => this.#options.keyOf(name)));
    for (const [key, { pinned }] of this.#entries) if (pinned && !wanted.has(key)) this.#drop(key);
    for (const name of names) this.follow(name, { pinned: true });
  }

  /** What is known now, without waiting. */
  peek(name: Name): Known<Value> | undefined {
    const entry = this.#entries.get(this.#options.keyOf(name));
    return entry?.value === undefined ? undefined : this.#known(entry, entry.value);
  }

  /**
   * What is known; follows it on demand, and then waits for a first answer.
   * @throws AGENT_NOT_KNOWN_YET when none came in FIRST_ANSWER_MS_MAX
   */
  async get(name: Name): Promise<Known<Value>> {
    const key = this.#options.keyOf(name);
    this.follow(name, { pinned: false });
    const entry = this.#entries.get(key);
    if (!entry) throw AgentErrors.NOT_KNOWN_YET(`The agent is stopping.`);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (entry.value === undefined) await this.#news(entry, FIRST_ANSWER_MS_MAX);
    const current = this.#entries.get(key);
    if (current?.value !== undefined) return this.#known(current, current.value);
    const why = current?.error === undefined ? "" : ` The server said: ${current.error}`;
    throw AgentErrors.NOT_KNOWN_YET(
      `Nothing was heard about ${this.#options.what} ${key} within ${FIRST_ANSWER_MS_MAX} ms.${why} Try again when the control plane answers.`,
    );
  }

  /**
   * What is known, as soon as it is something else than what the caller has.
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
  ): Promise<Polled<Known<Value>> & { readonly isKnown: boolean }> {
    const { tagOf, known, waitMs, signal } = options;
    const read = async () => {
      const state = await this.get(name);
      return { state, tag: tagOf(state.value) };
    };
    const next = async (ms: number, signal: AbortSignal) => {
      const entry = this.#entries.get(this.#options.keyOf(name));
      if (!entry) return false;
      const untilMs = this.#host.clock.monotonic() + ms;
      await this.#news(entry, ms, signal);
      return !signal.aborted && this.#host.clock.monotonic() < untilMs;
    };
    // Followed before the first look, or there would be nothing to wait for.
    this.follow(name, { pinned: false });
    return longPoll(this.#host.clock, { read, next, known, waitMs, signal });
  }

  /** Everything known, to keep in the snapshot; with the time it was last heard, unless that is now. */
  *all(): Iterable<{ value: Value; revision: number; heardAtMs?: number }> {
    for (const { value, revision, heardAtMs, connected } of this.#entries.values()) {
      if (value !== undefined) yield connected ? { value, revision } : { value, revision, heardAtMs };
    }
  }

  /** Everything that is followed. */
  names(): Name[] {
    return [...this.#entries.values()].map(({ name }) => name);
  }

  /** That for which the server has something older. */
  held(): Name[] {
    return [...this.#entries.values()].filter(({ held }) => held !== undefined).map(({ name }) => name);
  }

  /** Takes the older one after all; false when there is none. */
  acceptHeld(name: Name): boolean {
    const entry = this.#entries.get(this.#options.keyOf(name));
    if (!entry?.held) return false;
    this.#accept(entry, entry.held);
    this.#tell(entry);
    return true;
  }

  /** Asks the server for the whole of it again; what is known stays until the answer. */
  followAnew(name: Name): void {
    const entry = this.#entries.get(this.#options.keyOf(name));
    if (!entry) return;
    entry.stop.abort(new Error("followed again"));
    const next = { ...entry, stop: new AbortController() };
    this.#entries.set(this.#options.keyOf(name), next);
    this.#tasks.run(`watch ${this.#options.what}`, (signal) => this.#run(next, signal));
  }

  #known(entry: Entry<Name, Value>, value: Value): Known<Value> {
    const ageMs = entry.connected ? 0 : Math.max(0, this.#host.clock.now() - entry.heardAtMs);
    return { value, stale: !entry.connected || entry.held !== undefined, ageSeconds: Math.floor(ageMs / 1000) };
  }

  /** Resolves at the next news, after so long, or when the signal aborts. */
  #news(entry: Entry<Name, Value>, ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        entry.waiting.delete(done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const cancel = this.#host.clock.after(ms, done);
      signal?.addEventListener("abort", done, { once: true });
      entry.waiting.add(done);
    });
  }

  #accept(entry: Entry<Name, Value>, { value, revision }: At<Value>): void {
    entry.value = value;
    entry.revision = revision;
    entry.held = undefined;
  }

  #tell(entry: Entry<Name, Value>): void {
    this.#options.onChange(entry.name);
    for (const wake of entry.waiting) wake();
  }

  /** Takes what the server says, unless it is older than what is known. False: nothing is new. */
  #offer(entry: Entry<Name, Value>, said: At<Value>): boolean {
    const { value, revision } = entry;
    if (value !== undefined && this.#options.isOlder?.({ value, revision }, said)) {
      const isNew = entry.held === undefined;
      entry.held = said;
      if (isNew) this.#options.onHeld?.(entry.name);
      return false;
    }
    this.#accept(entry, said);
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
    for (const wake of entry?.waiting ?? []) wake();
  }

  async #run(entry: Entry<Name, Value>, groupSignal: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([groupSignal, entry.stop.signal]);
    const { fold, watch } = this.#options;
    const folded = new FoldedWatch(fold, entry.value);
    const onState = (state: "connected" | "disconnected", error?: unknown) => {
      // Connected alone proves nothing about the value; the first whole state does.
      if (state === "connected") return;
      if (entry.connected) entry.heardAtMs = this.#host.clock.now();
      entry.connected = false;
      if (error !== undefined) entry.error = messageOf(error);
    };
    for await (const frame of watch(entry.name, { signal, onState, pinned: entry.pinned })) {
      const { event, revision } = frame;
      // A resumed watch goes on from what is known; any other begins with a snapshot, which replaces it.
      let isNew = event === "synced" && folded.settled;
      const changed = folded.take(frame);
      if (event === "reset" || event === "snapshot" || !folded.settled) continue;
      if (changed) isNew = this.#offer(entry, { value: folded.value as Value, revision });
      else if (event === "heartbeat") {
        // The server has caught up with what is known; if it still says the same, that is how it is.
        if (entry.held) isNew = this.#offer(entry, { value: entry.held.value, revision });
        else entry.revision = Math.max(entry.revision, revision);
      }
      entry.connected = entry.value !== undefined;
      entry.error = undefined;
      if (isNew) this.#tell(entry);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { waiting } of this.#entries.values()) for (const wake of waiting) wake();
    await this.#tasks[Symbol.asyncDispose]();
    this.#entries.clear();
  }
}
