/**
 * The traffic of the last hour, from the records of all members: a series per route, and sums per edge and per called
 * instance. Bounded by named limits; what exceeds them is counted. Pure: the time is a parameter.
 */
import { TRAFFIC_EDGES_MAX, TRAFFIC_MINUTES_MAX, TRAFFIC_POINT_SECONDS, TRAFFIC_ROUTES_MAX } from "../api.ts";
import type { Tally } from "./counts.ts";
import type { SeriesName, TrafficRecord } from "./pending.ts";
import { Ring } from "./ring.ts";

/** Called instances with numbers of their own: the busy part of a fleet. Each takes 5 KiB. */
const INSTANCES_MAX = 2_000;
/** Series by kind. A route takes 28 KiB, an edge 5 KiB: together some 30 MiB at most. */
const SERIES_MAX: Readonly<Record<SeriesName[0], number>> = {
  route: TRAFFIC_ROUTES_MAX,
  edge: TRAFFIC_EDGES_MAX,
  instance: INSTANCES_MAX,
};
/** Namespaces with a total of their own. */
const NAMESPACES_MAX = 64;
/** Milliseconds of the points from which the present rate is summed, and their number: the last ten whole seconds. */
const RECENT = { pointMs: 2_000, points: 5 } as const;
const FINE = {
  pointMs: TRAFFIC_POINT_SECONDS * 1000,
  points: (TRAFFIC_MINUTES_MAX * 60) / TRAFFIC_POINT_SECONDS,
} as const;
const COARSE = { pointMs: 60_000, points: TRAFFIC_MINUTES_MAX } as const;
const HOUR_MS = TRAFFIC_MINUTES_MAX * 60_000;

export class Series {
  readonly name: SeriesName;
  readonly #past: Ring;
  readonly #pastMs: number;
  readonly #recent = new Ring(RECENT.points + 3, RECENT.pointMs);
  /** By member. */
  readonly #inFlight = new Map<string, number>();
  #lastMs = 0;

  constructor(name: SeriesName) {
    this.name = name;
    const { points, pointMs } = name[0] === "route" ? FINE : COARSE;
    this.#pastMs = pointMs;
    // One more than are shown, since the running point is not.
    this.#past = new Ring(points + 1, pointMs);
  }

  add(tally: Tally, nowMs: number): void {
    this.#past.add(nowMs, tally);
    this.#recent.add(nowMs, tally);
    this.#lastMs = Math.max(this.#lastMs, nowMs);
  }

  setInFlight(member: string, count: number): void {
    if (count === 0) this.#inFlight.delete(member);
    else this.#inFlight.set(member, count);
  }

  inFlightOf(member: string): number {
    return this.#inFlight.get(member) ?? 0;
  }

