/** What is counted of a gateway's processes, alike whether it is one or several. */
import type { CounterChild, Host } from "#base";

/** `serving`: how many processes serve now. What is returned counts those that ended by themselves. */
export function workerMetrics({ metrics }: Host, serving: () => number): CounterChild {
  metrics.gauge({
    name: "posthouse_gateway_workers",
    help: "Processes of the gateway that serve.",
    collect: (family) => family.labels().set(serving()),
  });
  return metrics
    .counter({
      name: "posthouse_gateway_worker_restarts_total",
      help: "Gateway workers that ended by themselves and were replaced.",
    })
    .labels();
}
