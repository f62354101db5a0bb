/**
 * Runs probes on a schedule, within limits, and reports changed verdicts. A check never overlaps with itself. Quick and slow probes
 * have separate places, so that hanging targets delay only each other.
 */
import { canonicalJson, messageOf, type CancelTimer, type CounterChild, type Family, type Host } from "#base";
import { addTurn, fade, heldForSeconds, startDamping, type Damping } from "./core/damping.ts";
import { firstDelayMs, intervalPlaceOf, nextDueMs } from "./core/schedule.ts";
import { observe, startHealth, type Health, type HealthResult, type HealthStatus } from "./core/state.ts";
import type { ProbeDefinition } from "./definition.ts";
import type { Probe } from "./probe.ts";
import type { ProbeMemory } from "./probes/kind.ts";
import { probeKindOf } from "./probes/kinds.ts";
import { short, type ProbeResult } from "./result.ts";

/** Places for quick probes. Each is a socket for a moment. */
export const PROBES_QUICK_MAX = 256;
/** Places for slow probes. Each is a socket until its deadline. Ten thousand hanging targets share them. */
export const PROBES_SLOW_MAX = 768;
/** Part of the process's file descriptors that probes may use. */
const DESCRIPTORS_SHARE = 0.15;

/** Places for probes in a process with that many file descriptors. */
export function placesWithin(descriptorsMax = Infinity): { quick: number; slow: number } {
  const all = Math.max(4, Math.floor(descriptorsMax * DESCRIPTORS_SHARE));
  return {
    quick: Math.min(PROBES_QUICK_MAX, Math.ceil(all / 4)),
    slow: Math.min(PROBES_SLOW_MAX, Math.ceil((3 * all) / 4)),
  };
}

/** Milliseconds after which a probe counts as slow. */
export const PROBE_SLOW_MS = 250;
/** Probes that stay open at once, each on a connection. Checks beyond that probe each time. */
export const WATCHES_MAX = 1_000;

export interface CheckVerdict {
  readonly status: HealthStatus;
  /** The reason of the latest probe, for people. Empty before the first. */
  readonly output: string;
  /** When it took this status, in milliseconds since 1970. */
  readonly sinceMs: number;
}

export interface ProbeRunnerOptions {
  readonly probe: Probe;
  /** Called when the status of a check changes, not for each probe. Must not throw. */
  readonly onVerdict: (key: string, verdict: CheckVerdict) => void;
  /** Called for each probe that was made. Must not throw. */
  readonly onProbe?: (key: string, result: HealthResult, output: string) => void;
  readonly places?: { readonly quick: number; readonly slow: number };
}

type Lane = "quick" | "slow";

interface Entry {
  readonly key: string;
  readonly place: number;
  /** Identifies the target. */
  readonly mark: string;
  definition: ProbeDefinition;
  health: Health;
  damping: Damping;
  /** The status after damping. */
  status: HealthStatus;
  sinceMs: number;
  output: string;
  cancel: CancelTimer;
  /** Monotonic milliseconds at which the next probe is due. */
  dueAt: number;
  /** Aborts the running probe, when the check is removed or its target changes. */
  running: AbortController | undefined;
  /** The latest report of a probe that stays open. */
  standing: ProbeResult | undefined;
  /** Whether the latest probe was slow, or the next one may be. */
  slow: boolean;
  /** Whether the check has a status yet. */
  probed: boolean;
  /** Whether a probe of this runner had a result. */
  judged: boolean;
  /** Probes it again as soon as the running probe has ended. */
  again: boolean;
  readonly memory: ProbeMemory;
}

