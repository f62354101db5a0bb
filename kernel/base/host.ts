/**
 * The outside world as parameters: time, randomness, a log, metrics and spans. Types, and the log levels. Because nothing takes them
 * from anywhere else, a simulation can replay a cluster's bad week from a seed.
 */
import type { Metrics } from "./metrics.ts";
import type { Tracer } from "./trace.ts";
import type { Random } from "./chance.ts";

/** Ends a timer before it fires. Calling it twice, or after it fired, does nothing. */
export type CancelTimer = () => void;

export interface Clock {
  /** Milliseconds since 1970, for people and for tokens. May jump in both directions. */
  now(): number;
  /** Milliseconds since some fixed moment, for durations. Never decreases. */
  monotonic(): number;
  /** Calls back once, `ms` milliseconds from now. A timer does not keep the process alive. */
  after(ms: number, callback: () => void): CancelTimer;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason as soon as it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** A structured log: fields first, then a sentence. pino satisfies it. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Log;
}

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Changes the log level while the process runs. */
export interface LogControl {
  /**
   * The least severe level that is logged, in general and by component. Absent: the level of the settings. A line's component is its
   * field `role`, or else `server`.
   */
  set(levels: { readonly level?: LogLevel; readonly components?: Readonly<Record<string, LogLevel>> }): void;
}

export interface Host {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Absent where the log level cannot change, such as in tests. */
  readonly logControl?: LogControl;
  /** Files and connections that the process may have open. Absent: unknown or unlimited. */
  readonly descriptorsMax?: number | undefined;
  readonly metrics: Metrics;
  readonly tracer: Tracer;
}
