/**
 * Follows the effective config of one set: the latest whole one, whether the server still says so, and for how long it has
 * not. An empty, an older or a silent server takes nothing away; a full check now and then finds what a watch lost.
 */
import { AppError, messageOf, TaskGroup, type Host } from "#base";
import { ConfigErrors, isOlder, type EffectiveConfig, type SetName } from "#config-server/api";
import { ClientErrors } from "./errors.ts";
import type { LastKnownGoodFile } from "./last-known-good.ts";
import type { Client, Instance } from "./mod.ts";

/** Milliseconds that a first question waits for a first answer; then the last-known-good file is asked. */
const FIRST_ANSWER_MS_MAX = 3_000;
/** Milliseconds between two full checks, give or take a fifth, so that many do not check at once. As Apollo's clients. */
export const FULL_CHECK_MS = 300_000;
const FULL_CHECK_JITTER = 0.2;
/** Statuses below 500 that pass by themselves: a timeout, too early, too many requests. */
const PASSING = new Set([408, 425, 429]);

export interface ConfigState {
  /**
   * `live`: the server says so now · `stale`: it did, `ageSeconds` ago, and cannot be heard or knows less · `connecting`:
   * nothing is known yet.
   */
  readonly state: "connecting" | "live" | "stale";
  /** Whole seconds since the server last said so; 0 while live or connecting. */
  readonly ageSeconds: number;
  readonly releaseKey?: string;
  readonly revision?: number;
  /** Why it is not live. */
  readonly problem?: AppError;
}

export interface ConfigFeedOptions {
  readonly client: Client;
  readonly name: SetName;
  readonly instance: Instance;
  readonly file: LastKnownGoodFile | undefined;
  readonly tell: (problem: AppError) => void;
}

