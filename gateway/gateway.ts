/**
 * The data plane as a whole: it holds the snapshot in force, builds the next from the two sources and swaps one
 * pointer; opens the listeners, and stops them without dropping what is in flight.
 */
import type { Host } from "#base";
import type { ConfigProblem, GatewayConfig } from "./api.ts";
import { endpointKey, KEEP_ALIVE_METADATA, nextEndpoints, NO_ENDPOINTS, type EndpointSet } from "./core/endpoints.ts";
import type { GatewaySnapshot } from "./core/pipeline.ts";
import { RateLimiter } from "./core/rate-limit.ts";
import { compileTable, type CompiledCluster, type RouteTable } from "./core/table.ts";
import { TokenVerifier } from "./filters/jwt.ts";
import { GeneralLane } from "./lanes/general.ts";
import { GatewayMetrics } from "./lanes/telemetry.ts";
import type { Gateway, GatewayClient, GatewayPorts, GatewaySettings, GatewayStatus, TlsIdentity } from "./settings.ts";
import { ConfigSource, readConfig } from "./sources/config.ts";
import { LastGoodFile, readLastGood, type LastGood } from "./sources/last-good.ts";
import { RegistrySource } from "./sources/registry.ts";
import { UpstreamCaller } from "./upstream/call.ts";
import { UpstreamPools } from "./upstream/pools.ts";

/** Milliseconds between two looks whether all requests have ended. */
const DRAIN_LOOK_MS = 10;

/** Begins to learn routes and endpoints at once; serves once `listen` was called. */
export function createGateway(host: Host, given: { client: GatewayClient; settings: GatewaySettings }): Gateway {
  return new RunningGateway(host, given.client, given.settings);
}

interface Release {
  readonly key: string;
  readonly text: string;
}

interface NextTable {
  readonly table: RouteTable;
  readonly release: Release;
  readonly source: "file" | "control-plane";
}

class RunningGateway implements Gateway {
  readonly #host: Host;
  readonly #settings: GatewaySettings;
  readonly #metrics: GatewayMetrics;
  readonly #tokens: TokenVerifier;
  readonly #pools: UpstreamPools;
  readonly #caller: UpstreamCaller;
  readonly #registry: RegistrySource;
  readonly #config: ConfigSource;
  readonly #lastGood: LastGoodFile | undefined;
  readonly #inFlight = { count: 0 };
  readonly #readiness = Promise.withResolvers<void>();
  readonly #starting: Promise<void>;
  #http: GeneralLane;
  #https: GeneralLane | undefined;
  #snapshot: GatewaySnapshot;
  #release: Release | undefined;
  /** Checked and compiled, waiting for its endpoints. */
  #next: NextTable | undefined;
  #problems: readonly ConfigProblem[] = [];
  #source: GatewayStatus["source"] = "none";
  #ready = false;
  #stopping: Promise<void> | undefined;

