/**
 * The one way in which a long poll waits. It answers at once only what the caller does not have yet and is given a tag
 * for; whatever has no tag, such as a thing that is not there, is waited out. So no caller that repeats its question is
 * answered at once twice for the same state.
 */
import type { Clock } from "#base";
import type { IfNoneMatch } from "./if-none-match.ts";

/** A state, and the tag that the answer carries; undefined when the answer carries none. */
export interface Polled<State> {
  readonly state: State;
  readonly tag: string | undefined;
}

export interface LongPoll<State> {
  /** What is so now. */
  readonly read: () => Polled<State> | Promise<Polled<State>>;
  /** True at the next news; false after so long, when the signal aborts, or when no news will come any more. */
  readonly next: (ms: number, signal: AbortSignal) => Promise<boolean>;
  /** What the caller has; undefined: nothing. */
  readonly known: IfNoneMatch | undefined;
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

/** What is so, and whether the caller has it already: then the answer is 304. */
export async function longPoll<State>(
  clock: Clock,
  { read, next, known, waitMs, signal }: LongPoll<State>,
): Promise<Polled<State> & { readonly isKnown: boolean }> {
  const untilMs = clock.monotonic() + waitMs;
  let first: Polled<State> | undefined;
  for (;;) {
    const leftMs = untilMs - clock.monotonic();
    using look = new DisposableStack();
    const left = new AbortController();
    look.defer(() => left.abort(new Error("answered")));
    const isOver = leftMs <= 0 || signal.aborted;
    // Waited for before the look, so that what comes between the two is not missed.
    const news = isOver ? Promise.resolve(false) : next(leftMs, AbortSignal.any([signal, left.signal]));
    const polled = await read();
    first ??= polled;
    const isKnown = polled.tag !== undefined && (known?.matches(polled.tag) ?? false);
    // What went while we waited is news, though its absence has no tag.
    const isNews = polled.tag === undefined ? first.tag !== undefined : !isKnown;
    if (isNews || !(await news)) return { ...polled, isKnown };
  }
}
