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
} from "prom-client";
import type { MetricOptions, Metrics, MetricValues } from "./metrics.ts";

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

/**
 * Metrics over a separate prom-client registry, so that two servers in one process do not mix. With `process`, also the usual process
 * metrics: CPU, memory, garbage collection and event loop.
 */
export function createMetrics(options: { process?: boolean } = {}): Metrics {
  const registry = new Registry();
  if (options.process) {
    collectDefaultMetrics({ register: registry });
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
