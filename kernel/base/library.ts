/** The real clock, random numbers and standard error, and the host of a library or a command, which exposes no metrics. */
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "./errors.ts";
import type { Clock, Host, Log, LogControl, LogLevel } from "./host.ts";
import type { Random } from "./chance.ts";
import { jsonLine, type LogFormat, textLine } from "./log.ts";
import { silentMetrics } from "./metrics.ts";
import { own } from "./own.ts";
import { passThroughTracer } from "./trace.ts";

/** The real clock. Errors of a timer's callback go to `onDefect`; otherwise they would end the process. */
export function clockOf(onDefect: (error: unknown) => void): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    after(ms, callback) {
      const timer = setTimeout(() => {
        try {
          callback();
        } catch (error) {
          onDefect(error);
        }
      }, ms);
      timer.unref();
      return () => clearTimeout(timer);
    },
    sleep: async (ms, signal) => {
      await delay(ms, undefined, signal ? { signal } : {});
    },
  };
}

/** For processes without a log: a defect in a timer is a warning of the process. */
export const systemClock: Clock = clockOf((error) =>
  process.emitWarning(error instanceof Error ? error : String(error)),
);

/** Logs and counts a defect that no code caught. */
export function defectLog({
  log,
  metrics,
}: Pick<Host, "log" | "metrics">): (where: string) => (error: unknown) => void {
  const defects = metrics.counter({
    name: "posthouse_defects_total",
    help: "Errors that no code caught, by where they surfaced. Each is a bug; the process continues.",
    labelNames: ["where"],
  });
  return (where) => (error) => {
    try {
      defects.labels(where).inc();
      log.error({ err: error, where }, `defect in a ${where}: ${messageOf(error)}`);
    } catch {
      // Standard error may be closed; that must not end the process either.
    }
  };
}

/** Random bytes fetched at a time: ids are short and frequent, and each call into the system costs more than its bytes. */
const POOL_BYTES = 8 * 1024;
let pool = Buffer.alloc(0);

export const systemRandom: Random = {
  float: () => Math.random(),
  bytes(length) {
    if (length > POOL_BYTES) return randomBytes(length);
    if (pool.length < length) pool = randomBytes(POOL_BYTES);
    const taken = Uint8Array.from(pool.subarray(0, length));
    // Bytes that were handed out do not remain in the pool.
    pool = pool.fill(0, 0, length).subarray(length);
    return taken;
  },
};

const SEVERITY: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** The log settings that all lines of one process share. */
class Levels implements LogControl {
  readonly #setting: LogLevel;
  #level: LogLevel;
  #components: Readonly<Record<string, LogLevel>> = {};

  constructor(setting: LogLevel) {
    this.#setting = setting;
    this.#level = setting;
  }

  set({ level = this.#setting, components = {} }: Parameters<LogControl["set"]>[0]): void {
    this.#level = level;
    this.#components = components;
  }

  allow(level: LogLevel, component: string | undefined): boolean {
    const least = component === undefined ? this.#level : own(this.#components, component);
    return SEVERITY[level] >= SEVERITY[least ?? this.#level];
  }
}

interface LogOutput {
  readonly write: (text: string) => void;
  readonly format: LogFormat;
  readonly color: boolean;
}

class SystemLog implements Log {
  readonly #output: LogOutput;
  readonly #levels: Levels;
  readonly #fields: object;
  readonly #component: string | undefined;

  constructor(output: LogOutput, levels: Levels, fields: object, component: string | undefined) {
    this.#output = output;
    this.#levels = levels;
    this.#fields = fields;
    this.#component = component;
  }

  debug(fields: object, message: string): void {
    this.#line("debug", fields, message);
  }
  info(fields: object, message: string): void {
    this.#line("info", fields, message);
  }
  warn(fields: object, message: string): void {
    this.#line("warn", fields, message);
  }
  error(fields: object, message: string): void {
    this.#line("error", fields, message);
  }

  child(fields: object): Log {
    const { role, server } = fields as { role?: unknown; server?: unknown };
    const name = [role, this.#component, server].find((one) => typeof one === "string");
    return new SystemLog(this.#output, this.#levels, { ...this.#fields, ...fields }, name);
  }

  #line(level: LogLevel, fields: object, message: string): void {
    if (!this.#levels.allow(level, this.#component)) return;
    const { write, format, color } = this.#output;
    const all = { ...this.#fields, ...fields };
    const line = { timeMs: Date.now(), level, component: this.#component, fields: all, message };
    write(format === "json" ? jsonLine(line) : textLine(line, color));
  }
}

export interface SystemLogOptions {
  readonly level: LogLevel;
  /** Absent: text on a terminal, else JSON. */
  readonly format?: LogFormat | undefined;
  /** Absent: standard error, so that standard output has only the output that was asked for. */
  readonly write?: ((text: string) => void) | undefined;
}

export function systemLog({ level, format, write = standardError() }: SystemLogOptions): {
  readonly log: Log;
  readonly logControl: LogControl;
} {
  const levels = new Levels(level);
  const isTerminal = process.stderr.isTTY;
  const color = isTerminal && (process.env["NO_COLOR"] ?? "") === "";
  const output = { write, format: format ?? (isTerminal ? "text" : "json"), color };
  return { log: new SystemLog(output, levels, {}, undefined), logControl: levels };
}

let isGuarded = false;

/** The process survives when the reader of its log goes away. */
function standardError(): (text: string) => void {
  if (!isGuarded) process.stderr.on("error", () => {});
  isGuarded = true;
  return (text) => void process.stderr.write(text);
}

/** Discards everything. */
const quietLog: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => quietLog };

/** The host of a library in another program's process, or of a command. Without a log it is quiet. */
export function libraryHost(log: Log = quietLog): Host {
  const metrics = silentMetrics();
  return {
    clock: clockOf(defectLog({ log, metrics })("timer")),
    random: systemRandom,
    log,
    metrics,
    tracer: passThroughTracer(systemRandom),
  };
}