export class ProbeRunner implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: ProbeRunnerOptions;
  readonly #places: Readonly<Record<Lane, number>>;
  readonly #probes: Family<CounterChild>;
  readonly #late: Family<CounterChild>;
  readonly #entries = new Map<string, Entry>();
  /** Checks that are due and wait for a place, oldest first: known to be quick, never probed yet, and slow. */
  readonly #due = { quick: new Set<Entry>(), fresh: new Set<Entry>(), slow: new Set<Entry>() };
  readonly #busy: Record<Lane, number> = { quick: 0, slow: 0 };
  #freshBusy = 0;
  #watches = 0;
  readonly #underWay = new Set<Promise<void>>();
  #disposed = false;

  constructor(host: Host, options: ProbeRunnerOptions) {
    this.#host = host;
    this.#options = options;
    this.#places = options.places ?? placesWithin(host.descriptorsMax);
    this.#probes = host.metrics.counter({
      name: "posthouse_health_probes_total",
      help: "Health probes made, by result.",
      labelNames: ["result"],
    });
    this.#late = host.metrics.counter({
      name: "posthouse_health_probes_late_total",
      help: "Health probes that began a whole interval late, because too many others hang.",
    });
  }

  /**
   * Adds or redefines a check. With the same target it keeps its status and its runs; with a new target it starts over. `initial` is the
   * first status of a new check: after a restart, the one that it had.
   */
  set(key: string, definition: ProbeDefinition, { initial = "unknown" }: { initial?: HealthStatus } = {}): void {
    if (this.#disposed) return;
    const known = this.#entries.get(key);
    const mark = canonicalJson(definition.target);
    if (known?.mark === mark) {
      const sameInterval = known.definition.intervalMs === definition.intervalMs;
      known.definition = definition;
      if (!sameInterval && known.running === undefined && !this.#waiting(known)) this.#scheduleNext(known);
      return;
    }
    this.delete(key);
    const entry: Entry = {
      key,
      place: intervalPlaceOf(key),
      mark,
      definition,
      health: startHealth(this.#host.clock.now(), initial),
      damping: startDamping(this.#host.clock.monotonic()),
      status: initial,
      sinceMs: this.#host.clock.now(),
      output: "",
      cancel: () => {},
      dueAt: 0,
      running: undefined,
      standing: undefined,
      // A critical target may hang. It counts as quick again after one quick probe.
      slow: initial === "critical",
      probed: initial !== "unknown",
      judged: false,
      again: false,
      memory: {},
    };
    this.#entries.set(key, entry);
    const { intervalMs } = definition;
    const initialDelayMs = initial === "unknown" ? definition.initialDelayMs : 0;
    this.#schedule(entry, firstDelayMs({ place: entry.place, intervalMs, initialDelayMs }));
  }

  /** Removes a check. A running probe is cut and its result dropped. Unknown keys are ignored. */
  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    for (const queue of Object.values(this.#due)) queue.delete(entry);
    entry.cancel();
    entry.running?.abort(new Error("the check was removed"));
  }

  /** Probes a check as soon as a place is free, because something that it depends on has changed. */
  poke(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    if (entry.running) entry.again = true;
    else if (!this.#waiting(entry)) this.#schedule(entry, 0);
  }

  /** The current verdict, with the output of the latest probe; undefined for an unknown key. */
  last(key: string): CheckVerdict | undefined {
    const entry = this.#entries.get(key);
    return entry && verdictOf(entry);
  }

  /** Whether the check was probed here, so that its verdict is not just its initial status. */
  judged(key: string): boolean {
    return this.#entries.get(key)?.judged === true;
  }

  keys(): IterableIterator<string> {
    return this.#entries.keys();
  }

  get size(): number {
    return this.#entries.size;
  }

  #waiting(entry: Entry): boolean {
    return this.#due.quick.has(entry) || this.#due.fresh.has(entry) || this.#due.slow.has(entry);
  }

  #scheduleNext(entry: Entry, startedAt = this.#host.clock.monotonic()): void {
    const { intervalMs, initialDelayMs } = entry.definition;
    const due = nextDueMs({ place: entry.place, intervalMs, initialDelayMs }, startedAt);
    this.#schedule(entry, entry.again ? 0 : due - this.#host.clock.monotonic());
    entry.again = false;
  }

  #schedule(entry: Entry, delayMs: number): void {
    entry.cancel();
    entry.dueAt = this.#host.clock.monotonic() + Math.max(0, delayMs);
    entry.cancel = this.#host.clock.after(Math.max(0, delayMs), () => {
      if (entry.standing) return this.#stand(entry, entry.standing);
      this.#due[entry.slow ? "slow" : entry.probed ? "quick" : "fresh"].add(entry);
      this.#pump();
    });
  }

  /** New checks get at most half of the quick places, so that a crowd of hanging ones does not delay known checks. */
  #pump(): void {
    while (this.#busy.quick < this.#places.quick) {
      const known = take(this.#due.quick);
      if (known) this.#start(known, "quick");
      else if (this.#freshBusy >= Math.max(1, this.#places.quick / 2)) break;
      else {
        const fresh = take(this.#due.fresh);
        if (!fresh) break;
        this.#start(fresh, "quick");
      }
    }
    while (this.#busy.slow < this.#places.slow) {
      const slow = take(this.#due.slow);
      if (!slow) break;
      this.#start(slow, "slow");
    }
  }

  #start(entry: Entry, lane: Lane): void {
    const place = this.#take(entry, lane);
    const task = this.#run(entry, place.leave);
    this.#underWay.add(task);
    void task.finally(() => {
      place.leave();
      this.#underWay.delete(task);
    });
  }

  /** Takes a place for a probe. A probe that turns out to be slow moves to a slow place, if one is free. */
  #take(entry: Entry, begun: Lane): { leave: () => void } {
    let lane: Lane | undefined = begun;
    let fresh = !entry.probed;
    this.#busy[begun]++;
    if (fresh) this.#freshBusy++;
    const out = () => {
      if (lane) this.#busy[lane]--;
      if (fresh) this.#freshBusy--;
      fresh = false;
    };
    const cancel = this.#host.clock.after(PROBE_SLOW_MS, () => {
      entry.slow = true;
      if (lane !== "quick" || this.#busy.slow >= this.#places.slow) return;
      out();
      lane = "slow";
      this.#busy.slow++;
      this.#pump();
    });
    return {
      leave: () => {
        if (lane === undefined) return;
        cancel();
        out();
        lane = undefined;
        this.#pump();
      },
    };
  }

  async #run(entry: Entry, leave: () => void): Promise<void> {
    const { clock, log } = this.#host;
    const abort = new AbortController();
    const startedAt = clock.monotonic();
    const { definition } = entry;
    if (startedAt - entry.dueAt > definition.intervalMs) this.#late.labels().inc();
    entry.running = abort;
    const { target } = definition;
    const watched = probeKindOf(target)?.staysOpen?.(target) === true && this.#watches < WATCHES_MAX;
    if (watched) this.#watches++;
    try {
      const report = (found: ProbeResult) => {
        if (abort.signal.aborted) return;
        leave();
        entry.slow = false;
        this.#stand(entry, found);
      };
      const call = { key: entry.key, definition, signal: abort.signal, memory: entry.memory };
      const found = await this.#options.probe(watched ? { ...call, report } : call);
      const tookMs = clock.monotonic() - startedAt;
      if (abort.signal.aborted) return;
      if (!entry.standing) entry.slow = tookMs > PROBE_SLOW_MS;
      entry.standing = undefined;
      this.#judge(entry, watched ? found : slowed(found, tookMs, definition));
    } catch (error) {
      log.error({ check: entry.key, err: error }, `defect in a probe: ${messageOf(error)}`);
    } finally {
      if (watched) this.#watches--;
      entry.running = undefined;
      entry.standing = undefined;
      if (!abort.signal.aborted) this.#scheduleNext(entry, startedAt);
    }
  }

  /** A report of an open probe counts at once, and again in every interval until the next report. */
  #stand(entry: Entry, found: ProbeResult): void {
    entry.standing = found;
    this.#judge(entry, found);
    this.#scheduleNext(entry);
  }

  #judge(entry: Entry, { result, output }: ProbeResult): void {
    this.#probes.labels(result ?? "not_made").inc();
    if (result === undefined) {
      if (output !== entry.output) this.#host.log.warn({ check: entry.key }, output);
      entry.output = output;
      return;
    }
    entry.probed = true;
    entry.judged = true;
    const before = entry.health.status;
    entry.health = observe(entry.health, result, this.#host.clock.now(), entry.definition);
    const turned = entry.health.status === "critical" && before !== "critical" && before !== "unknown";
    entry.output = this.#damp(entry, turned, output);
    const status = entry.damping.held ? "critical" : entry.health.status;
    this.#options.onProbe?.(entry.key, status === "unknown" ? result : status, entry.output);
    if (status === entry.status) return;
    entry.status = status;
    entry.sinceMs = this.#host.clock.now();
    this.#options.onVerdict(entry.key, verdictOf(entry));
  }

  /** The output, preceded by the reason when the check is held. */
  #damp(entry: Entry, turned: boolean, output: string): string {
    const { damping: options } = entry.definition;
    const nowMs = this.#host.clock.monotonic();
    if (!options) {
      entry.damping = startDamping(nowMs);
      return output;
    }
    entry.damping = turned ? addTurn(entry.damping, nowMs, options) : fade(entry.damping, nowMs, options);
    if (!entry.damping.held) return output;
    const seconds = Math.ceil(heldForSeconds(entry.damping, options));
    return short(
      `held critical: flapped ${entry.damping.turns} times; released after ${seconds} s without flapping: ${output}`,
    );
  }

  /** Cuts the running probes and waits until their sockets are closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    for (const key of this.#entries.keys()) this.delete(key);
    await Promise.allSettled(this.#underWay);
  }
}

function take(queue: Set<Entry>): Entry | undefined {
  for (const entry of queue) {
    queue.delete(entry);
    return entry;
  }
  return undefined;
}

/** A successful probe that took too long is a warning. */
function slowed(found: ProbeResult, tookMs: number, { warnAfterMs }: ProbeDefinition): ProbeResult {
  if (found.result !== "passing" || warnAfterMs === undefined || tookMs <= warnAfterMs) return found;
  const output = short(`slow: took ${Math.round(tookMs)} ms, more than ${warnAfterMs} ms: ${found.output}`);
  return { result: "warning", output };
}

function verdictOf({ status, output, sinceMs }: Entry): CheckVerdict {
  return { status, output, sinceMs };
}
