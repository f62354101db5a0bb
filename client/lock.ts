/**
 * A lock for as long as it is needed: opens a session, keeps it alive, waits for its turn, and aborts a signal when the lock is lost.
 * Leader election is the same call: the holder of the lock is the leader, and the lock's value can be its address.
 *
 * The signal errs on the safe side: it aborts when the session may have lapsed by the clock of this process, which counts from before
 * the last answered heartbeat was sent. A paused process learns of it only when it continues, so a resource that must not see two
 * holders compares the token.
 */
import { AppError, deadline, fullJitter, messageOf, TaskGroup, type Host } from "#base";
import { LocksErrors, type LockRef } from "#locks/api";
import { RegistryErrors } from "#registry/api";
import { ClientErrors } from "./errors.ts";
import type { LockCalls } from "./calls/locks.ts";
import type { RegistryCalls } from "./calls/registry.ts";

/** Seconds without a heartbeat that end the session by default: a lost holder is noticed soon, and a short pause is survived. */
export const LOCK_SESSION_SECONDS = 15;
/** Heartbeats per time to live. */
const HEARTBEATS = 3;
/** Seconds of one long poll for the lock's turn; below what proxies allow. */
const POLL_SECONDS = 25;
const RETRY = { baseMs: 100, capMs: 3_000 };

export interface LockOptions {
  /** Shown to people and to followers of an election, such as the leader's address. */
  readonly value?: string;
  /** See `PUT /v1/locks/{lock}`. */
  readonly lockDelaySeconds?: number;
  /** Seconds without a heartbeat after which the lock is lost. Then its delay runs, and then the next session acquires it. */
  readonly sessionSeconds?: number;
  /** Ends the wait and leaves the queue. A lock that is already held stays held. */
  readonly signal?: AbortSignal;
}

export interface HeldLock extends AsyncDisposable {
  readonly ref: LockRef;
  readonly session: string;
  /** Higher than the token of every earlier holder. Send it to the resource, which must reject lower ones. */
  readonly token: number;
  /** Aborts when the lock is lost: its session ended or may have ended, or an operator broke it. Stop at once then. */
  readonly signal: AbortSignal;
  /** Changes the value without releasing the lock. */
  setValue(value: string): Promise<void>;
  /**
   * Releases the lock; the next session in the queue acquires it at once. A lost lock only ends its session. Disposing does the
   * same, and only logs when no server answers: the session then lapses by itself.
   * @throws CLIENT_UNREACHABLE
   */
  release(): Promise<void>;
}

/** The calls that a held lock needs. */
interface LockClient {
  readonly locks: Pick<LockCalls, "acquire" | "release" | "watch">;
  readonly registry: Pick<RegistryCalls, "openSession" | "heartbeat" | "closeSession">;
}

/** Resolves when the lock is held. @throws the signal's reason, or the server's rejection such as HTTP_INVALID */
export async function holdLock(host: Host, client: LockClient, ref: LockRef, options: LockOptions): Promise<HeldLock> {
  const signal = options.signal ?? new AbortController().signal;
  let attempt = 0;
  for (;;) {
    signal.throwIfAborted();
    let session: LiveSession | undefined;
    try {
      session = await LiveSession.open(host, client, options.sessionSeconds ?? LOCK_SESSION_SECONDS);
      const token = await waitTurn(client, { ref, session, options, signal });
      return hold(client, { ref, session, token });
    } catch (error) {
      await session?.[Symbol.asyncDispose]();
      signal.throwIfAborted();
      if (!isPassing(error)) throw error;
      host.log.warn({ ...ref, err: error }, `the lock is requested again: ${messageOf(error)}`);
      await host.clock.sleep(fullJitter(host.random, attempt++, RETRY), signal).catch(() => {});
    }
  }
}

/** Whether a retry may succeed: no server answered, the server is not ready, or the session lapsed meanwhile. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof AppError)) return false;
  return error.status >= 500 || isGone(error) || ClientErrors.LOCK_LOST.is(error);
}

function isGone(error: unknown): boolean {
  return LocksErrors.SESSION_NOT_FOUND.is(error) || RegistryErrors.SESSION_NOT_FOUND.is(error);
}

interface Turn {
  readonly ref: LockRef;
  readonly session: LiveSession;
  readonly options: LockOptions;
  readonly signal: AbortSignal;
}

/** The token, once it is this session's turn. It keeps its place in the queue while the server is away, until the session lapses. */
async function waitTurn(client: LockClient, { ref, session, options, signal }: Turn): Promise<number> {
  const { value, lockDelaySeconds } = options;
  const request = {
    session: session.id,
    waitSeconds: POLL_SECONDS,
    ...(value === undefined ? {} : { value }),
    ...(lockDelaySeconds === undefined ? {} : { lockDelaySeconds }),
  };
  const either = AbortSignal.any([signal, session.lost]);
  let failures = 0;
  for (;;) {
    either.throwIfAborted();
    try {
      const { token } = await client.locks.acquire(ref, request, { signal: either });
      if (token !== undefined) return token;
      failures = 0;
    } catch (error) {
      either.throwIfAborted();
      if (isGone(error) || !isPassing(error)) throw error;
      await session.host.clock.sleep(fullJitter(session.host.random, failures++, RETRY), either).catch(() => {});
    }
  }
}

