/** The endpoints of one service as calls see them: each change of its instances makes the next set. */
import type { Host } from "#base";
import {
  isSilent,
  nextEndpoints,
  NO_ENDPOINTS,
  probeMs,
  noteReached,
  RetryBudget,
  type CatalogInstance,
  type Endpoint,
  type EndpointSet,
} from "#gateway/balancing";
import type { WatchedService } from "../discovery/service-catalog.ts";
import type { CallRules } from "./call-options.ts";
import { canConnect } from "./can-connect.ts";

/** The protocols that `fetch` speaks. */
const HTTP = new Set(["http", "https"]);

export interface TargetOptions {
  readonly watched: WatchedService;
  readonly rules: CallRules;
  /** Whether only instances with TLS are used. */
  readonly secure: boolean;
  /** The zone of this process. */
  readonly zone: string | undefined;
}

export class ServiceTarget {
  readonly watched: WatchedService;
  readonly rules: CallRules;
  readonly budget = new RetryBudget();
  /** Keys of endpoints that have answered, so that a connection to them may be an old one. */
  readonly answered = new WeakSet<Endpoint["load"]>();
  readonly #host: Host;
  readonly #options: TargetOptions;
  #set: EndpointSet = NO_ENDPOINTS;

  constructor(host: Host, options: TargetOptions) {
    this.#host = host;
    this.#options = options;
    this.watched = options.watched;
    this.rules = options.rules;
    if (this.watched.instances) this.#replace(this.watched.instances);
    this.watched.onChange((instances) => this.#replace(instances));
  }

  get endpoints(): EndpointSet {
    return this.#set;
  }

  #replace(instances: readonly CatalogInstance[]): void {
    const { rules, secure, zone } = this.#options;
    const nowMs = this.#host.clock.monotonic();
    const usable = instances.map((one) => usableBy(one, rules.cluster.port, secure));
    this.#set = nextEndpoints(this.#set, rules.cluster, usable, { nowMs, zone });
  }

  /** Tests a silent endpoint until it accepts a connection, is gone, or the signal aborts. It receives no request meanwhile. */
  async probe({ load, hostname, port }: Endpoint, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#host;
    while (isSilent(load) && !signal.aborted) {
      await clock
        .sleep(
          probeMs(load, () => random.float()),
          signal,
        )
        .catch(() => {});
      if (signal.aborted || !this.#set.endpoints.some((one) => one.load === load)) return;
      if (await canConnect(this.#host, { hostname, port }, signal)) noteReached(load);
      else load.failures += 1;
    }
  }
}

/** The instance, or without a protocol when this client cannot use it, so that it is counted among those left out. */
function usableBy(instance: CatalogInstance, name: string | undefined, secure: boolean): CatalogInstance {
  const fits = (protocol: string) => HTTP.has(protocol) && (!secure || protocol === "https");
  const at = name === undefined ? instance : instance.ports.find((port) => port.name === name);
  if (at === undefined || fits(at.protocol)) return instance;
  return { ...instance, protocol: "", ports: [] };
}