  constructor(host: Host, client: GatewayClient, settings: GatewaySettings) {
    const log = host.log.child({ role: "gateway" });
    this.#host = { ...host, log };
    this.#settings = settings;
    this.#tokens = new TokenVerifier(this.#host);
    this.#pools = new UpstreamPools(this.#host);
    this.#metrics = new GatewayMetrics(host, () => this.#pools.counts);
    this.#caller = new UpstreamCaller(this.#host, this.#pools, (choice) => this.#metrics.retry(choice));
    this.#registry = new RegistrySource(this.#host, client.registry, (namespace, services) =>
      this.#endpointsChanged(namespace, services),
    );
    this.#config = new ConfigSource(this.#host, client.config, settings.namespace, {
      apply: (config, release) => this.#apply(config, release, "control-plane"),
      refused: (problems, { key }) => this.#refused(problems, key),
    });
    this.#lastGood =
      settings.dataFile === undefined
        ? undefined
        : new LastGoodFile(this.#host, settings.dataFile, () => this.#lastGoodState());
    this.#snapshot = {
      table: compileTable({}, settings),
      endpoints: new Map(),
      tokens: this.#tokens,
      limiter: new RateLimiter(),
    };
    const parts = {
      host: this.#host,
      settings,
      metrics: this.#metrics,
      tokens: this.#tokens,
      caller: this.#caller,
      snapshot: () => this.#snapshot,
      stopping: () => this.#stopping !== undefined,
      inFlight: this.#inFlight,
    };
    this.#http = new GeneralLane(parts, undefined);
    this.#https = settings.tls && new GeneralLane(parts, settings.tls);
    this.#starting = this.#start();
  }

  /** The file first, for it is at hand; then the control plane, which knows better. */
  async #start(): Promise<void> {
    const { dataFile } = this.#settings;
    const state = dataFile === undefined ? undefined : await readLastGood(this.#host, dataFile);
    if (state) await this.#restore(state);
    if (!this.#stopping) this.#config.start();
  }

  async #restore(state: LastGood): Promise<void> {
    // The same reading and checking as of a release: a file may be older than this program.
    const read = await readConfig(state.config);
    if (!read.config) return this.#refused(read.problems, state.releaseKey);
    this.#apply(read.config, { key: state.releaseKey, text: state.config }, "file");
    for (const [namespace, instances] of Object.entries(state.instances)) this.#registry.restore(namespace, instances);
    this.#host.log.info({ release: state.releaseKey }, "serving the last good state until the control plane is heard");
  }

  async listen(): Promise<GatewayPorts> {
    const { host, port, tlsPort } = this.#settings;
    const httpPort = await this.#http.listen(host, port);
    if (!this.#https) return { httpPort };
    try {
      return { httpPort, httpsPort: await this.#https.listen(host, tlsPort) };
    } catch (error) {
      await this.#http.close();
      throw error;
    }
  }

  async ready(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    try {
      await Promise.race([this.#readiness.promise, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  status(): GatewayStatus {
    const { table, endpoints } = this.#snapshot;
    return {
      ready: this.#ready && this.#stopping === undefined,
      source: this.#source,
      releaseKey: this.#release?.key,
      routes: table.routes.length,
      clusters: [...table.clusters.values()].map(({ key, service }) => ({
        name: key,
        service,
        endpoints: endpoints.get(key)?.endpoints.length ?? 0,
      })),
      problems: this.#problems,
      connected: { config: this.#config.connected, registry: this.#registry.connected },
      inFlight: this.#inFlight.count,
    };
  }

  setTls(identity: TlsIdentity): void {
    this.#https?.setTls(identity);
  }

  /**
   * Puts a config in force, once the endpoints of all its namespaces are known: a route must not be without endpoints
   * only because nobody had asked for them before.
   */
  #apply(config: GatewayConfig, release: Release, source: "file" | "control-plane"): void {
    const next: NextTable = { table: compileTable(config, this.#settings), release, source };
    const needed = namespacesOf(next.table);
    this.#next = next;
    this.#registry.use(needed.union(namespacesOf(this.#snapshot.table)));
    if (!this.#ready || this.#registry.complete) this.#promote(next);
  }

  #promote({ table, release, source }: NextTable): void {
    this.#next = undefined;
    this.#release = release;
    this.#source = source;
    this.#problems = [];
    this.#tokens.use(table.providers.values());
    this.#swap(table, table.clusters.keys());
    this.#registry.use(namespacesOf(table));
    this.#metrics.retain(new Set(table.routes.map(({ name }) => name)));
    this.#caller.retain(new Set(table.clusters.keys()));
    this.#metrics.config("applied");
    this.#host.log.info({ release: release.key, routes: table.routes.length, source }, "routes in force");
    this.#settle();
  }

  #refused(problems: readonly ConfigProblem[], key: string): void {
    this.#problems = problems;
    this.#metrics.config("refused");
    this.#host.log.error(
      { release: key, problems, inForce: this.#release?.key },
      "config refused; the one in force goes on",
    );
  }

  #endpointsChanged(namespace: string, services: ReadonlySet<string> | "all"): void {
    const { table } = this.#snapshot;
    const clusters = [...table.clusters.values()].filter(
      (cluster) => cluster.namespace === namespace && (services === "all" || services.has(cluster.service)),
    );
    if (clusters.length > 0)
      this.#swap(
        table,
        clusters.map(({ key }) => key),
      );
    this.#settle();
  }

  /** The next snapshot: this table, and the endpoints of these clusters built anew. */
  #swap(table: RouteTable, rebuilt: Iterable<string>): void {
    const before = this.#snapshot.endpoints;
    const endpoints = new Map<string, EndpointSet>();
    for (const key of table.clusters.keys()) endpoints.set(key, before.get(key) ?? NO_ENDPOINTS);
    for (const key of rebuilt) {
      const cluster = table.clusters.get(key);
      if (!cluster) continue;
      const instances = this.#registry.instances(cluster.namespace, cluster.service);
      endpoints.set(key, nextEndpoints(before.get(key) ?? NO_ENDPOINTS, cluster, instances));
    }
    this.#snapshot = { ...this.#snapshot, table, endpoints };
    // An endpoint that is merely unwell keeps its connections; it may be back in a second.
    this.#pools.retain(({ id, key, cluster: { key: clusterKey } }) => {
      const cluster = table.clusters.get(clusterKey);
      const instance = cluster && this.#registry.instance(cluster.namespace, cluster.service, id);
      return instance !== undefined && endpointKey(cluster as CompiledCluster, instance) === key;
    });
  }

  #settle(): void {
    this.#lastGood?.touch();
    if (!this.#registry.complete) return;
    if (this.#next) return this.#promote(this.#next);
    if (!this.#release) return;
    this.#ready = true;
    this.#readiness.resolve();
  }

  #lastGoodState(): LastGood | undefined {
    if (!this.#release || !this.#registry.complete) return undefined;
    const instances: Record<string, ReturnType<typeof slim>[]> = {};
    for (const { namespace, service } of this.#snapshot.table.clusters.values()) {
      const list = (instances[namespace] ??= []);
      for (const instance of this.#registry.instances(namespace, service)) list.push(slim(instance));
    }
    return { releaseKey: this.#release.key, config: this.#release.text, instances };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  /** Stop accepting, let what is in flight end up to the deadline, then cut. */
  async #stop(): Promise<void> {
    const { clock, log } = this.#host;
    const lanes = [this.#http, this.#https].filter((lane) => lane !== undefined);
    const closed = lanes.map((lane) => lane.close());
    const deadline = clock.monotonic() + this.#settings.drainMs;
    while (this.#inFlight.count > 0 && clock.monotonic() < deadline) {
      for (const lane of lanes) lane.closeIdle();
      await clock.sleep(DRAIN_LOOK_MS);
    }
    if (this.#inFlight.count > 0) log.warn({ cut: this.#inFlight.count }, "requests cut: they outlasted the drain");
    for (const lane of lanes) lane.destroy();
    await Promise.allSettled(closed);
    await this.#starting;
    await this.#config[Symbol.asyncDispose]();
    await this.#registry[Symbol.asyncDispose]();
    await this.#lastGood?.[Symbol.asyncDispose]();
    await this.#pools[Symbol.asyncDispose]();
    await this.#tokens[Symbol.asyncDispose]();
  }
}

function namespacesOf(table: RouteTable): Set<string> {
  return new Set([...table.clusters.values()].map(({ namespace }) => namespace));
}

/** As much of an instance as a start needs. */
function slim({
  namespace,
  service,
  id,
  address,
  port,
  protocol,
  ports,
  weight,
  lifecycle,
  status,
  metadata,
}: LastGood["instances"][string][number]) {
  const keepAlive = metadata?.[KEEP_ALIVE_METADATA];
  const kept = keepAlive === undefined ? {} : { metadata: { [KEEP_ALIVE_METADATA]: keepAlive } };
  return { namespace, service, id, address, port, protocol, ports, weight, lifecycle, status, ...kept };
}