function hold(
  client: LockClient,
  { ref, session, token }: { ref: LockRef; session: LiveSession; token: number },
): HeldLock {
  const done = new AbortController();
  session.tasks.run("lock watch", async (stopping) => {
    const signal = AbortSignal.any([stopping, done.signal]);
    for await (const { data, revision } of client.locks.watch(ref, { signal })) {
      // A member that lags behind may still send earlier holders.
      if (!data || revision < token || data.holder?.token === token || signal.aborted) continue;
      session.lose(`Another session now holds lock "${ref.name}", or an operator broke it.`);
    }
  });
  let released: Promise<void> | undefined;
  const release = () => (released ??= releaseOnce());
  const releaseOnce = async () => {
    done.abort();
    try {
      if (!session.lost.aborted) await client.locks.release(ref, session.id);
    } catch (error) {
      if (!LocksErrors.NOT_HELD.is(error)) throw error;
    } finally {
      await session[Symbol.asyncDispose]();
    }
  };
  return {
    ref,
    session: session.id,
    token,
    signal: session.lost,
    async setValue(value) {
      session.lost.throwIfAborted();
      const answer = await client.locks.acquire(ref, { session: session.id, value });
      if (answer.token !== token)
        session.lose(`Another session now holds lock "${ref.name}", or an operator broke it.`);
      session.lost.throwIfAborted();
    },
    release,
    [Symbol.asyncDispose]: () =>
      release().catch((error: unknown) => {
        session.host.log.warn(
          { ...ref, err: error },
          `the lock could not be released and will lapse: ${messageOf(error)}`,
        );
      }),
  };
}

/** A session that is kept alive, with a signal that aborts when it may have ended. */
class LiveSession implements AsyncDisposable {
  readonly host: Host;
  readonly id: string;
  readonly tasks: TaskGroup;
  readonly #client: LockClient;
  readonly #ttlMs: number;
  readonly #lost = new AbortController();
  #cancel = () => {};

  private constructor(host: Host, client: LockClient, { id, ttlMs }: { id: string; ttlMs: number }) {
    this.host = host;
    this.id = id;
    this.tasks = new TaskGroup(host.log, (error) => this.lose(`The lock is no longer kept alive: ${messageOf(error)}`));
    this.#client = client;
    this.#ttlMs = ttlMs;
  }

  static async open(host: Host, client: LockClient, ttlSeconds: number): Promise<LiveSession> {
    const beganMs = host.clock.monotonic();
    const { id } = await client.registry.openSession(ttlSeconds);
    const session = new LiveSession(host, client, { id, ttlMs: ttlSeconds * 1000 });
    session.#alive(beganMs);
    session.tasks.run("lock session", (signal) => session.#beat(signal));
    return session;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  lose(why: string): void {
    this.#lost.abort(ClientErrors.LOCK_LOST(why));
  }

  /** Stops the heartbeats and closes the session. When no server answers, it lapses by itself. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    await this.tasks[Symbol.asyncDispose]();
    using late = deadline(this.host.clock, this.#ttlMs);
    await this.#client.registry.closeSession(this.id, { signal: late.signal }).catch(() => {});
  }

  /** Counts from before the request was sent: the store counts from a later time. */
  #alive(beganMs: number): void {
    this.#cancel();
    const leftMs = this.#ttlMs - (this.host.clock.monotonic() - beganMs);
    const why = `No heartbeat of session "${this.id}" was answered for ${this.#ttlMs / 1000} s; it may have lapsed.`;
    if (leftMs <= 0) this.lose(why);
    else this.#cancel = this.host.clock.after(leftMs, () => this.lose(why));
  }

  async #beat(signal: AbortSignal): Promise<void> {
    const periodMs = this.#ttlMs / HEARTBEATS;
    let failures = 0;
    for (;;) {
      const pauseMs = failures === 0 ? periodMs : Math.min(periodMs, fullJitter(this.host.random, failures, RETRY));
      await this.host.clock.sleep(pauseMs, signal).catch(() => {});
      if (signal.aborted || this.lost.aborted) return;
      const beganMs = this.host.clock.monotonic();
      using late = deadline(this.host.clock, periodMs);
      try {
        await this.#client.registry.heartbeat(this.id, { signal: AbortSignal.any([signal, late.signal]) });
        failures = 0;
        this.#alive(beganMs);
      } catch (error) {
        failures++;
        if (isGone(error)) return this.lose(messageOf(error));
      }
    }
  }
}
