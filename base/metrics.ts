/**
 * Prometheus metrics, behind the few words that the rooms use. A child (one set of label values) is resolved once
 * and kept by whoever counts often, so that a hot path never looks a label up.
 */
import {
  AggregatorRegistry,
  collectDefaultMetrics,
  Counter,
  Gauge,
  Histogram,
  Registry,
  type MetricObjectWithValues,
  type MetricValue,
} from "prom-client";

export interface CounterChild {
  inc(by?: number): void;
}
export interface GaugeChild {
  set(value: number): void;
  inc(by?: number): void;
  dec(by?: number): void;
}
export interface HistogramChild {
  observe(value: number): void;
}

/** A metric with labels; `labels` returns the child of one set of values, in the order of `labelNames`. */
export interface Family<Child> {
  labels(...values: string[]): Child;
  /** Forgets one child, so that what is gone is not reported for ever. */
  remove(...values: string[]): void;
}

export interface MetricOptions {
  /** Prometheus name, with the unit last: `posthouse_gateway_requests_total`. */
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
}

/** Metric names are shared by a process: asking again for a known name returns the same metric. */
export interface Metrics {
  counter(options: MetricOptions): Family<CounterChild>;
  /** `across`: what several processes that are one come to; absent: the sum. */
  gauge(
    options: MetricOptions & { across?: "min" | "max"; collect?: (family: Family<GaugeChild>) => void },
  ): Family<GaugeChild>;
  histogram(options: MetricOptions & { buckets: readonly number[] }): Family<HistogramChild>;
  /** The exposition text of everything, and its content type. */
  expose(): Promise<{ contentType: string; text: string }>;
  /** The values of everything, to be sent to another process that exposes them with its own. */
  values(): Promise<MetricValues>;
  /** From now on `expose` tells of other processes, too: what `others` gives, and its own, as one. */
  join(others: () => Promise<readonly MetricValues[]>): void;
}

/** Plain data. */
export type MetricValues = readonly MetricObjectWithValues<MetricValue<string>>[];

/** Those of a process that has ended which go on counting: without them a sum would fall, and a rate see a restart. */
export function lastingValues(values: MetricValues): MetricValues {
  const lasting = new Set<string>(["counter", "histogram"]);
  return values.filter(({ type }) => lasting.has(String(type)));
}

/** The sum of what several processes say. */
export async function sumValues(values: readonly MetricValues[]): Promise<MetricValues> {
  return AggregatorRegistry.aggregate(mutable(values)).getMetricsAsJSON();
}

/** What cannot be summed, such as when a process began, is that of the process which is asked. */
function own(values: MetricValues): MetricValues {
  return values.map((metric) => (metric.aggregator === "omit" ? { ...metric, aggregator: "first" } : metric));
}

/** The library reads what its types would let it write. */
function mutable(values: readonly MetricValues[]): MetricObjectWithValues<MetricValue<string>>[][] {
  return values.map((one) => [...one]);
}

/** Seconds, from a tenth of a millisecond to ten seconds: control-plane and proxy calls alike. */
export const LATENCY_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * Metrics over one prom-client registry of their own, so that two servers in one process do not mix. With `process`, also
 * what Prometheus expects of any process: CPU, memory, garbage collection and event loop.
 */
export function createMetrics(options: { process?: boolean } = {}): Metrics {
  const registry = new Registry();
  if (options.process) collectDefaultMetrics({ register: registry });
  const known = new Map<string, unknown>();
  let others: (() => Promise<readonly MetricValues[]>) | undefined;
  const once = <T>(name: string, make: () => T): T => {
    const found = known.get(name);
    if (found !== undefined) return found as T;
    const made = make();
    known.set(name, made);
    return made;
  };
  const base = (options: MetricOptions) => ({
    name: options.name,
    help: options.help,
    labelNames: [...(options.labelNames ?? [])],
    registers: [registry],
  });
  return {
    counter: (options) => once(options.name, () => new Counter(base(options))),
    gauge: (options) =>
      once(options.name, () => {
        const { collect, across = "sum" } = options;
        const gauge: Gauge = new Gauge({
          ...base(options),
          aggregator: across,
          ...(collect ? { collect: () => collect(gauge) } : {}),
        });
        return gauge;
      }),
    histogram: (options) =>
      once(options.name, () => new Histogram({ ...base(options), buckets: [...options.buckets] })),
    async expose() {
      const all = others ? await others() : [];
      const text =
        all.length === 0
          ? await registry.metrics()
          : await AggregatorRegistry.aggregate(mutable([own(await registry.getMetricsAsJSON()), ...all])).metrics();
      return { contentType: registry.contentType, text };
    },
    values: () => registry.getMetricsAsJSON(),
    join: (given) => void (others = given),
  };
}
