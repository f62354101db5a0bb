/**
 * The time limits of one exchange: on the whole of it, by the route and by the caller, and on a client that does not read
 * its answer.
 */
import type { Clock } from "#base";
import type { TimeLeft } from "../../core/decision/deadline.ts";

export interface TimeLimitListener {
  /** The exchange took too long. `isRouteLimit`: by the route's limit, while the caller's deadline is still to come. */
  onLate(isRouteLimit: boolean): void;
  /** The client read nothing for too long. */
  onStall(): void;
}

export class TimeLimits {
  readonly #clock: Clock;
  readonly #listener: TimeLimitListener;
  /** Monotonic milliseconds: the earlier of the route's limit and the caller's deadline, and the caller's deadline. */
  #deadlineMs = Infinity;
  #callerDeadlineMs = Infinity;
  #cancelTotal: (() => void) | undefined;
  #cancelStall: (() => void) | undefined;

  constructor(clock: Clock, listener: TimeLimitListener) {
    this.#clock = clock;
    this.#listener = listener;
  }

  /** Starts the limit on the whole exchange; Infinity: unlimited. False: it has passed already. */
  start(startedMs: number, { routeMs, callerMs }: { readonly routeMs: number; readonly callerMs: number }): boolean {
    this.#callerDeadlineMs = startedMs + callerMs;
    this.#deadlineMs = Math.min(startedMs + routeMs, this.#callerDeadlineMs);
    if (this.#deadlineMs === Infinity) return true;
    const leftMs = this.#deadlineMs - this.#clock.monotonic();
    if (leftMs <= 0) return false;
    this.#arm(leftMs);
    return true;
  }

  /** Whether the limit on the whole exchange is running. */
  get isRunning(): boolean {
    return this.#cancelTotal !== undefined;
  }

  /** Undefined: the exchange has no limit. */
  left(): TimeLeft | undefined {
    if (this.#deadlineMs === Infinity) return undefined;
    const nowMs = this.#clock.monotonic();
    return { totalMs: this.#deadlineMs - nowMs, callerMs: this.#callerDeadlineMs - nowMs };
  }

  /** Ends the route's limit. The caller's deadline stays. */
  endRouteLimit(): void {
    this.stop();
    this.#deadlineMs = this.#callerDeadlineMs;
    if (this.#deadlineMs !== Infinity) this.#arm(this.#deadlineMs - this.#clock.monotonic());
  }

  /** Stops the limit on the whole exchange. */
  stop(): void {
    this.#cancelTotal?.();
    this.#cancelTotal = undefined;
  }

  #arm(leftMs: number): void {
    this.#cancelTotal = this.#clock.after(leftMs, () =>
      this.#listener.onLate(this.#callerDeadlineMs > this.#clock.monotonic()),
    );
  }

  /** The client does not read. Runs from the first call until `endStall`. */
  startStall(ms: number): void {
    this.#cancelStall ??= this.#clock.after(ms, () => this.#listener.onStall());
  }

  endStall(): void {
    this.#cancelStall?.();
    this.#cancelStall = undefined;
  }

  close(): void {
    this.stop();
    this.endStall();
  }
}