export class ConfigFeed implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: ConfigFeedOptions;
  readonly #tasks: TaskGroup;
  readonly #waiting = new Set<() => void>();
  #started = false;
  /** Also an empty one, of revision 0, once the server has said that nothing is released. */
  #known: EffectiveConfig | undefined;
  /** When a server last said so. Wall clock, since it outlives the process. */
  #heardAtMs = 0;
  /** The store's revision then. */
  #revision = 0;
  #connected = false;
  /** What the server says instead, and is older. */
  #held: EffectiveConfig | undefined;
  #problem: AppError | undefined;
  #loaded: Promise<void> | undefined;

  constructor(host: Host, options: ConfigFeedOptions) {
    this.#host = host;
    this.#options = options;
    this.#tasks = new TaskGroup(host.log);
  }

  get state(): ConfigState {
    const known = this.#known;
    const problem = this.#problem === undefined ? {} : { problem: this.#problem };
    if (!known) return { state: "connecting", ageSeconds: 0, ...problem };
    const { releaseKey, revision } = known;
    if (this.#live) return { state: "live", ageSeconds: 0, releaseKey, revision };
    const ageMs = Math.max(0, this.#host.clock.now() - this.#heardAtMs);
    return { state: "stale", ageSeconds: Math.floor(ageMs / 1000), releaseKey, revision, ...problem };
  }

  /**
   * What is known now; at first, waits for the server's answer, or falls back on the file.
   * @throws CLIENT_CONFIG_UNKNOWN, CLIENT_CLOSED, what the server refuses such as HTTP_UNAUTHORIZED, the signal's reason
   */
  async current(signal?: AbortSignal): Promise<EffectiveConfig> {
    this.#start();
    if (!this.#known) await this.#firstAnswer(signal);
    signal?.throwIfAborted();
    if (this.#tasks.signal.aborted) throw ClientErrors.CLOSED("The client was closed. Make another by connect().");
    if (this.#known) return this.#known;
    const problem = this.#problem;
    if (problem && isRefusal(problem)) throw problem;
    const { namespace, app, profile } = this.#options.name;
    const file = this.#options.file ? "there is no last-known-good file to be used" : "no lastKnownGoodFile is set";
    throw ClientErrors.CONFIG_UNKNOWN(
      `The config of "${namespace}/${app}/${profile}" is not known: no server answered within ${FIRST_ANSWER_MS_MAX} ms, and ${file}.${problem ? ` ${problem.message}` : ""}`,
      { cause: problem },
    );
  }

  /** The latest whole config, whenever it is another one, until the signal aborts. A slow reader skips what lay between. */
  async *follow(signal: AbortSignal): AsyncGenerator<EffectiveConfig, void, undefined> {
    this.#start();
    const either = AbortSignal.any([signal, this.#tasks.signal]);
    let seen: string | undefined;
    while (!either.aborted) {
      const known = this.#known;
      if (known && known.releaseKey !== seen) {
        seen = known.releaseKey;
        yield known;
      } else await this.#news(either);
    }
  }

  /** What the file holds, unless something is known by then. Reads it once. */
  #fallBack(): Promise<void> {
    return (this.#loaded ??= (async () => {
      const kept = await this.#options.file?.load();
      if (!kept || this.#known) return;
      this.#known = kept.config;
      this.#heardAtMs = kept.heardAtMs;
      this.#revision = kept.revision;
      this.#wake();
    })());
  }

  get #live(): boolean {
    return this.#connected && !this.#held && this.#known !== undefined;
  }

  #start(): void {
    if (this.#started || this.#tasks.signal.aborted) return;
    this.#started = true;
    this.#tasks.run("config watch", (signal) => this.#watch(signal));
    this.#tasks.run("config check", (signal) => this.#check(signal));
    this.#tasks.run("config start", async (signal) => {
      await this.#host.clock.sleep(FIRST_ANSWER_MS_MAX, signal).catch(() => {});
      if (!this.#known && !signal.aborted) await this.#fallBack();
    });
  }

  async #firstAnswer(signal: AbortSignal | undefined): Promise<void> {
    const late = new AbortController();
    const cancel = this.#host.clock.after(FIRST_ANSWER_MS_MAX, () => late.abort());
    const either = AbortSignal.any([late.signal, this.#tasks.signal, ...(signal ? [signal] : [])]);
    try {
      while (!this.#known && !either.aborted && !(this.#problem && isRefusal(this.#problem))) await this.#news(either);
    } finally {
      cancel();
    }
    if (late.signal.aborted && !this.#known) await this.#fallBack();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, name, instance } = this.#options;
    const onState = (state: "connected" | "disconnected", error?: unknown) => {
      // Connected alone proves nothing about the config; the first whole state does.
      if (state === "disconnected") this.#cut(error);
    };
    for await (const { event, data, revision } of client.config.watch(name, { signal, onState, instance })) {
      if (event === "reset") continue;
      // What was held back may be taken once the store has come far enough.
      const said = data ?? this.#held;
      if (said) await this.#offer(said, revision, "streamed");
      else if (this.#known) this.#confirm(revision, "streamed");
    }
  }

  async #check(signal: AbortSignal): Promise<void> {
    const { client, name, instance } = this.#options;
    for (;;) {
      const spread = 1 + FULL_CHECK_JITTER * (2 * this.#host.random.float() - 1);
      await this.#host.clock.sleep(FULL_CHECK_MS * spread, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        const other = await client.config.effectiveOtherThan(name, this.#known?.releaseKey ?? "", {
          signal,
          instance,
        });
        // The answer does not say how far the store has come, but it has come as far as its last release.
        if (other) await this.#offer(other, other.revision, "asked");
        else if (!this.#held) this.#confirm(this.#revision, "asked");
      } catch (error) {
        if (signal.aborted) return;
        if (ConfigErrors.SET_NOT_FOUND.is(error)) await this.#offer(emptyOf(name), 0, "asked");
        else this.#host.log.debug({ ...name, err: error }, `full check of the config failed: ${messageOf(error)}`);
      }
      // So that after a restart it is known how old it is, though nothing changed.
      this.#save();
    }
  }

  async #offer(value: EffectiveConfig, revision: number, how: Heard): Promise<void> {
    // An empty server is one that lost its store as often as one that is new, so the file is asked as well.
    if (!this.#known && value.revision === 0) await this.#fallBack();
    const known = this.#known;
    const emptied = known && known.revision > 0 && value.revision === 0;
    if (known && (emptied || isOlder({ value: known, revision: this.#revision }, { value, revision }))) {
      // Another member than the watch's may have answered a check, and lag: only a watch says how its store goes on.
      if (how === "streamed") this.#hold(known, value);
      return;
    }
    const same = known?.releaseKey === value.releaseKey;
    this.#held = undefined;
    this.#known = same && known.revision > value.revision ? known : value;
    this.#confirm(same ? Math.max(this.#revision, revision) : revision, how);
    if (!same) this.#save();
  }

  /** The server says what is known. */
  #confirm(revision: number, how: Heard): void {
    if (how === "streamed") this.#connected = true;
    this.#heardAtMs = this.#host.clock.now();
    this.#revision = revision;
    if (this.#connected) this.#problem = undefined;
    this.#wake();
  }

  #hold(known: EffectiveConfig, older: EffectiveConfig): void {
    if (this.#live) this.#heardAtMs = this.#host.clock.now();
    this.#connected = true;
    this.#held = older;
    const { namespace, app, profile } = this.#options.name;
    const theirs = older.revision === 0 ? "has nothing released" : `has a release of revision ${older.revision}`;
    this.#say(
      ClientErrors.CONFIG_OLDER(
        `The server ${theirs} for "${namespace}/${app}/${profile}", and one of revision ${known.revision} is known here. It is kept until the server's store has passed it; release it anew, or restart this service to take the server's.`,
        { extra: { known: known.revision, offered: older.revision } },
      ),
    );
  }

  /** Not an empty one: it says nothing that a start could use. */
  #save(): void {
    const config = this.#known;
    if (!config || config.revision === 0) return;
    if (this.#live) this.#heardAtMs = this.#host.clock.now();
    this.#options.file?.save({ config, heardAtMs: this.#heardAtMs, revision: this.#revision });
  }

  #cut(error: unknown): void {
    if (this.#live) this.#heardAtMs = this.#host.clock.now();
    this.#connected = false;
    if (error !== undefined) {
      this.#say(error instanceof AppError ? error : ClientErrors.UNREACHABLE(messageOf(error), { cause: error }));
      if (!this.#known && !isRefusal(error)) this.#tasks.run("config file", () => this.#fallBack());
    }
    this.#wake();
  }

  /** Once for as long as it stays the same. */
  #say(problem: AppError): void {
    const before = this.#problem?.code;
    this.#problem = problem;
    if (before !== problem.code) this.#options.tell(problem);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Resolves at the next change of anything, or when the signal aborts. */
  #news(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#waiting.add(done);
      if (signal.aborted) done();
      else signal.addEventListener("abort", done, { once: true });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
    this.#save();
    await this.#options.file?.[Symbol.asyncDispose]();
  }
}

/** By the watch: what follows will be heard, too. Or by a full check: it is so at this moment. */
type Heard = "streamed" | "asked";

/** Whether a server answered, and asking again changes nothing: a bad token, a name that is not valid. */
function isRefusal(error: unknown): boolean {
  return error instanceof AppError && error.status >= 400 && error.status < 500 && !PASSING.has(error.status);
}

function emptyOf(name: SetName): EffectiveConfig {
  return { ...name, releaseKey: "", revision: 0, items: {} };
}
