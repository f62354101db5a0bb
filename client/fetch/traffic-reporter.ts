/**
 * Reports the calls of this process to the control plane, every two seconds in which there were any. A report that fails is dropped:
 * traffic is shown, not charged. A token that may not report ends the reports.
 */
import { AppError, messageOf, TaskGroup, type Host } from "#base";
import { TRAFFIC_EDGES_MAX, TRAFFIC_REPORT_MS } from "#traffic/api";
import type { Client } from "../client.ts";
import { countCall, edgeTraffic, newEdge, type EdgeCounts } from "../core/edge-counts.ts";
import type { WatchedService } from "../discovery/service-catalog.ts";

const FORBIDDEN = 403;
const NOT_FOUND = 404;

export interface TrafficReporterOptions {
  readonly client: Pick<Client, "traffic">;
  readonly namespace: string;
  /** The service that this process is. */
  readonly from: string;
  /** Name of the process. */
  readonly reporter: string;
}

export class TrafficReporter implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: TrafficReporterOptions;
  readonly #tasks: TaskGroup;
  #edges = new Map<string, EdgeCounts>();
  #started = false;
  #isRefused = false;

  constructor(host: Host, options: TrafficReporterOptions) {
    this.#host = host;
    this.#options = options;
    this.#tasks = new TaskGroup(host.log);
  }

  /** One call has ended. `status` 0: without an answer. */
  count({ key, service, namespace }: WatchedService, instance: string, status: number, latencyMs: number): void {
    if (this.#isRefused) return;
    const id = `${key}/${instance}`;
    let edge = this.#edges.get(id);
    if (!edge) {
      if (this.#edges.size >= TRAFFIC_EDGES_MAX) return;
      this.#edges.set(id, (edge = newEdge({ to: service, toNamespace: namespace, instance })));
      this.#start();
    }
    countCall(edge, status, latencyMs);
  }

  #start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#tasks.run("reports of traffic", async (signal) => {
      while (!signal.aborted && !this.#isRefused) {
        await this.#host.clock.sleep(TRAFFIC_REPORT_MS, signal).catch(() => {});
        if (!signal.aborted) await this.#report(signal);
      }
    });
  }

  async #report(signal: AbortSignal): Promise<void> {
    if (this.#edges.size === 0) return;
    const { client, namespace, from, reporter } = this.#options;
    const edges = [...this.#edges.values()].map((edge) => edgeTraffic(from, edge));
    this.#edges = new Map();
    try {
      await client.traffic.report(namespace, { reporter, edges }, { signal });
    } catch (error) {
      this.#host.log.debug({ err: error }, `traffic was not reported: ${messageOf(error)}`);
      // An older server, or a token that may not report for this service, such as a reader's.
      if (error instanceof AppError && (error.status === FORBIDDEN || error.status === NOT_FOUND)) {
        this.#isRefused = true;
        this.#edges = new Map();
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}
