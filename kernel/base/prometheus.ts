/** Metrics over prom-client, for a process that exposes them; and how the values of several such processes combine. */
import {
  AggregatorRegistry,
  collectDefaultMetrics,
  Counter,
  Gauge,
  Histogram,
  Registry,
  type MetricObjectWithValues,
  type MetricValue,
  type RegistryContentType,
} from "prom-client";
import type { ExpositionFormat, MetricOptions, Metrics, MetricValues } from "./metrics.ts";

/** The library's own shape of what `MetricValues` carries. */
type LibraryValues = MetricObjectWithValues<MetricValue<string>>;

/** The values of an ended process that still count. Without them a sum would fall, and a rate would see a restart. */
export function lastingValues(values: MetricValues): MetricValues {
  const lasting = new Set<string>(["counter", "histogram"]);
  return values.filter(({ type }) => lasting.has(String(type)));
}

/** The values of several processes combined. */
export async function sumValues(values: readonly MetricValues[]): Promise<MetricValues> {
  return AggregatorRegistry.aggregate(mutable(values)).getMetricsAsJSON();
}

/** Values that cannot be summed, such as a process's start time, come from the process that exposes them. */
function own(values: readonly LibraryValues[]): MetricValues {
  return values.map((metric) => (metric.aggregator === "omit" ? { ...metric, aggregator: "first" } : metric));
}

/**
 * In OpenMetrics the family of a counter has no suffix, and the library adds `_total` to its samples.
 * @see OpenMetrics 1.0.0, "Counter"
 */
function withFamilyNames(values: MetricValues): MetricValues {
  return values.map((metric) =>
    String(metric.type) === "counter" ? { ...metric, name: metric.name.replace(/_total$/, "") } : metric,
  );
}

/** A collected gauge has only the values of this collection: a label of something that is gone would keep its last value. */
function collectAfresh(gauge: Gauge, collect: (family: Gauge) => void): void {
  gauge.reset();
  collect(gauge);
}

/** The library only reads the value, although its types allow writing. */
function mutable(values: readonly MetricValues[]): LibraryValues[][] {
  return values.map((one) => [...one] as LibraryValues[]);
}

/** The part of `nodejs_external_memory_bytes` that is in buffers, which the library leaves out. */
function arrayBuffersGauge(registry: Registry): void {
  const gauge: Gauge = new Gauge({
    name: "nodejs_array_buffers_bytes",
    help: "Node.js memory of ArrayBuffers and Buffers in bytes.",
    registers: [registry],
    collect: () => gauge.set(process.memoryUsage().arrayBuffers),
  });
}

/** Gauges of the library that promtool rejects, because `_total` is for counters. Those by type say the same. */
const MISNAMED_GAUGES = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
] as const;

const CONTENT_TYPES = {
  text: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
} as const satisfies Record<ExpositionFormat, string>;

/**
 * Metrics over a separate prom-client registry, so that two servers in one process do not mix. With `process`, also the usual process
 * metrics: CPU, memory, garbage collection and event loop.
 */
export function createMetrics(options: { process?: boolean } = {}): Metrics {
  const registry = new Registry();
  if (options.process) {
    collectDefaultMetrics({ register: registry });
    for (const name of MISNAMED_GAUGES) registry.removeSingleMetric(name);
    arrayBuffersGauge(registry);
  }
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
          ...(collect ? { collect: () => collectAfresh(gauge, collect) } : {}),
        });
        return gauge;
      }),
    histogram: (options) =>
      once(options.name, () => new Histogram({ ...base(options), buckets: [...options.buckets] })),
    async expose(format = "text") {
      const contentType = CONTENT_TYPES[format];
      const all = others ? await others() : [];
      if (all.length === 0 && format === "text") return { contentType, text: await registry.metrics() };
      const named = format === "openmetrics" ? withFamilyNames : (values: MetricValues) => values;
      const values = mutable([own(await registry.getMetricsAsJSON()), ...all].map(named));
      const combined: Registry<RegistryContentType> = AggregatorRegistry.aggregate(values);
      combined.setContentType(contentType);
      return { contentType, text: await combined.metrics() };
    },
    values: () => registry.getMetricsAsJSON(),
    join: (given) => void (others = given),
  };
}
