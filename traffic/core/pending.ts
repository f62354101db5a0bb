/**
 * The reports that a member received since it last wrote: counts are added, and of requests in flight the latest number
 * of each reporter counts. One record of it per member is written, however many reporters there are. Pure.
 */
import type { TrafficReport } from "../api.ts";
import { addTally, emptyTally, requestsOf, tallyOf } from "./counts.ts";

/** Entries of one record: with names of usual length, half of what a value of the store may have. */
const RECORD_ENTRIES_MAX = 3_000;
/** Reporters whose requests in flight are known. */
const REPORTERS_MAX = 10_000;
/** Milliseconds after which a silent reporter's requests in flight no longer count: three reports are missing. */
export const REPORTER_MS = 6_000;

/** One route, or one edge to a service as a whole or to one instance. Namespace and names, in the order of the kind. */
export type SeriesName =
  | readonly ["route", namespace: string, route: string]
  | readonly ["edge", namespace: string, from: string, toNamespace: string, to: string]
  | readonly ["instance", namespace: string, from: string, toNamespace: string, to: string, instance: string];

/** `from` of an edge that begins at a gateway: not a valid name of a service. */
export const FROM_GATEWAY = "";

export interface TrafficRecord {
  /** Grows with each record of a member, so that a reader counts each once. */
  readonly sequence: number;
  readonly series: readonly (readonly [name: SeriesName, inFlight: number, tally: readonly number[]])[];
  /** Entries that did not fit. */
  readonly omitted: number;
}

interface Entry {
  readonly name: SeriesName;
  readonly tally: number[];
}

export class PendingTraffic {
  readonly #entries = new Map<string, Entry>();
  readonly #inFlight = new Map<string, { readonly atMs: number; readonly counts: ReadonlyMap<string, number> }>();
  #sequence = 0;
  #omitted = 0;
  #wasInFlight = "[]";

  /** Adds a report. `reporter` is unique over all principals. */
  add(namespace: string, reporter: string, { routes = [], edges = [] }: TrafficReport, nowMs: number): void {
    const counts = new Map<string, number>();
    const take = (name: SeriesName, tally: readonly number[], inFlight: number) => {
      const key = name.join("/");
      let entry = this.#entries.get(key);
      if (!entry) {
        if (this.#entries.size >= RECORD_ENTRIES_MAX) {
          this.#omitted++;
          return;
        }
        this.#entries.set(key, (entry = { name, tally: emptyTally() }));
      }
      addTally(entry.tally, tally);
      if (inFlight > 0) counts.set(key, (counts.get(key) ?? 0) + inFlight);
    };
    for (const { route, ...of } of routes) take(["route", namespace, route], tallyOf(of), of.inFlight ?? 0);
    for (const { from = FROM_GATEWAY, to, toNamespace = namespace, instance, ...of } of edges) {
      const edge = [namespace, from, toNamespace, to] as const;
      take(["edge", ...edge], tallyOf(of), of.inFlight ?? 0);
      if (instance !== undefined) take(["instance", ...edge, instance], tallyOf(of), of.inFlight ?? 0);
    }
    this.#inFlight.delete(reporter);
    if (counts.size > 0 && this.#inFlight.size < REPORTERS_MAX) this.#inFlight.set(reporter, { atMs: nowMs, counts });
  }

  /** The record to write; undefined when nothing changed since the last one. */
  take(nowMs: number): TrafficRecord | undefined {
    const inFlight = this.#sumInFlight(nowMs);
    const shown = JSON.stringify([...inFlight]);
    const busy = [...this.#entries].filter(([key, { tally }]) => requestsOf(tally) > 0 || inFlight.has(key));
    const isQuiet = busy.every(([, { tally }]) => requestsOf(tally) === 0);
    if (isQuiet && shown === this.#wasInFlight) return undefined;
    this.#wasInFlight = shown;
    const series = busy
      .map(([key, { name, tally }]) => [name, inFlight.get(key) ?? 0, trimmed(tally)] as const)
      .sort((a, b) => requestsOf(b[2]) - requestsOf(a[2]));
    const omitted = this.#omitted;
    this.#entries.clear();
    this.#omitted = 0;
    // A series with requests in flight is in the next record, too, although none of them may have ended by then.
    for (const [key, { name }] of busy) if (inFlight.has(key)) this.#entries.set(key, { name, tally: emptyTally() });
    return { sequence: ++this.#sequence, series, omitted };
  }

  #sumInFlight(nowMs: number): Map<string, number> {
    const sums = new Map<string, number>();
    for (const [reporter, { atMs, counts }] of this.#inFlight) {
      if (nowMs - atMs > REPORTER_MS) this.#inFlight.delete(reporter);
      else for (const [key, count] of counts) sums.set(key, (sums.get(key) ?? 0) + count);
    }
    return sums;
  }
}

/** Without zeros at the end. */
function trimmed(tally: readonly number[]): number[] {
  return tally.slice(0, tally.findLastIndex((count) => count > 0) + 1);
}
