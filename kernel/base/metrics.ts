/**
 * The part of metrics that the modules use. `prometheus.ts` implements the ones that are exposed. A child (one set of label values) is
 * resolved once and kept, so that a hot path never looks up a label.
 */
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
  /** Removes one child, so that it is no longer reported. */
  remove(...values: string[]): void;
}

export interface MetricOptions {
  /** Prometheus name, with the unit last: `posthouse_gateway_requests_total`. */
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
}

/** `text`: Prometheus 0.0.4, for every reader. `openmetrics`: OpenMetrics 1.0.0, which ends with `# EOF`. */
export type ExpositionFormat = "text" | "openmetrics";

/** Metric names are shared by a process: asking again for a known name returns the same metric. */
export interface Metrics {
  counter(options: MetricOptions): Family<CounterChild>;
  /**
   * `across`: how the values of several processes of one server combine. Absent: by their sum. `collect` sets all values
   * when they are read, and labels that it does not set disappear.
   */
  gauge(
    options: MetricOptions & { across?: "min" | "max"; collect?: (family: Family<GaugeChild>) => void },
  ): Family<GaugeChild>;
  histogram(options: MetricOptions & { buckets: readonly number[] }): Family<HistogramChild>;
  /** The exposition text of everything, and its content type. Absent: `text`. */
  expose(format?: ExpositionFormat): Promise<{ contentType: string; text: string }>;
  /** All values, for another process that exposes them together with its own. */
  values(): Promise<MetricValues>;
  /** From now on `expose` combines the values of other processes with its own. */
  join(others: () => Promise<readonly MetricValues[]>): void;
}

/** One metric with its values, as plain data that can be sent to another process. */
export interface MetricValuesOfOne {
  readonly name: string;
  readonly help: string;
  /** `counter`, `gauge` or `histogram`. */
  readonly type: unknown;
}
export type MetricValues = readonly MetricValuesOfOne[];

/** Seconds, from a tenth of a millisecond to ten seconds: control-plane and proxy calls alike. */
export const LATENCY_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** For a library or a command in a process that exposes no metrics: counting costs nothing and keeps nothing. */
export function silentMetrics(): Metrics {
  const nothing = (): void => {};
  const child = { inc: nothing, dec: nothing, set: nothing, observe: nothing };
  const family = { labels: () => child, remove: nothing };
  return {
    counter: () => family,
    gauge: () => family,
    histogram: () => family,
    expose: async () => ({ contentType: "text/plain", text: "" }),
    values: async () => [],
    join: nothing,
  };
}
