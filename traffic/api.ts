/**
 * The wire contract of traffic: what gateways and clients report, and what the control plane shows of it. Counts are those
 * of the time since the previous report, so that reports of several processes are added.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

/** Upper bounds of the latency buckets in milliseconds. A last bucket, without a bound, follows. */
export const TRAFFIC_BUCKETS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000] as const;
/** Milliseconds between two reports of one process: fast enough to watch, slow enough to cost nothing. */
export const TRAFFIC_REPORT_MS = 2_000;
/** Routes and edges of one report. A reporter sends the busiest ones, and the rest with its next report. */
export const TRAFFIC_ROUTES_MAX = 500;
export const TRAFFIC_EDGES_MAX = 1_000;
/** Minutes that members remember. */
export const TRAFFIC_MINUTES_MAX = 60;
/** Seconds of one point of a series. */
export const TRAFFIC_POINT_SECONDS = 10;

const NAME = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const Name = Type.String({ pattern: NAME, description: "A DNS label." });
const Count = Type.Integer({ minimum: 0, maximum: 1_000_000_000 });

/** Requests handled since the last report. Absent numbers are 0. */
const counts = {
  requests: Type.Optional(Type.Unsafe<number>({ ...Count, description: "Requests that ended." })),
  clientErrors: Type.Optional(Type.Unsafe<number>({ ...Count, description: "Of these, answered with a status 4xx." })),
  errors: Type.Optional(
    Type.Unsafe<number>({ ...Count, description: "Of these, answered with a status 5xx, or not answered at all." }),
  ),
  refused: Type.Optional(
    Type.Unsafe<number>({
      ...Count,
      description:
        "Of these, rejected by the reporter itself, whatever the status: they are counted in one of the others, too.",
    }),
  ),
  latencyMs: Type.Optional(
    Type.Number({ minimum: 0, maximum: 1e15, description: "Sum of the latencies, in milliseconds." }),
  ),
  buckets: Type.Optional(
    Type.Array(Count, {
      maxItems: TRAFFIC_BUCKETS_MS.length + 1,
      description: `Requests by latency, up to ${TRAFFIC_BUCKETS_MS.join(", ")} ms, and above. Zeros at the end may be omitted.`,
    }),
  ),
  inFlight: Type.Optional(
    Type.Unsafe<number>({ ...Count, description: "Requests that have not ended, at this moment." }),
  ),
};
export const TrafficCounts = Type.Object(counts, { additionalProperties: false });
export type TrafficCounts = Static<typeof TrafficCounts>;

export const RouteTraffic = Type.Object(
  { route: Type.String({ minLength: 1, maxLength: 256 }), ...counts },
  { additionalProperties: false },
);
export type RouteTraffic = Static<typeof RouteTraffic>;

export const EdgeTraffic = Type.Object(
  {
    from: Type.Optional(
      Type.Unsafe<string>({
        ...Name,
        description:
          "The calling service, of which the caller may register instances. Absent: the gateway itself, which needs traffic:gateway.",
      }),
    ),
    to: Type.Unsafe<string>({ ...Name, description: "The called service." }),
    toNamespace: Type.Optional(Type.Unsafe<string>({ ...Name, description: "Absent: the report's namespace." })),
    instance: Type.Optional(
      Type.String({ minLength: 1, maxLength: 128, description: "The instance that was called." }),
    ),
    ...counts,
  },
  { additionalProperties: false },
);
export type EdgeTraffic = Static<typeof EdgeTraffic>;

export const TrafficReport = Type.Object(
  {
    reporter: Type.String({
      pattern: "^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$",
      description: "Name of the reporting process. Two processes must not share one.",
    }),
    routes: Type.Optional(
      Type.Array(RouteTraffic, { maxItems: TRAFFIC_ROUTES_MAX, description: "For gateways only." }),
    ),
    edges: Type.Optional(Type.Array(EdgeTraffic, { maxItems: TRAFFIC_EDGES_MAX })),
  },
  { additionalProperties: false },
);
export type TrafficReport = Static<typeof TrafficReport>;

const Latency = (description: string) => Type.Union([Type.Number(), Type.Null()], { description });
const rate = {
  rps: Type.Number({ description: "Requests per second." }),
  errors: Type.Number({ description: "Answers 5xx and failures per second." }),
  clientErrors: Type.Number({ description: "Answers 4xx per second." }),
  refused: Type.Number({ description: "Requests per second that the gateway rejected itself." }),
  mean: Latency("Mean latency in milliseconds; null without requests."),
  p50: Latency("Median latency in milliseconds; null without requests."),
  p99: Latency("99th percentile of the latency in milliseconds; null without requests."),
};
export const TrafficRate = Type.Object({ ...rate, inFlight: Type.Integer({ description: "Requests in flight." }) });
export type TrafficRate = Static<typeof TrafficRate>;

/** Arrays of equal length, oldest point first. Each point covers `pointSeconds`; the first begins at `from`. */
export const TrafficSeries = Type.Object({
  rps: Type.Array(Type.Number()),
  errors: Type.Array(Type.Number()),
  p50: Type.Array(Latency("")),
  p99: Type.Array(Latency("")),
});
export type TrafficSeries = Static<typeof TrafficSeries>;

export const TrafficEdge = Type.Object({
  fromKind: Type.Union([Type.Literal("gateway"), Type.Literal("service")]),
  from: Type.String({ description: 'The calling service; "gateway" for the gateways.' }),
  to: Type.String({ description: "The called service." }),
  toNamespace: Type.String(),
  ...rate,
  now: TrafficRate,
  instances: Type.Optional(
    Type.Array(Type.Object({ instance: Type.String(), ...rate, now: TrafficRate }), {
      description: "By called instance, when `service` is given.",
    }),
  ),
});
export type TrafficEdge = Static<typeof TrafficEdge>;

export const TrafficView = Type.Object({
  namespace: Type.String(),
  from: Type.String({ format: "date-time", description: "When the first point of every series begins." }),
  to: Type.String({ format: "date-time", description: "When the last point ends. The running point is not included." }),
  pointSeconds: Type.Integer(),
  knownSince: Type.String({
    format: "date-time",
    description:
      "When this member began to follow traffic. Points before this are 0, because members keep them in memory.",
  }),
  totals: Type.Object({ now: TrafficRate, series: TrafficSeries }, { description: "Over all routes." }),
  routes: Type.Array(Type.Object({ route: Type.String(), now: TrafficRate, series: TrafficSeries }), {
    description: "The busiest first.",
  }),
  edges: Type.Array(TrafficEdge, {
    description: "Rates over the whole window, the busiest first. `now`: the last 10 s.",
  }),
  omitted: Type.Optional(
    Type.Integer({
      description: "Routes, edges and instances that exceeded a limit and are counted in the totals only.",
    }),
  ),
});
export type TrafficView = Static<typeof TrafficView>;

export const TrafficErrors = defineErrors("TRAFFIC", {
  NOT_OWN: { status: 403, title: "Traffic of another" },
});
