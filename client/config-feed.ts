/**
 * Follows the effective config of one set: the latest whole one, whether the server still confirms it, and its age when not. A
 * server that is empty, older or silent takes nothing away. An audit now and then finds what the watch lost.
 */
import { AppError, messageOf, TaskGroup, Waiters, type Host } from "#base";
import { isOlder, type EffectiveConfig, type SetName } from "#config-server/api";
import { ClientErrors } from "./errors.ts";
import { auditPauseMs, configOtherThan } from "./follow/audit.ts";
import type { LastKnownGoodFile } from "./last-known-good.ts";
import type { Client, Instance } from "./mod.ts";
import { isTransient } from "./transient.ts";

/** Milliseconds that a first request waits for a first answer, before the last-known-good file is read. */
const FIRST_ANSWER_MS_MAX = 3_000;

export interface ConfigState {
  /**
   * `live`: the server confirms it now · `stale`: the server confirmed it `ageSeconds` ago, and is away or has an older one ·
   * `connecting`: nothing is known yet.
   */
  readonly state: "connecting" | "live" | "stale";
  /** Whole seconds since the server last confirmed it; 0 while live or connecting. */
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
  readonly #news = new Waiters();
  #started = false;
  /** Also an empty one, of revision 0, once the server has answered that nothing is released. */
  #known: EffectiveConfig | undefined;
  /** When a server last confirmed it. Wall clock, since it outlives the process. */
  #heardAtMs = 0;
  /** The store's revision at that time. */
  #revision = 0;
  #connected = false;
  /** The server's config when it is older than the known one. */
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
   * The known config. The first call waits for the server's answer, or falls back on the file.
   * @throws CLIENT_CONFIG_UNKNOWN, CLIENT_CLOSED, the server's rejection such as HTTP_UNAUTHORIZED, the signal's reason
   */
  async current(signal?: AbortSignal): Promise<EffectiveConfig> {
    this.#start();
    if (!this.#known) await this.#firstAnswer(signal);
    signal?.throwIfAborted();
    if (this.#tasks.signal.aborted)
      throw ClientErrors.CLOSED("The client is closed. Create another one with connect().");
    if (this.#known) return this.#known;
    const problem = this.#problem;
    if (problem && !isTransient(problem)) throw problem;
    const { namespace, app, profile } = this.#options.name;
    const file = this.#options.file
      ? "the last-known-good file is missing or not usable"
      : "no lastKnownGoodFile is set";
    throw ClientErrors.CONFIG_UNKNOWN(
      `The config of "${namespace}/${app}/${profile}" is not known: no server answered within ${FIRST_ANSWER_MS_MAX} ms, and ${file}.${problem ? ` ${problem.message}` : ""}`,
      { cause: problem },
    );
  }

  /** The latest whole config at each change, until the signal aborts. A slow reader skips intermediate ones. */
  async *follow(signal: AbortSignal): AsyncGenerator<EffectiveConfig, void, undefined> {
    this.#start();
    const either = AbortSignal.any([signal, this.#tasks.signal]);
    let seen: string | undefined;
    while (!either.aborted) {
      const known = this.#known;
      if (known && known.releaseKey !== seen) {
        seen = known.releaseKey;
        yield known;
      } else await this.#news.wait({ signal: either });
    }
  }

  /** Uses the content of the file, unless a config is known by then. Reads it once. */
  #fallBack(): Promise<void> {
    return (this.#loaded ??= (async () => {
      const kept = await this.#options.file?.load();
      if (!kept || this.#known) return;
      this.#known = kept.config;
      this.#heardAtMs = kept.heardAtMs;
      this.#revision = kept.revision;
      this.#news.wakeAll();
    })());
  }

  get #live(): boolean {
    return this.#connected && !this.#held && this.#known !== undefined;
  }

  #start(): void {
    if (this.#started || this.#tasks.signal.aborted) return;
    this.#started = true;
    this.#tasks.run("config watch", (signal) => this.#watch(signal));
    this.#tasks.run("config audit", (signal) => this.#audit(signal));
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
      while (!this.#known && !either.aborted && !(this.#problem && !isTransient(this.#problem)))
        await this.#news.wait({ signal: either });
    } finally {
      cancel();
    }
    if (late.signal.aborted && !this.#known) await this.#fallBack();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, name, instance } = this.#options;
    const onState = (state: "connected" | "disconnected", error?: unknown) => {
      // A connection alone does not confirm the config; the first whole state does.
      if (state === "disconnected") this.#cut(error);
    };
    for await (const { event, data, revision } of client.config.watch(name, { signal, onState, instance })) {
      if (event === "reset") continue;
      // A config that was held back is accepted once the store has reached a later revision.
      const offered = data ?? this.#held;
      if (offered) await this.#offer(offered, revision, "streamed");
      else if (this.#known) this.#confirm(revision, "streamed");
    }
  }

  async #audit(signal: AbortSignal): Promise<void> {
    const { client, name, instance } = this.#options;
    for (;;) {
      await this.#host.clock.sleep(auditPauseMs(this.#host.random), signal).catch(() => {});
      if (signal.aborted) return;
      try {
        const other = await configOtherThan(client.config, name, this.#known?.releaseKey ?? "", { signal, instance });
        // The answer does not state the store's revision, which is at least that of its last release.
        if (other) await this.#offer(other, other.revision, "asked");
        else if (!this.#held) this.#confirm(this.#revision, "asked");
      } catch (error) {
        if (signal.aborted) return;
        this.#host.log.debug({ ...name, err: error }, `audit of the config failed: ${messageOf(error)}`);
      }
      // Saved although nothing changed, so that a restart knows the age.
      this.#save();
    }
  }

  async #offer(value: EffectiveConfig, revision: number, how: Confirmation): Promise<void> {
    // A server without releases may be new or may have lost its store, so the file is read, too.
    if (!this.#known && value.revision === 0) await this.#fallBack();
    const known = this.#known;
    const emptied = known && known.revision > 0 && value.revision === 0;
    if (known && (emptied || isOlder({ value: known, revision: this.#revision }, { value, revision }))) {
      // Another member may have answered an audit, and may lag behind. Only the watch shows how its own store continues.
      if (how === "streamed") this.#hold(known, value);
      return;
    }
    const same = known?.releaseKey === value.releaseKey;
    this.#held = undefined;
    this.#known = same && known.revision > value.revision ? known : value;
    this.#confirm(same ? Math.max(this.#revision, revision) : revision, how);
    if (!same) this.#save();
  }

  /** The server confirms the known config. */
  #confirm(revision: number, how: Confirmation): void {
    if (how === "streamed") this.#connected = true;
    this.#heardAtMs = this.#host.clock.now();
    this.#revision = revision;
    if (this.#connected) this.#problem = undefined;
    this.#news.wakeAll();
  }

  #hold(known: EffectiveConfig, older: EffectiveConfig): void {
    if (this.#live) this.#heardAtMs = this.#host.clock.now();
    this.#connected = true;
    this.#held = older;
    const { namespace, app, profile } = this.#options.name;
    const theirs = older.revision === 0 ? "has nothing released" : `has a release of revision ${older.revision}`;
    this.#report(
      ClientErrors.CONFIG_OLDER(
        `The server ${theirs} for "${namespace}/${app}/${profile}", but this service knows one of revision ${known.revision} and keeps it until the server's store has passed that revision. Release it again, or restart this service to accept the server's.`,
        { extra: { known: known.revision, offered: older.revision } },
      ),
    );
  }

  /** Never an empty config: a start could not use it. */
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
      this.#report(error instanceof AppError ? error : ClientErrors.UNREACHABLE(messageOf(error), { cause: error }));
      if (!this.#known && isTransient(error)) this.#tasks.run("config file", () => this.#fallBack());
    }
    this.#news.wakeAll();
  }

  /** Reports a problem once for as long as its code stays the same. */
  #report(problem: AppError): void {
    const before = this.#problem?.code;
    this.#problem = problem;
    if (before !== problem.code) this.#options.tell(problem);
    this.#news.wakeAll();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
    this.#save();
    await this.#options.file?.[Symbol.asyncDispose]();
  }
}

/** By the watch, which also brings later changes; or by an audit, which holds for this moment only. */
type Confirmation = "streamed" | "asked";
