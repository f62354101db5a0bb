/** A namespace's traffic as the API shows it. Pure. */
import {
  TRAFFIC_MINUTES_MAX,
  TRAFFIC_POINT_SECONDS,
  type TrafficEdge,
  type TrafficRate,
  type TrafficSeries,
  type TrafficView,
} from "../api.ts";
import { RECENT_SECONDS, type Series, type TrafficBook } from "./book.ts";
import { quantileOf, rateOf, requestsOf } from "./counts.ts";
import { FROM_GATEWAY } from "./pending.ts";

/** How the edges of gateways name their beginning. */
const GATEWAY = "gateway";

export interface TrafficQuery {
  readonly namespace: string;
  readonly minutes: number;
  /** Only this route. */
  readonly route?: string | undefined;
  /** Only edges from or to this service, with the called instances. */
  readonly service?: string | undefined;
}

export function trafficView(
  book: TrafficBook,
  { namespace, minutes, route, service }: TrafficQuery,
  { nowMs, sinceMs }: { nowMs: number; sinceMs: number },
): TrafficView {
  const toMs = Math.floor(nowMs / POINT_MS) * POINT_MS;
  const count = (minutes * 60) / TRAFFIC_POINT_SECONDS;
  const shown = (series: Series) => ({ now: nowOf(series, nowMs), series: seriesOf(series, count, nowMs) });
  const omitted = book.omitted(nowMs);
  return {
    namespace,
    from: new Date(toMs - count * POINT_MS).toISOString(),
    to: new Date(toMs).toISOString(),
    pointSeconds: TRAFFIC_POINT_SECONDS,
    knownSince: new Date(sinceMs).toISOString(),
    totals: shown(book.total(namespace)),
    routes: [...book.series("route", namespace)]
      .flatMap((series) => {
        const name = series.name[2];
        return route === undefined || name === route ? [{ route: name, ...shown(series) }] : [];
      })
      .filter(({ now, series }) => now.inFlight > 0 || now.rps > 0 || series.rps.some((rps) => rps > 0))
      .sort((a, b) => b.now.rps - a.now.rps || sum(b.series.rps) - sum(a.series.rps)),
    edges: edgesOf(book, { namespace, minutes, service }, nowMs),
    ...(omitted === 0 ? {} : { omitted }),
  };
}

/** A call to a service. Absent caller: a gateway. */
export interface CallTo {
  readonly caller?: { readonly namespace: string; readonly name: string };
  readonly to: string;
  readonly requests: number;
}

/** Calls of the last hour to the services of a namespace, also from other namespaces. */
export function callsTo(book: TrafficBook, namespace: string, nowMs: number): CallTo[] {
  const gateways = new Map<string, number>();
  const calls: CallTo[] = [];
  for (const series of book.edgesTo(namespace)) {
    const [, within, from, , to] = series.name as readonly [string, string, string, string, string];
    const requests = requestsOf(series.sum(TRAFFIC_MINUTES_MAX, nowMs));
    if (requests === 0 && series.inFlight === 0) continue;
    // The gateways of all namespaces are one caller.
    if (from === FROM_GATEWAY) gateways.set(to, (gateways.get(to) ?? 0) + requests);
    else calls.push({ caller: { namespace: within, name: from }, to, requests });
  }
  return [...[...gateways].map(([to, requests]) => ({ to, requests })), ...calls];
}

const POINT_MS = TRAFFIC_POINT_SECONDS * 1000;

function edgesOf(
  book: TrafficBook,
  { namespace, minutes, service }: Pick<TrafficQuery, "namespace" | "minutes" | "service">,
  nowMs: number,
): TrafficEdge[] {
  const rated = (series: Series) => ({
    ...rateOf(series.sum(minutes, nowMs), minutes * 60),
    now: nowOf(series, nowMs),
  });
  const instances = new Map<string, Series[]>();
  if (service !== undefined) {
    for (const series of book.series("instance", namespace)) {
      const edge = series.name.slice(2, 5).join("/");
      instances.set(edge, [...(instances.get(edge) ?? []), series]);
    }
  }
  return [...book.series("edge", namespace)]
    .flatMap((series): TrafficEdge[] => {
      const [, , from, toNamespace, to] = series.name as readonly [string, string, string, string, string];
      if (service !== undefined && from !== service && to !== service) return [];
      const called = instances.get([from, toNamespace, to].join("/"));
      const fromKind = from === FROM_GATEWAY ? "gateway" : "service";
      return [
        {
          fromKind,
          from: fromKind === "gateway" ? GATEWAY : from,
          to,
          toNamespace,
          ...rated(series),
          ...(called ? { instances: called.map((one) => ({ instance: one.name[5] ?? "", ...rated(one) })) } : {}),
        },
      ];
    })
    .filter(({ rps, now }) => rps > 0 || now.inFlight > 0)
    .sort((a, b) => b.rps - a.rps);
}

function nowOf(series: Series, nowMs: number): TrafficRate {
  return { ...rateOf(series.recent(nowMs), RECENT_SECONDS), inFlight: series.inFlight };
}

function seriesOf(series: Series, count: number, nowMs: number): TrafficSeries {
  const points = series.points(count, nowMs);
  const rates = points.map((point) => rateOf(point, TRAFFIC_POINT_SECONDS));
  return {
    rps: rates.map(({ rps }) => rps),
    errors: rates.map(({ errors }) => errors),
    p50: points.map((point) => quantileOf(point, 0.5)),
    p99: points.map((point) => quantileOf(point, 0.99)),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