  get inFlight(): number {
    let sum = 0;
    for (const count of this.#inFlight.values()) sum += count;
    return sum;
  }

  /** The sum of the last ten whole seconds. */
  recent(nowMs: number): Tally {
    const running = Math.floor(nowMs / RECENT.pointMs);
    return this.#recent.sum(running - RECENT.points, running - 1);
  }

  /** Whole points, oldest first. Of a route. */
  points(count: number, nowMs: number): Tally[] {
    const running = Math.floor(nowMs / this.#pastMs);
    return Array.from({ length: count }, (_, index) => this.#past.point(running - count + index));
  }

  /** The sum of the last minutes, with the running point. */
  sum(minutes: number, nowMs: number): Tally {
    const running = Math.floor(nowMs / this.#pastMs);
    return this.#past.sum(running - (minutes * 60_000) / this.#pastMs + 1, running);
  }

  isOver(nowMs: number): boolean {
    return this.#inFlight.size === 0 && nowMs - this.#lastMs > HOUR_MS;
  }
}

export const RECENT_SECONDS = (RECENT.points * RECENT.pointMs) / 1000;

export class TrafficBook {
  readonly #series = new Map<string, Series>();
  readonly #counts: Record<SeriesName[0], number> = { route: 0, edge: 0, instance: 0 };
  /** All routes of a namespace together, also those that exceed a limit. */
  readonly #totals = new Map<string, Series>();
  readonly #members = new Map<string, { readonly sequence: number; readonly inFlight: readonly Series[] }>();
  #omitted = 0;
  #omittedAtMs = 0;

  /** Adds a member's record, once. */
  add(member: string, record: TrafficRecord, nowMs: number): void {
    const known = this.#members.get(member);
    if (known && record.sequence <= known.sequence) return;
    for (const series of known?.inFlight ?? []) series.setInFlight(member, 0);
    const busy: Series[] = [];
    let { omitted } = record;
    for (const [name, inFlight, tally] of record.series) {
      if (name[0] === "route") this.#addTotal(name[1], member, { tally, inFlight, nowMs, busy });
      const series = this.#of(name, nowMs);
      if (!series) {
        omitted++;
        continue;
      }
      series.add(tally, nowMs);
      series.setInFlight(member, inFlight);
      if (inFlight > 0) busy.push(series);
    }
    if (omitted > 0) [this.#omitted, this.#omittedAtMs] = [omitted, nowMs];
    this.#members.set(member, { sequence: record.sequence, inFlight: busy });
  }

  /** A member has gone, and with it the requests in flight that were reported to it. */
  remove(member: string): void {
    for (const series of this.#members.get(member)?.inFlight ?? []) series.setInFlight(member, 0);
    this.#members.delete(member);
  }

  members(): Iterable<string> {
    return this.#members.keys();
  }

  /** Series of a kind in a namespace. */
  *series(kind: SeriesName[0], namespace: string): Iterable<Series> {
    for (const series of this.#series.values()) {
      if (series.name[0] === kind && series.name[1] === namespace) yield series;
    }
  }

  /** Edges to the services of a namespace, from every namespace. */
  *edgesTo(namespace: string): Iterable<Series> {
    for (const series of this.#series.values()) {
      if (series.name[0] === "edge" && series.name[3] === namespace) yield series;
    }
  }

  total(namespace: string): Series {
    return this.#totals.get(namespace) ?? new Series(["route", namespace, ""]);
  }

  /** Series that a limit excluded within the last minute. */
  omitted(nowMs: number): number {
    return nowMs - this.#omittedAtMs < 60_000 ? this.#omitted : 0;
  }

  #addTotal(
    namespace: string,
    member: string,
    { tally, inFlight, nowMs, busy }: { tally: Tally; inFlight: number; nowMs: number; busy: Series[] },
  ): void {
    let total = this.#totals.get(namespace);
    if (!total) {
      if (this.#totals.size >= NAMESPACES_MAX) this.#drop(this.#totals, nowMs);
      if (this.#totals.size >= NAMESPACES_MAX) return;
      this.#totals.set(namespace, (total = new Series(["route", namespace, ""])));
    }
    const first = !busy.includes(total);
    total.add(tally, nowMs);
    if (inFlight === 0) return;
    total.setInFlight(member, inFlight + (first ? 0 : total.inFlightOf(member)));
    if (first) busy.push(total);
  }

  #of(name: SeriesName, nowMs: number): Series | undefined {
    const key = name.join("/");
    let found = this.#series.get(key);
    if (found) return found;
    const [kind] = name;
    if (this.#counts[kind] >= SERIES_MAX[kind]) this.#drop(this.#series, nowMs);
    if (this.#counts[kind] >= SERIES_MAX[kind]) return undefined;
    this.#series.set(key, (found = new Series(name)));
    this.#counts[kind]++;
    return found;
  }

  /** Forgets series without a request for an hour. */
  #drop(from: Map<string, Series>, nowMs: number): void {
    for (const [key, series] of from) {
      if (!series.isOver(nowMs)) continue;
      from.delete(key);
      if (from === this.#series) this.#counts[series.name[0]]--;
    }
  }
}
