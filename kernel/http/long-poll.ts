/**
 * The one implementation of long polls. It responds at once only with a tagged state that the caller does not have yet. A state without a
 * tag, such as a missing key, waits until the end. So a caller that repeats its request never gets the same state twice without
 * waiting.
 */
import type { Clock } from "#base";
import type { IfNoneMatch } from "./if-none-match.ts";

/** A state, and the entity tag of its response; undefined when it has none. */
export interface Polled<State> {
  readonly state: State;
  readonly tag: string | undefined;
}

export interface LongPoll<State> {
  /** Reads the current state. */
  readonly read: () => Polled<State> | Promise<Polled<State>>;
  /** True at the next change; false after `ms`, when the signal aborts, or when no further change can come. */
  readonly next: (ms: number, signal: AbortSignal) => Promise<boolean>;
  /** The representations that the caller has; undefined: none. */
  readonly known: IfNoneMatch | undefined;
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

/** The state, and whether the caller already has it, so that the response is 304. */
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
    // The wait starts before the read, so that no change between the two is missed.
    const news = isOver ? Promise.resolve(false) : next(leftMs, AbortSignal.any([signal, left.signal]));
    const polled = await read();
    first ??= polled;
    const isKnown = polled.tag !== undefined && (known?.matches(polled.tag) ?? false);
    // A state that was removed during the wait is a change, although its absence has no tag.
    const isNews = polled.tag === undefined ? first.tag !== undefined : !isKnown;
    if (isNews || !(await news)) return { ...polled, isKnown };
  }
}
