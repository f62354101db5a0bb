/** Metrics of a gateway's processes, the same for one process and for several. */
import type { CounterChild, Host } from "#base";

/** `serving`: the number of processes that serve now. Returns the counter of workers that ended unexpectedly. */
export function workerMetrics({ metrics }: Host, serving: () => number): CounterChild {
  metrics.gauge({
    name: "posthouse_gateway_workers",
    help: "Gateway processes that serve requests.",
    collect: (family) => family.labels().set(serving()),
  });
  return metrics
    .counter({
      name: "posthouse_gateway_worker_restarts_total",
      help: "Gateway workers that ended unexpectedly and were replaced.",
    })
    .labels();
}
