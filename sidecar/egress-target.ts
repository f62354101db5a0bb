/** The ingresses of one upstream service, chosen as the gateway chooses endpoints: P2C, zones, ejection of failing ones. */
import type { Host } from "#base";
import {
  ClusterTable,
  isSilent,
  nextEndpoints,
  NO_ENDPOINTS,
  noteOutcome,
  noteReached,
  noteRefused,
  noteSilent,
  pick,
  probeMs,
  type CatalogInstance,
  type CompiledCluster,
  type Endpoint,
  type EndpointSet,
} from "#gateway/balancing";

/** Connections of one egress to one ingress at once; further ones go to another ingress. */
const IN_FLIGHT_MAX = 4_096;

export interface UpstreamName {
  readonly namespace: string;
  readonly service: string;
}

export class EgressTarget {
  readonly name: UpstreamName;
  readonly #host: Host;
  readonly #zone: string | undefined;
  readonly #cluster: CompiledCluster;
  /** Whether an ingress accepts a connection now, for one that let a connection hang. */
  readonly #canReach: (endpoint: Endpoint) => Promise<boolean>;
  readonly #closing = new AbortController();
  #set: EndpointSet = NO_ENDPOINTS;
  #known = false;
  #withoutIngress = 0;

  constructor(
    host: Host,
    name: UpstreamName,
    { zone, canReach }: { zone: string | undefined; canReach: (endpoint: Endpoint) => Promise<boolean> },
  ) {
    this.name = name;
    this.#host = host;
    this.#zone = zone;
    this.#canReach = canReach;
    const cluster = { name: name.service, ...name, inFlightMax: IN_FLIGHT_MAX };
    this.#cluster = new ClusterTable({ routes: [], clusters: [cluster] }, name.namespace, 1).of({
      cluster: name.service,
    });
  }

  get size(): number {
    return this.#set.endpoints.length;
  }

  replace(instances: readonly CatalogInstance[]): void {
    this.#known = true;
    this.#withoutIngress = instances.filter(({ ingress }) => ingress === undefined).length;
    const { clock } = this.#host;
    const options = { nowMs: clock.monotonic(), zone: this.#zone };
    this.#set = nextEndpoints(this.#set, this.#cluster, instances.map(atIngress), options);
  }

  pick(excluded: readonly Endpoint[]): Endpoint | undefined {
    const { clock, random } = this.#host;
    const { inFlightMax, panicPercent } = this.#cluster;
    const options = { nowMs: clock.monotonic(), inFlightMax, panicPercent, excluded };
    return pick(this.#set, () => random.float(), options);
  }

  /** The reason why an endpoint is missing, for people. */
  get absence(): string {
    const { namespace, service } = this.name;
    if (!this.#known) return `the instances of ${namespace}/${service} are not known yet`;
    const missing = this.#withoutIngress;
    const plain =
      missing === 0
        ? ""
        : `; ${missing} without an ingress, to which nothing is sent unencrypted: give the service \`sidecar: { ingress: {} }\` in its definition`;
    return `${namespace}/${service} has no healthy instance with an ingress (${this.#set.absence ?? "all were tried"}${plain})`;
  }

  /** A connection has been admitted. */
  reached(endpoint: Endpoint): void {
    noteReached(endpoint.load);
    this.#outcome(endpoint, 200);
  }

  failed(endpoint: Endpoint, isSilentFailure: boolean): void {
    const { load } = endpoint;
    if (isSilentFailure) {
      noteSilent(load);
      void this.#probe(endpoint);
    } else noteRefused(load, this.#host.clock.monotonic());
    this.#outcome(endpoint, 0);
  }

  #outcome({ load }: Endpoint, status: number): void {
    const { outlier: policy } = this.#cluster;
    noteOutcome(load, status, { set: this.#set, policy, nowMs: this.#host.clock.monotonic() });
  }

  /** Tests a silent endpoint until it accepts a connection or is gone. It receives nothing meanwhile. */
  async #probe(endpoint: Endpoint): Promise<void> {
    const { load } = endpoint;
    const { signal } = this.#closing;
    const { clock, random } = this.#host;
    while (isSilent(load) && !signal.aborted) {
      const pauseMs = probeMs(load, () => random.float());
      await clock.sleep(pauseMs, signal).catch(() => {});
      if (signal.aborted || !this.#set.endpoints.some((one) => one.load === load)) return;
      if (await this.#canReach(endpoint)) noteReached(load);
      else load.failures += 1;
    }
  }

  close(): void {
    this.#closing.abort(new Error("closed"));
  }
}

/** The instance as the balancing core knows it, at its ingress. Without one it has no usable port. */
function atIngress(instance: CatalogInstance): CatalogInstance {
  const { ingress } = instance;
  if (ingress === undefined) return { ...instance, protocol: "", ports: [] };
  return { ...instance, port: ingress.port, protocol: "https", ports: [] };
}
