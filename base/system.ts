/** The real clock, chance and log. The only file that may touch them. */
import { own } from "./own.ts";
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { pino, stdTimeFunctions } from "pino";
import { messageOf } from "./errors.ts";
import type { Clock, Host, Log, LogControl, LogLevel, Random } from "./host.ts";
import { createMetrics } from "./metrics.ts";
import { passThroughTracer } from "./trace.ts";

/** The real clock. What a timer's callback throws goes to `onDefect`, since it would end the process otherwise. */
function clockOf(onDefect: (error: unknown) => void): Clock {
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

/** For those without a log: a defect in a timer is a warning of the process. */
export const systemClock: Clock = clockOf((error) =>
  process.emitWarning(error instanceof Error ? error : String(error)),
);

/** Logs and counts a defect that nobody was there to catch. */
function defectLog({ log, metrics }: Pick<Host, "log" | "metrics">): (where: string) => (error: unknown) => void {
  const defects = metrics.counter({
    name: "posthouse_defects_total",
    help: "Errors that no code was there to catch, by where they surfaced. Each is a bug; the process goes on.",
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

/**
 * Keeps the process alive when a listener throws or a promise is rejected that nobody awaits: other requests, and the
 * gateway above all, go on. Each is logged and counted. Disposing it restores Node's default, which ends the process.
 */
export function surviveDefects(host: Pick<Host, "log" | "metrics">): Disposable {
  const onDefect = defectLog(host);
  const listeners = { uncaughtException: onDefect("listener"), unhandledRejection: onDefect("promise") };
  process.on("uncaughtException", listeners.uncaughtException);
  process.on("unhandledRejection", listeners.unhandledRejection);
  return {
    [Symbol.dispose]() {
      process.off("uncaughtException", listeners.uncaughtException);
      process.off("unhandledRejection", listeners.unhandledRejection);
    },
  };
}

/** Random bytes fetched at a time: ids are short and many, and each call into the system costs more than its bytes. */
const POOL_BYTES = 8 * 1024;
let pool = Buffer.alloc(0);

export const systemRandom: Random = {
  float: () => Math.random(),
  bytes(length) {
    if (length > POOL_BYTES) return randomBytes(length);
    if (pool.length < length) pool = randomBytes(POOL_BYTES);
    const taken = Uint8Array.from(pool.subarray(0, length));
    // Nothing handed out stays behind in the pool.
    pool = pool.fill(0, 0, length).subarray(length);
    return taken;
  },
};

const SEVERITY: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** What all lines of one process share: which of them are logged. */
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

/** pino's children keep the level that they were born with, so it lets everything through, and the levels are asked here. */
class SystemLog implements Log {
  readonly #out: Log;
  readonly #levels: Levels;
  readonly #component: string | undefined;

  constructor(out: Log, levels: Levels, component: string | undefined) {
    this.#out = out;
    this.#levels = levels;
    this.#component = component;
  }

  debug(fields: object, message: string): void {
    if (this.#levels.allow("debug", this.#component)) this.#out.debug(fields, message);
  }
  info(fields: object, message: string): void {
    if (this.#levels.allow("info", this.#component)) this.#out.info(fields, message);
  }
  warn(fields: object, message: string): void {
    if (this.#levels.allow("warn", this.#component)) this.#out.warn(fields, message);
  }
  error(fields: object, message: string): void {
    if (this.#levels.allow("error", this.#component)) this.#out.error(fields, message);
  }
  child(fields: object): Log {
    const { role, server } = fields as { role?: unknown; server?: unknown };
    const name = [role, this.#component, server].find((one) => typeof one === "string");
    return new SystemLog(this.#out.child(fields), this.#levels, name);
  }
}

/** A JSON log on standard error, so that standard output stays for what people and programs asked for. */
export function systemLog(level: LogLevel): { readonly log: Log; readonly logControl: LogControl } {
  const out = pino(
    { level: "debug", base: null, timestamp: stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  );
  const levels = new Levels(level);
  return { log: new SystemLog(out, levels, undefined), logControl: levels };
}

export function systemHost(options: { logLevel: LogLevel }): Host {
  const logs = systemLog(options.logLevel);
  const metrics = createMetrics({ process: true });
  return {
    clock: clockOf(defectLog({ log: logs.log, metrics })("timer")),
    random: systemRandom,
    ...logs,
    metrics,
    tracer: passThroughTracer(systemRandom),
  };
}

/** Says nothing to anybody. */
const quietLog: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => quietLog };

/** The host of a library in somebody's process: real time and chance, no metrics shown. Without a log it is quiet. */
export function libraryHost(log: Log = quietLog): Host {
  const metrics = createMetrics();
  return {
    clock: clockOf(defectLog({ log, metrics })("timer")),
    random: systemRandom,
    log,
    metrics,
    tracer: passThroughTracer(systemRandom),
  };
}
