/**
 * Time, chance and life for a simulated world. One virtual clock moves only when nothing is runnable; each process has its
 * own wall clock and its own chance, both from the seed, and stops for good at the moment it is killed.
 */
import { createHash } from "node:crypto";
import { passThroughTracer, seededRandom, type CancelTimer, type Clock, type Host, type Log, type Random } from "#base";
import { createMetrics } from "#base/prometheus";

/** The wall clock of a process at the beginning, in milliseconds since 1970. */
const EPOCH_MS = 1_700_000_000_000;
/** Turns of the event loop after which something must be spinning: no chain of callbacks in here is that long. */
const TURNS_MAX = 10_000;

interface Timer {
  readonly atMs: number;
  readonly sequence: number;
  readonly life: Life;
  callback: (() => void) | undefined;
}

/** One run of a process. Killed, it never runs again: its timers do not fire, and what it waits for does not come. */
export class Life {
  alive = true;
  readonly name: string;
  /** How far its wall clock is off. Milliseconds. */
  skewMs = 0;
  readonly #mourners = new Set<() => void>();

  constructor(name: string) {
    this.name = name;
  }

  kill(): void {
    this.alive = false;
    for (const mourner of this.#mourners) mourner();
    this.#mourners.clear();
  }

  /** Called at the moment of the kill; the answer takes it back. */
  onKill(mourner: () => void): () => void {
    this.#mourners.add(mourner);
    return () => void this.#mourners.delete(mourner);
  }
}

/** The wait of a killed process. */
export function never<T>(): Promise<T> {
  return new Promise<T>(() => {});
}

/** The virtual clock of a world, in milliseconds from 0. */
export class SimTime {
  #nowMs = 0;
  #sequence = 0;
  readonly #heap: Timer[] = [];

  get nowMs(): number {
    return this.#nowMs;
  }

  after(life: Life, ms: number, callback: () => void): CancelTimer {
    const timer: Timer = { atMs: this.#nowMs + Math.max(0, ms), sequence: this.#sequence++, life, callback };
    push(this.#heap, timer);
    return () => (timer.callback = undefined);
  }

  /** Resolves after `ms`, or rejects with the signal's reason; never, when the process was killed meanwhile. */
  sleep(life: Life, ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const cancel = this.after(life, ms, () => {
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

  /** Lets all that is due up to then happen, each timer after all that the one before it set going. */
  async runUntil(untilMs: number): Promise<void> {
    await quiet();
    for (let next = this.#heap[0]; next && next.atMs <= untilMs; next = this.#heap[0]) {
      pop(this.#heap);
      if (!next.callback || !next.life.alive) continue;
      this.#nowMs = next.atMs;
      next.callback();
      await quiet();
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /** Runs until the work has ended. @throws Error when it takes longer than `limitMs` of virtual time */
  async runThrough<T>(what: string, limitMs: number, work: Promise<T>): Promise<T> {
    const endMs = this.#nowMs + limitMs;
    const end = { reached: false };
    const settled = work.finally(() => (end.reached = true));
    settled.catch(() => {});
    await quiet();
    for (let next = this.#heap[0]; !end.reached; next = this.#heap[0]) {
      if (!next || next.atMs > endMs) throw new Error(`${what}: not done within ${limitMs} ms of virtual time`);
      await this.runUntil(next.atMs);
    }
    return settled;
  }
}

/**
 * Until nothing is runnable: promises and ticks are drained between turns of the loop, so only immediates are left to
 * look for. Code in a simulation does no real I/O and sets no real timer.
 */
async function quiet(): Promise<void> {
  for (let turns = 0; turns < TURNS_MAX; turns++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (!process.getActiveResourcesInfo().includes("Immediate")) return;
  }
  throw new Error(`still busy after ${TURNS_MAX} turns of the event loop`);
}

/** Chance from a seed, by name: a consumer more does not shift the others' chance. */
export function fork(seed: number, name: string): Random {
  const digest = createHash("sha256").update(`${seed}/${name}`).digest();
  return seededRandom(digest.readUInt32LE(0));
}

/** Everything that happened, in order, as text; equal hashes mean equal runs. */
export class Trace {
  readonly lines: string[] = [];
  readonly #time: SimTime;

  constructor(time: SimTime) {
    this.#time = time;
  }

  note(line: string): void {
    this.lines.push(`${this.#time.nowMs.toFixed(1)} ${line}`);
  }

  hash(): string {
    return createHash("sha256").update(this.lines.join("\n")).digest("hex");
  }
}

export interface SimHostOptions {
  readonly time: SimTime;
  readonly trace: Trace;
  readonly random: Random;
  /** A background loop ended by an error: a defect, whatever happened in the world. */
  readonly onDefect: (message: string) => void;
}

/** The host of one process of the world. */
export function simHost(life: Life, { time, trace, random, onDefect }: SimHostOptions): Host {
  // Monotonic clocks begin anywhere, so that none passes for another process's clock or for a wall clock.
  const bootMs = Math.floor(random.float() * 1_000_000);
  const clock: Clock = {
    now: () => Math.floor(EPOCH_MS + time.nowMs + life.skewMs),
    monotonic: () => bootMs + time.nowMs,
    after: (ms, callback) => time.after(life, ms, callback),
    sleep: (ms, signal) => time.sleep(life, ms, signal),
  };
  const quietly = () => {};
  const log: Log = {
    debug: quietly,
    info: quietly,
    warn: (_fields, message) => trace.note(`${life.name} warns: ${message}`),
    error(fields, message) {
      trace.note(`${life.name} errs: ${message}`);
      if (life.alive && "task" in fields) onDefect(`${life.name}: ${message} ${stackOf(fields)}`);
    },
    child: () => log,
  };
  return { clock, random, log, metrics: createMetrics(), tracer: passThroughTracer(random) };
}

function stackOf(fields: object): string {
  return "err" in fields && fields.err instanceof Error ? (fields.err.stack ?? "") : "";
}

function before(a: Timer, b: Timer): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}

function push(heap: Timer[], timer: Timer): void {
  let at = heap.push(timer) - 1;
  while (at > 0) {
    const parent = (at - 1) >>> 1;
    const above = heap[parent] as Timer;
    if (!before(timer, above)) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = timer;
}

function pop(heap: Timer[]): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child + 1 < heap.length && before(heap[child + 1] as Timer, heap[child] as Timer)) child++;
    const below = heap[child];
    if (!below || !before(below, last)) break;
    heap[at] = below;
    at = child;
  }
  heap[at] = last;
}
