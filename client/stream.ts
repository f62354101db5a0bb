/**
 * Reads a watch until its signal aborts: it reconnects after a cut, resumes by revision, and starts over when the server asks for it.
 * A reader receives `reset` before any snapshot that replaces its state, so it never mixes two states.
 */
import { fullJitter, messageOf, type Host } from "#base";
import { FrameDecoder, WATCH_ID_HEADER, type Frame } from "#http/frames";
import { ClientErrors, errorFromProblem } from "./errors.ts";
import type { Transport } from "./transport.ts";

/** Back-off between tries: short at first, since a restart takes a second. Milliseconds. */
const RETRY = { baseMs: 50, capMs: 5_000 };
/** Silence after which a stream counts as dead. Servers send heartbeats every 10 s. Milliseconds. */
export const STREAM_SILENCE_MS_MAX = 25_000;

export interface WatchOptions {
  readonly transport: Transport;
  readonly path: string;
  readonly headers: () => Record<string, string>;
  readonly signal: AbortSignal;
  /** Resume after this revision. The reader must still have the state of that revision. */
  readonly after?: number | undefined;
  /** Called when the stream is cut and when it is connected again. */
  readonly onState?: ((state: "connected" | "disconnected", error?: unknown) => void) | undefined;
  readonly acknowledgement?: Acknowledgement | undefined;
}

/**
 * Sends the server the revision that its reader has applied: after each reconnect, and after a frame that a drain waits for. A frame
 * counts as applied once the reader asks for the next one.
 */
export interface Acknowledgement {
  readonly isWaitedFor: (frame: Frame) => boolean;
  /** Must not throw. `watch`: the stream's id at the server. */
  readonly send: (watch: string, revision: number) => void;
}

/** All frames, `heartbeat`s among them, until the signal aborts; then it returns. */
export async function* watchFrames<Data>(host: Host, options: WatchOptions): AsyncGenerator<Frame<Data>> {
  const { signal, acknowledgement } = options;
  let last = options.after;
  // Only a synced state can be resumed from, not a snapshot under way.
  let whole = options.after !== undefined;
  // Cut in the middle of a snapshot: the next answer is independent of it and starts over.
  let partial = false;
  let attempt = 0;
  let watch: string | undefined;
  let owed = false;
  const opened = (id: string | undefined) => {
    watch = id;
    owed = true;
  };
  while (!signal.aborted) {
    try {
      for await (const frame of readOnce<Data>(host, options, { after: whole ? last : undefined, opened })) {
        attempt = 0;
        if (partial && frame.event !== "reset") yield { event: "reset", revision: frame.revision };
        partial = false;
        if (frame.event === "reset") whole = false;
        else if (frame.event === "synced") whole = true;
        last = frame.revision;
        yield frame;
        if (!acknowledgement || watch === undefined) continue;
        owed ||= acknowledgement.isWaitedFor(frame);
        if (!owed || !whole) continue;
        acknowledgement.send(watch, frame.revision);
        // The frames of one revision carry the previous revision, and a heartbeat closes them.
        if (frame.event === "heartbeat") owed = false;
      }
      options.onState?.("disconnected");
    } catch (error) {
      if (signal.aborted) return;
      options.onState?.("disconnected", error);
      // Every retry fails in the same way until somebody changes a setting.
      const level = attempt === 0 && ClientErrors.UNTRUSTED.is(error) ? "warn" : "debug";
      host.log[level]({ path: options.path, err: error }, `watch cut: ${messageOf(error)}`);
    }
    if (signal.aborted) return;
    partial ||= !whole && last !== undefined;
    try {
      await host.clock.sleep(fullJitter(host.random, attempt++, RETRY), signal);
    } catch {
      return;
    }
  }
}

async function* readOnce<Data>(
  host: Host,
  options: WatchOptions,
  { after, opened }: { after: number | undefined; opened: (watch: string | undefined) => void },
): AsyncGenerator<Frame<Data>> {
  const cut = new AbortController();
  const signal = AbortSignal.any([options.signal, cut.signal]);
  let cancel = () => {};
  const alive = () => {
    cancel();
    cancel = host.clock.after(STREAM_SILENCE_MS_MAX, () =>
      cut.abort(new Error("the stream sent nothing for too long")),
    );
  };
  try {
    alive();
    const answer = await options.transport.request({
      method: "GET",
      path: options.path,
      headers: {
        ...options.headers(),
        accept: "text/event-stream",
        ...(after === undefined ? {} : { "last-event-id": String(after) }),
      },
      signal,
    });
    if (answer.status !== 200) throw errorFromProblem(answer.status, await answer.text());
    opened(answer.header(WATCH_ID_HEADER));
    options.onState?.("connected");
    const decoder = new FrameDecoder();
    for await (const chunk of answer.stream()) {
      alive();
      yield* decoder.push<Data>(chunk);
    }
  } finally {
    cancel();
    cut.abort();
  }
}
