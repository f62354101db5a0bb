/**
 * What the world hands to whatever runs: time, chance, a log, metrics and spans. Types, and the words of one of them.
 * Because all of it is an argument, a cluster's bad week replays from a seed.
 */
import type { Metrics } from "./metrics.ts";
import type { Tracer } from "./trace.ts";
import type { Random } from "./chance.ts";

/** Ends a timer before it fires. Calling it twice, or after it fired, does nothing. */
export type CancelTimer = () => void;

export interface Clock {
  /** Milliseconds since 1970, for people and for tokens. May jump either way. */
  now(): number;
  /** Milliseconds since some fixed moment, for durations. Never goes back. */
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

/** How much is logged, while the process runs. */
export interface LogControl {
  /**
   * The least severe line that is logged, and by component otherwise; what is absent is as the settings say. A component is what a
   * part of the program calls itself in its lines: their field `role`, or else `server`.
   */
  set(levels: { readonly level?: LogLevel; readonly components?: Readonly<Record<string, LogLevel>> }): void;
}

export interface Host {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Absent where nobody chooses how much is logged, such as in tests. */
  readonly logControl?: LogControl;
  /** Files and connections that the process may have open. Absent: nobody knows, or there is no limit. */
  readonly descriptorsMax?: number | undefined;
  readonly metrics: Metrics;
  readonly tracer: Tracer;
}
