/**
 * Runs probes on a schedule, under a limit, and tells when a verdict changes. A check never overlaps with itself.
 * Quick and slow probes have places of their own, so that targets which hang wait for each other and for nobody else.
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

/** Places for probes that end soon: each is a socket for a moment. */
export const PROBES_QUICK_MAX = 256;
/** Places for probes that do not: each is a socket until its deadline. Ten thousand hanging targets share them. */
export const PROBES_SLOW_MAX = 768;
/** Part of the process's file descriptors that probes may use. */
const DESCRIPTORS_SHARE = 0.15;

/** Places for probes in a process that may open so many files. */
export function placesWithin(descriptorsMax = Infinity): { quick: number; slow: number } {
  const all = Math.max(4, Math.floor(descriptorsMax * DESCRIPTORS_SHARE));
  return {
    quick: Math.min(PROBES_QUICK_MAX, Math.ceil(all / 4)),
    slow: Math.min(PROBES_SLOW_MAX, Math.ceil((3 * all) / 4)),
  };
}

/** Milliseconds after which a probe is a slow one. */
export const PROBE_SLOW_MS = 250;
/** Watches that stay open at once, each on a connection; checks beyond that ask each time. */
export const WATCHES_MAX = 1_000;

export interface Verdict {
  readonly status: HealthStatus;
  /** Why, for people; of the latest probe. Empty before the first. */
  readonly output: string;
  /** When it took this status, in milliseconds since 1970. */
  readonly sinceMs: number;
}

export interface ProbeRunnerOptions {
  readonly probe: Probe;
  /** Told when the status of a check changes; not for each probe. Must not throw. */
  readonly onVerdict: (key: string, verdict: Verdict) => void;
  /** Told of each probe that was made. Must not throw. */
  readonly onProbe?: (key: string, result: HealthResult, output: string) => void;
  readonly places?: { readonly quick: number; readonly slow: number };
}

type Lane = "quick" | "slow";

interface Entry {
  readonly key: string;
  readonly place: number;
  /** Of the target, to know it again. */
  readonly mark: string;
  definition: ProbeDefinition;
  health: Health;
  damping: Damping;
  /** With damping. */
  status: HealthStatus;
  sinceMs: number;
  output: string;
  cancel: CancelTimer;
  /** Monotonic milliseconds at which the next probe is due. */
  dueAt: number;
  /** Of the probe under way; aborted when the check goes or its target changes. */
  running: AbortController | undefined;
  /** What a watch said last. */
  standing: ProbeResult | undefined;
  /** Whether the latest probe took long, or may. */
  slow: boolean;
  /** Whether anything is known of it yet. */
  probed: boolean;
  /** Whether a probe of this runner found anything. */
  judged: boolean;
  /** It is to be probed again as soon as the probe under way is over. */
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
      help: "Health probes made, by what they found.",
      labelNames: ["result"],
    });
    this.#late = host.metrics.counter({
      name: "posthouse_health_probes_late_total",
      help: "Health probes that began a whole interval late, since too many others hang.",
    });
  }

  /**
   * Adds a check or redefines it. While its target stays the same it keeps its status and its runs; a new target starts
   * over. `initial` is what a check not known yet starts from: after a restart, the status it had.
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
      // What was critical may hang, and is quick again after one probe that shows it.
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

  /** Forgets a check. A probe under way is cut and its result dropped. Unknown keys are no error. */
  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    for (const queue of Object.values(this.#due)) queue.delete(entry);
    entry.cancel();
    entry.running?.abort(new Error("the check was removed"));
  }

  /** Has a check probed as soon as there is a place, since something it depends on changed. */
  poke(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    if (entry.running) entry.again = true;
    else if (!this.#waiting(entry)) this.#schedule(entry, 0);
  }

  /** The verdict as it stands, with the output of the latest probe; undefined for a key that was not set. */
  last(key: string): Verdict | undefined {
    const entry = this.#entries.get(key);
    return entry && verdictOf(entry);
  }

  /** Whether the check was probed here, so that its verdict is more than what it was set with. */
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

  /** Newcomers have half of the quick places at most: a crowd of them that hangs leaves the known ones room. */
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

  /** A place for a probe. One that turns out to be slow moves over, when there is room. */
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
      log.error({ check: entry.key, err: error }, `a probe failed by itself: ${messageOf(error)}`);
    } finally {
      if (watched) this.#watches--;
      entry.running = undefined;
      entry.standing = undefined;
      if (!abort.signal.aborted) this.#scheduleNext(entry, startedAt);
    }
  }

  /** What a watch said holds until it says something else: it counts at once, and again in every interval. */
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

  /** The output, with the reason in front when the check is held. */
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
      `held critical: flapped ${entry.damping.turns} times; let go in ${seconds} s without another: ${output}`,
    );
  }

  /** Cuts the probes under way and waits until their sockets are closed. */
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

/** A good answer that took too long is a warning. */
function slowed(found: ProbeResult, tookMs: number, { warnAfterMs }: ProbeDefinition): ProbeResult {
  if (found.result !== "passing" || warnAfterMs === undefined || tookMs <= warnAfterMs) return found;
  const output = short(`slow: took ${Math.round(tookMs)} ms, more than ${warnAfterMs} ms: ${found.output}`);
  return { result: "warning", output };
}

function verdictOf({ status, output, sinceMs }: Entry): Verdict {
  return { status, output, sinceMs };
}
