/**
 * One day of health history: changes of status, and the outputs of probes and reports. Only in the memory of the process that saw
 * them, because text does not belong in replicated state. Bounded in every dimension.
 */
import { startOf } from "#base";
import type { Clock } from "#base";
import type { HealthStatus } from "./core/state.ts";

/** Milliseconds for which history is kept. */
export const HISTORY_MS = 24 * 3_600_000;
/** Changes of status kept per instance: the last hours of a flapping one. */
export const TRANSITIONS_MAX = 64;
/** Outputs kept per check. Equal ones in a row count as one. */
export const OUTPUTS_MAX = 8;
/** Characters kept per output. */
const OUTPUT_CHARS_MAX = 512;
/** Bytes of all histories together. The least recently active instance is forgotten first. */
export const HISTORY_BYTES_MAX = 64 * 1024 * 1024;
/** Approximate bytes of an entry, without its text. */
const ENTRY_BYTES = 160;

export interface Transition {
  readonly check: string;
  readonly atMs: number;
  readonly from: HealthStatus | undefined;
  readonly status: HealthStatus;
  readonly output: string | undefined;
}

export interface Said {
  readonly check: string;
  readonly status: HealthStatus;
  readonly output: string;
  readonly firstMs: number;
  lastMs: number;
  /** In a row. */
  times: number;
}

interface Past {
  readonly transitions: Transition[];
  readonly outputs: Map<string, Said[]>;
  readonly status: Map<string, HealthStatus>;
  bytes: number;
}

/** As the API shows it. */
export interface HistoryView {
  readonly transitions: { check: string; at: string; from?: HealthStatus; status: HealthStatus; output?: string }[];
  readonly outputs: {
    check: string;
    status: HealthStatus;
    output: string;
    first: string;
    last: string;
    times: number;
  }[];
}

export class HealthHistory {
  readonly #clock: Pick<Clock, "now">;
  readonly #bytesMax: number;
  /** By instance, the least recently active first. */
  readonly #pasts = new Map<string, Past>();
  #bytes = 0;

  constructor(clock: Pick<Clock, "now">, { bytesMax = HISTORY_BYTES_MAX }: { bytesMax?: number } = {}) {
    this.#clock = clock;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Records the result of a probe or a report. */
  said(instance: string, check: string, status: HealthStatus, text: string): void {
    const past = this.#touch(instance);
    const nowMs = this.#clock.now();
    const output = startOf(text, OUTPUT_CHARS_MAX);
    const list = past.outputs.get(check) ?? [];
    past.outputs.set(check, list);
    const latest = list.at(-1);
    if (latest?.output === output && latest.status === status) {
      latest.lastMs = nowMs;
      latest.times++;
      return;
    }
    list.push({ check, status, output, firstMs: nowMs, lastMs: nowMs, times: 1 });
    this.#grow(past, cost(output));
    while (list.length > OUTPUTS_MAX) this.#grow(past, -cost(list.shift()?.output));
    this.#trim();
  }

  /** Records the current status of a check. Only changes are kept. */
  is(instance: string, check: string, status: HealthStatus): void {
    const known = this.#pasts.get(instance)?.status.get(check);
    if (known === status) return;
    // A first status of passing is not a change. Most instances never have another status.
    if (!this.#pasts.has(instance) && (status === "passing" || status === "unknown")) return;
    const past = this.#touch(instance);
    past.status.set(check, status);
    const said = past.outputs.get(check)?.at(-1);
    const output = said?.status === status ? said.output : undefined;
    past.transitions.push({ check, atMs: this.#clock.now(), from: known, status, output });
    this.#grow(past, cost(output));
    while (past.transitions.length > TRANSITIONS_MAX) this.#grow(past, -cost(past.transitions.shift()?.output));
    this.#trim();
  }

  /** The latest output of a check. */
  last(instance: string, check: string): Said | undefined {
    return this.#pasts.get(instance)?.outputs.get(check)?.at(-1);
  }

  view(instance: string): HistoryView {
    const past = this.#pasts.get(instance);
    const sinceMs = this.#clock.now() - HISTORY_MS;
    const date = (ms: number) => new Date(ms).toISOString();
    const transitions = (past?.transitions ?? []).filter(({ atMs }) => atMs >= sinceMs).toReversed();
    const outputs = [...(past?.outputs.values() ?? [])].flat().filter(({ lastMs }) => lastMs >= sinceMs);
    return {
      transitions: transitions.map(({ atMs, from, output, ...rest }) => ({
        ...rest,
        at: date(atMs),
        ...(from === undefined ? {} : { from }),
        ...(output === undefined ? {} : { output }),
      })),
      outputs: outputs
        .toSorted((a, b) => b.lastMs - a.lastMs)
        .map(({ firstMs, lastMs, ...rest }) => ({ ...rest, first: date(firstMs), last: date(lastMs) })),
    };
  }

  forget(instance: string): void {
    const past = this.#pasts.get(instance);
    if (!past) return;
    this.#bytes -= past.bytes;
    this.#pasts.delete(instance);
  }

  #touch(instance: string): Past {
    const known = this.#pasts.get(instance);
    const past = known ?? { transitions: [], outputs: new Map(), status: new Map(), bytes: 0 };
    this.#pasts.delete(instance);
    this.#pasts.set(instance, past);
    if (!known) this.#grow(past, ENTRY_BYTES + 2 * instance.length);
    return past;
  }

  #grow(past: Past, bytes: number): void {
    past.bytes += bytes;
    this.#bytes += bytes;
  }

  #trim(): void {
    for (const instance of this.#pasts.keys()) {
      if (this.#bytes <= this.#bytesMax || this.#pasts.size === 1) return;
      this.forget(instance);
    }
  }
}

function cost(text = ""): number {
  return ENTRY_BYTES + 2 * text.length;
}
