/** The real clock, chance and log. The only file that may touch them. */
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { pino, stdTimeFunctions } from "pino";
import type { Clock, Host, Log, Random } from "./host.ts";
import { createMetrics } from "./metrics.ts";
import { passThroughTracer } from "./trace.ts";

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
  sleep: async (ms, signal) => {
    await delay(ms, undefined, signal ? { signal } : {});
  },
};

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

/** A JSON log on standard error, so that standard output stays for what people and programs asked for. */
export function systemLog(level: string): Log {
  return pino({ level, base: null, timestamp: stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true }));
}

export function systemHost(options: { logLevel: string }): Host {
  return {
    clock: systemClock,
    random: systemRandom,
    log: systemLog(options.logLevel),
    metrics: createMetrics({ process: true }),
    tracer: passThroughTracer(systemRandom),
  };
}
