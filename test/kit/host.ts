/** A host for tests: real time or a clock that moves on request, randomness from a seed, and a log that prints nothing. */
import { passThroughTracer, seededRandom, type CancelTimer, type Clock, type Host, type Log } from "#base";
import { createMetrics } from "#base/prometheus";
import { systemClock } from "#base/library";

/** Keeps what was logged, so that a test can ask. */
export interface RecordingLog extends Log {
  readonly lines: { level: string; fields: object; message: string }[];
}

export function recordingLog(lines: RecordingLog["lines"] = []): RecordingLog {
  const at = (level: string) => (fields: object, message: string) => void lines.push({ level, fields, message });
  return {
    lines,
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => recordingLog(lines),
  };
}

/** Time that does not move until `advance`; timers then fire in order of their deadline. */
export class ManualClock implements Clock {
  #nowMs: number;
  #sequence = 0;
  readonly #timers = new Map<number, { at: number; callback: () => void }>();

  constructor(nowMs = 1_700_000_000_000) {
    this.#nowMs = nowMs;
  }

  /** Timers that were neither due nor cancelled yet. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  after(ms: number, callback: () => void): CancelTimer {
    const id = this.#sequence++;
    this.#timers.set(id, { at: this.#nowMs + ms, callback });
    return () => void this.#timers.delete(id);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const cancel = this.after(ms, () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      });
      const abort = () => {
        cancel();
        reject(signal?.reason as Error);
      };
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Moves time on, firing what falls due on the way; lets promises settle between timers. */
  async advance(ms: number): Promise<void> {
    const end = this.#nowMs + ms;
    for (;;) {
      let next: { id: number; at: number; callback: () => void } | undefined;
      for (const [id, timer] of this.#timers) {
        if (timer.at <= end && (!next || timer.at < next.at)) next = { id, ...timer };
      }
      if (!next) break;
      this.#timers.delete(next.id);
      this.#nowMs = Math.max(this.#nowMs, next.at);
      next.callback();
      await settle();
    }
    this.#nowMs = end;
    await settle();
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** A host over real time with a seeded generator; pass a ManualClock to hold time still. */
export function testHost<C extends Clock = Clock>(
  options: { seed?: number; clock?: C } = {},
): Host & { clock: C; log: RecordingLog } {
  const random = seededRandom(options.seed ?? 1);
  return {
    clock: options.clock ?? (systemClock as C),
    random,
    log: recordingLog(),
    metrics: createMetrics(),
    tracer: passThroughTracer(random),
  };
}
