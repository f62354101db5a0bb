/**
 * Runs probes on a jittered schedule under a concurrency limit, and tells when a verdict changes. A check never
 * overlaps with itself: its next probe is due one interval after the last one began, or as soon as that one is over.
 */
import { messageOf, type CancelTimer, type CounterChild, type Family, type Host } from "#base";
import { observe, startHealth, type Health, type HealthStatus, type Thresholds } from "./core/state.ts";
import { probeHttp, type HttpProbe, type ProbeResult } from "./probes.ts";

/** Probes under way at once: each holds a socket, and a slow target holds it until its deadline. */
export const PROBES_CONCURRENT_MAX = 64;
/** A first probe comes within this many milliseconds: soon, but not all of a restarted fleet in one instant. */
export const FIRST_PROBE_MS_MAX = 1_000;
/** Share of an interval by which a probe comes earlier or later, so that checks set together drift apart. */
export const INTERVAL_JITTER = 0.05;

export interface ProbeDefinition extends HttpProbe, Thresholds {
  readonly intervalMs: number;
}

export interface Verdict {
  readonly status: HealthStatus;
  /** Why, for people; of the latest probe. Empty before the first. */
  readonly output: string;
  /** When it took this status, in milliseconds since 1970. */
  readonly sinceMs: number;
}

export interface ProbeRunnerOptions {
  readonly concurrency?: number;
  /** Told when the status of a check changes; not for each probe. Must not throw. */
  readonly onVerdict: (key: string, verdict: Verdict) => void;
  /** Stands in for the network in tests. */
  readonly probe?: (probe: HttpProbe, signal: AbortSignal) => Promise<ProbeResult>;
}

interface Entry {
  readonly key: string;
  definition: ProbeDefinition;
  health: Health;
  output: string;
  cancel: CancelTimer;
  /** Monotonic milliseconds at which the latest probe began; absent before the first. */
  startedAt: number | undefined;
  /** Of the probe under way; aborted when the check goes or its target changes. */
  running: AbortController | undefined;
}

export class ProbeRunner implements AsyncDisposable {
  readonly #host: Host;
  readonly #concurrency: number;
  readonly #onVerdict: ProbeRunnerOptions["onVerdict"];
  readonly #probe: NonNullable<ProbeRunnerOptions["probe"]>;
  readonly #probes: Family<CounterChild>;
  readonly #entries = new Map<string, Entry>();
  /** Checks that are due and wait for a place, oldest first. */
  readonly #due = new Set<Entry>();
  readonly #underWay = new Set<Promise<void>>();
  #disposed = false;

  constructor(host: Host, options: ProbeRunnerOptions) {
    this.#host = host;
    this.#concurrency = options.concurrency ?? PROBES_CONCURRENT_MAX;
    this.#onVerdict = options.onVerdict;
    this.#probe = options.probe ?? ((probe, signal) => probeHttp(host, probe, { signal }));
    this.#probes = host.metrics.counter({
      name: "posthouse_health_probes_total",
      help: "Health probes made, by what they found.",
      labelNames: ["result"],
    });
  }

  /**
   * Adds a check or redefines it. While url and method stay the same it keeps its status and its runs; a new target
   * starts over. `initial` is what a check not known yet starts from: after a restart, the status it had.
   */
  set(key: string, definition: ProbeDefinition, options: { initial?: HealthStatus } = {}): void {
    if (this.#disposed) return;
    const known = this.#entries.get(key);
    if (known && known.definition.url === definition.url && known.definition.method === definition.method) {
      const sameInterval = known.definition.intervalMs === definition.intervalMs;
      known.definition = definition;
      if (!sameInterval && known.running === undefined && !this.#due.has(known)) this.#schedule(known);
      return;
    }
    this.delete(key);
    const entry: Entry = {
      key,
      definition,
      health: startHealth(this.#host.clock.now(), options.initial),
      output: "",
      cancel: () => {},
      startedAt: undefined,
      running: undefined,
    };
    this.#entries.set(key, entry);
    this.#schedule(entry);
  }

  /** Forgets a check. A probe under way is cut and its result dropped. Unknown keys are no error. */
  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#due.delete(entry);
    entry.cancel();
    entry.running?.abort(new Error("the check was removed"));
  }

  /** The verdict as it stands, with the output of the latest probe; undefined for a key that was not set. */
  last(key: string): Verdict | undefined {
    const entry = this.#entries.get(key);
    return entry && verdictOf(entry);
  }

  keys(): IterableIterator<string> {
    return this.#entries.keys();
  }

  #schedule(entry: Entry): void {
    entry.cancel();
    entry.cancel = this.#host.clock.after(this.#delayOf(entry), () => {
      this.#due.add(entry);
      this.#pump();
    });
  }

  #delayOf({ definition, startedAt }: Entry): number {
    const share = this.#host.random.float();
    if (startedAt === undefined) return share * Math.min(definition.intervalMs, FIRST_PROBE_MS_MAX);
    const due = startedAt + definition.intervalMs * (1 - INTERVAL_JITTER + 2 * INTERVAL_JITTER * share);
    return Math.max(0, due - this.#host.clock.monotonic());
  }

  #pump(): void {
    for (const entry of this.#due) {
      if (this.#underWay.size >= this.#concurrency) return;
      this.#due.delete(entry);
      const task = this.#run(entry);
      this.#underWay.add(task);
      void task.finally(() => {
        this.#underWay.delete(task);
        this.#pump();
      });
    }
  }

  async #run(entry: Entry): Promise<void> {
    const abort = new AbortController();
    entry.running = abort;
    entry.startedAt = this.#host.clock.monotonic();
    try {
      const found = await this.#probe(entry.definition, abort.signal);
      if (!abort.signal.aborted) this.#judge(entry, found);
    } catch (error) {
      this.#host.log.error({ check: entry.key, err: error }, `a probe failed by itself: ${messageOf(error)}`);
    } finally {
      entry.running = undefined;
      if (!abort.signal.aborted) this.#schedule(entry);
    }
  }

  #judge(entry: Entry, { result, output }: ProbeResult): void {
    this.#probes.labels(result ?? "not_made").inc();
    entry.output = output;
    if (result === undefined) {
      this.#host.log.warn({ check: entry.key }, output);
      return;
    }
    const before = entry.health.status;
    entry.health = observe(entry.health, result, this.#host.clock.now(), entry.definition);
    if (entry.health.status !== before) this.#onVerdict(entry.key, verdictOf(entry));
  }

  /** Cuts the probes under way and waits until their sockets are closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    for (const key of this.#entries.keys()) this.delete(key);
    await Promise.allSettled(this.#underWay);
  }
}

function verdictOf(entry: Entry): Verdict {
  return { status: entry.health.status, output: entry.output, sinceMs: entry.health.sinceMs };
}
