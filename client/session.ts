/**
 * A session for as long as it is needed: it is opened, kept alive by heartbeats, opened again after a lapse, and closed. Registrations
 * end with their session, so `onOpen` makes them for the first session and for each later one.
 */
import { AppError, deadline, fullJitter, messageOf, TaskGroup, type Host } from "#base";
import { RegistryErrors } from "#registry/api";
import type { Client } from "./mod.ts";

/** Seconds without a heartbeat that end the session by default: a lost process is noticed soon, and a short pause is survived. */
export const SESSION_SECONDS = 15;
/** Heartbeats per time to live. */
const HEARTBEATS = 3;
const RETRY = { baseMs: 100, capMs: 3_000 };

export interface SessionOptions {
  /** Seconds without a heartbeat after which the session lapses, with everything that belongs to it. @default 15 */
  readonly ttlSeconds?: number | undefined;
  /** Makes everything that belongs to the session, such as registrations. It runs for each session, so it must be repeatable. */
  readonly onOpen?: ((session: string) => Promise<unknown>) | undefined;
  /** Ends the wait for the first session. An open session stays open. */
  readonly signal?: AbortSignal | undefined;
}

export interface KeptSession extends AsyncDisposable {
  /** Id of the current session. It changes after a lapse. */
  readonly id: string;
  /** Stops the heartbeats and closes the session, which ends everything that belongs to it. Disposing does the same. */
  close(): Promise<void>;
}

/**
 * Resolves once the first session is open and `onOpen` is done; waits while no server answers.
 * @throws the signal's reason, the server's rejection, or the error of `onOpen`
 */
export async function keepSession(host: Host, client: Client, options: SessionOptions): Promise<KeptSession> {
  const { ttlSeconds = SESSION_SECONDS, signal = new AbortController().signal } = options;
  const open = () => openSession(client, { ttlSeconds, onOpen: options.onOpen });
  const isPassing = (error: unknown) => error instanceof AppError && error.status >= 500;
  let id = await untilDone(host, open, { signal, isPassing });
  const tasks = new TaskGroup(host.log, (error) => host.log.error({ err: error }, `session: ${messageOf(error)}`));
  tasks.run("session", async (stop) => {
    for (;;) {
      await untilLapsed(host, client, { id, ttlSeconds, signal: stop });
      if (stop.aborted) return;
      host.log.warn({ session: id }, "the session has lapsed; a new one is opened");
      const next = await untilDone(host, open, { signal: stop, isPassing: () => true }).catch(() => undefined);
      if (next === undefined) return;
      id = next;
    }
  });
  let closed: Promise<void> | undefined;
  const close = () =>
    (closed ??= (async () => {
      await tasks[Symbol.asyncDispose]();
      await closeQuietly(host, client, { id, ttlSeconds });
    })());
  return {
    get id() {
      return id;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function openSession(
  client: Client,
  { ttlSeconds, onOpen }: Pick<SessionOptions, "onOpen"> & { ttlSeconds: number },
): Promise<string> {
  const { id } = await client.registry.openSession(ttlSeconds);
  try {
    await onOpen?.(id);
    return id;
  } catch (error) {
    await client.registry.closeSession(id).catch(() => {});
    throw error;
  }
}

/** Retries for as long as that may succeed. */
async function untilDone<T>(
  host: Host,
  work: () => Promise<T>,
  { signal, isPassing }: { signal: AbortSignal; isPassing: (error: unknown) => boolean },
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!isPassing(error)) throw error;
      host.log.warn({ err: error }, `the session is not open yet: ${messageOf(error)}`);
      await host.clock.sleep(fullJitter(host.random, attempt, RETRY), signal).catch(() => {});
    }
  }
}

interface OpenedSession {
  readonly id: string;
  readonly ttlSeconds: number;
}

/** Sends heartbeats until the server no longer knows the session, or the signal aborts. */
async function untilLapsed(
  host: Host,
  client: Client,
  { id, ttlSeconds, signal }: OpenedSession & { signal: AbortSignal },
): Promise<void> {
  const periodMs = (ttlSeconds * 1000) / HEARTBEATS;
  let failures = 0;
  for (;;) {
    const pauseMs = failures === 0 ? periodMs : Math.min(periodMs, fullJitter(host.random, failures, RETRY));
    await host.clock.sleep(pauseMs, signal).catch(() => {});
    if (signal.aborted) return;
    using late = deadline(host.clock, periodMs);
    try {
      await client.registry.heartbeat(id, { signal: AbortSignal.any([signal, late.signal]) });
      failures = 0;
    } catch (error) {
      if (RegistryErrors.SESSION_NOT_FOUND.is(error)) return;
      failures++;
    }
  }
}

/** When no server answers, the session lapses by itself. */
async function closeQuietly(host: Host, client: Client, { id, ttlSeconds }: OpenedSession): Promise<void> {
  using late = deadline(host.clock, ttlSeconds * 1000);
  await client.registry.closeSession(id, { signal: late.signal }).catch(() => {});
}
