/**
 * The data plane as a whole: it holds the snapshot in force, builds the next from the two sources and swaps one
 * pointer; opens the listeners, and stops them without dropping what is in flight.
 */
import { own, setOwn } from "#base";
import type { Host } from "#base";
import { OwnListeners } from "#base/address-class";
import { DialGuard, type DialRules } from "#base/dial";
import type { ClusterView, ConfigProblem, GatewayConfig } from "./api.ts";
import { viewCluster } from "./core/decision/cluster-view.ts";
import { ConcurrencyLimiter } from "./core/limits/concurrency.ts";
import {
  endpointKey,
  nextEndpoints,
  NO_ENDPOINTS,
  type Endpoint,
  type EndpointSet,
} from "./core/balancing/endpoints.ts";
import { hintedRoutes, type Hints } from "./core/routing/hints.ts";
import type { GatewaySnapshot } from "./core/decision/pipeline.ts";
import { RateLimiter } from "./core/limits/rate-limit.ts";
import { compileTable, type CompiledCluster, type RouteTable } from "./core/routing/table.ts";
import { ResponseCache } from "./answers/cache.ts";
import { Chain } from "./answers/chain.ts";
import type { StartCall } from "./answers/start-call.ts";
import { TokenVerifier } from "./tokens/jwt.ts";
import { builtInFilters } from "./filters/mod.ts";
import { Mirrors } from "./answers/mirrors.ts";
import { freshKey, SignedCookies } from "./answers/sticky.ts";
import { AccessLog } from "./lanes/access-log.ts";
import { LoopWatch } from "./lanes/loop-delay.ts";
import { GatewayMetrics } from "./lanes/telemetry.ts";
import { Listeners } from "./listeners.ts";
import { PeerExchange, type GatewayPeers } from "./peers.ts";
import type {
  ConfigOrigin,
  Gateway,
  GatewayClient,
  GatewayPorts,
  GatewaySettings,
  GatewayStatus,
  TlsIdentity,
} from "./settings.ts";
import { ConfigSource, readConfig, type Release } from "./sources/config.ts";
import { FileSource } from "./sources/file.ts";
import { QuotaLeases } from "./sources/quota-leases.ts";
import { LastGoodFile, readLastGood, slim, type LastGood } from "./sources/last-good.ts";
import { NameSource } from "./sources/names.ts";
import { RegistrySource } from "./sources/registry.ts";
import { NamedFileWatch } from "./sources/named-files.ts";
import { UpstreamCaller, type RetryKind } from "./upstream/call.ts";
import { UpstreamPools } from "./upstream/pools.ts";

/** Begins to learn routes and endpoints at once; serves once `listen` was called. */
export function createGateway(
  host: Host,
  given: { client: GatewayClient; settings: GatewaySettings; peers?: GatewayPeers; dial?: DialRules },
): Gateway {
  // Without a server around it, nothing else listens and services may be anywhere.
  const dial = given.dial ?? { loopback: true, own: new OwnListeners(() => []) };
  return new RunningGateway(host, { ...given, dial });
}

interface NextTable {
  readonly config: GatewayConfig;
  /** Compiled again when services hint at other routes. */
  readonly table: RouteTable;
  readonly hints: Hints;
  readonly warnings: readonly ConfigProblem[];
  readonly release: Release;
  readonly source: ConfigOrigin;
}

class RunningGateway implements Gateway {
  readonly #host: Host;
  readonly #settings: GatewaySettings;
  readonly #metrics: GatewayMetrics;
  readonly #dial: DialGuard;
  readonly #endListening: () => void;
  readonly #tokens: TokenVerifier;
  readonly #pools: UpstreamPools;
  readonly #caller: UpstreamCaller;
  readonly #registry: RegistrySource;
  readonly #config: ConfigSource | FileSource;
  readonly #lastGood: LastGoodFile | undefined;
  readonly #inFlight = { count: 0 };
  readonly #readiness = Promise.withResolvers<void>();
  readonly #starting: Promise<void>;
  readonly #listeners: Listeners;
  readonly #loop: LoopWatch;
  readonly #accessLog: AccessLog;
  readonly #leases: QuotaLeases;
  readonly #workers: number;
  readonly #peers: PeerExchange | undefined;
  readonly #names: NameSource;
  readonly #files: NamedFileWatch;
  #snapshot: GatewaySnapshot;
  #current: NextTable | undefined;
  /** Checked and compiled, waiting for its endpoints. */
  #next: NextTable | undefined;
  #problems: readonly ConfigProblem[] = [];
  #ready = false;
  #stopping: Promise<void> | undefined;

  constructor(
    host: Host,
    given: { client: GatewayClient; settings: GatewaySettings; peers?: GatewayPeers; dial: DialRules },
  ) {
    const { client, settings, peers, dial } = given;
    const log = host.log.child({ role: "gateway" });
    this.#host = { ...host, log };
    this.#settings = settings;
    this.#workers = peers?.workers ?? 1;
    this.#loop = new LoopWatch(host.clock);
    this.#accessLog = new AccessLog(this.#host);
    this.#dial = new DialGuard(dial);
    this.#tokens = new TokenVerifier(this.#host, this.#dial);
    this.#pools = new UpstreamPools({ ...this.#host, dial: this.#dial });
    this.#metrics = new GatewayMetrics(host, {
      connections: () => this.#pools.counts,
      clusters: () => this.clusterViews(),
      revision: () => this.#registry.revision,
      workers: this.#workers,
    });
    const told = {
      onRetry: (kind: RetryKind) => this.#metrics.retry(kind),
      onEjected: (endpoint: Endpoint) => this.#ejected(endpoint),
    };
    this.#caller = new UpstreamCaller(this.#host, this.#pools, told, this.#workers);
    this.#registry = new RegistrySource(this.#host, client.registry, (namespace, services) =>
      this.#endpointsChanged(namespace, services),
    );
    const { configFile: file } = settings;
    const origin = file === undefined ? "control-plane" : "config-file";
    const listener = {
      apply: (config: GatewayConfig, release: Release) => this.#apply(config, release, origin),
      refused: (problems: readonly ConfigProblem[], { key }: { key: string }) => this.#refused(problems, key),
    };
    this.#config =
      file === undefined
        ? new ConfigSource(this.#host, client.config, settings, listener)
        : new FileSource(this.#host, file, listener, settings.filters);
    this.#lastGood =
      settings.dataFile === undefined || settings.dataFileUse?.write === false
        ? undefined
        : new LastGoodFile(this.#host, settings.dataFile, () => this.#lastGoodState());
    this.#names = new NameSource(this.#host, () => this.#namesChanged(), settings.resolveName);
    this.#files = new NamedFileWatch(this.#host, () => this.#filesChanged());
    this.#leases = new QuotaLeases(this.#host, client.quotas, settings.namespace);
    const sticky = new SignedCookies(settings.stickyKey ?? freshKey(host));
    const limiter = new RateLimiter({ workers: this.#workers });
    const concurrency = new ConcurrencyLimiter();
    const endpoints = () => this.#snapshot.endpoints;
    this.#snapshot = {
      table: compileTable({}, settings),
      endpoints: new Map(),
      tokens: this.#tokens,
      limiter,
      leases: this.#leases.limits,
      concurrency,
      sticky,
    };
    // Last, for it may have heard something already.
    this.#peers = peers && new PeerExchange(this.#host, peers, { limiter, concurrency, endpoints });
    const call: StartCall = (plan, sink) => this.#caller.start(plan, sink);
    const chain = new Chain({
      log,
      call,
      cache: new ResponseCache(this.#host),
      mirrors: new Mirrors(this.#host, call),
      sticky,
    });
    const parts = {
      host: this.#host,
      settings,
      metrics: this.#metrics,
      accessLog: this.#accessLog,
      tokens: this.#tokens,
      leases: this.#leases,
      chain,
      snapshot: () => {
        this.#peers?.arm();
        return this.#snapshot;
      },
      pressure: () => this.#loop.delay.pressure,
      stopping: () => this.#stopping !== undefined,
      inFlight: this.#inFlight,
    };
    this.#listeners = new Listeners(this.#host, parts, { tls: settings.tls, own: dial.own });
    // An instance at a port that this process opens is no endpoint from then on, and is one again afterwards.
    this.#endListening = dial.own.onChange(() =>
      this.#swap(this.#snapshot.table, this.#snapshot.table.clusters.keys()),
    );
    this.#starting = this.#start();
  }

  /** The file first, for it is at hand; then the control plane, which knows better. */
  async #start(): Promise<void> {
    const { dataFile, dataFileUse } = this.#settings;
    const reads = dataFile !== undefined && (dataFileUse?.read ?? true);
    const state = reads ? await readLastGood(this.#host, dataFile) : undefined;
    if (state) await this.#restore(state);
    if (!this.#stopping) this.#config.start();
  }

  async #restore(state: LastGood): Promise<void> {
    // The same reading and checking as of a release: a file may be older than this program.
    const read = await readConfig(state.config, this.#settings.filters);
    if (!read.config) return this.#refused(read.problems, state.releaseKey);
    const release = { key: state.releaseKey, text: state.config, at: state.at, files: read.files };
    if (this.#config instanceof ConfigSource) this.#config.remember(release);
    this.#apply(read.config, release, "file");
    for (const [namespace, instances] of Object.entries(state.instances)) {
      this.#registry.restore(namespace, instances, new Map(Object.entries(own(state.hints, namespace) ?? {})));
    }
    this.#host.log.info({ release: state.releaseKey }, "serving the last good state until the control plane is heard");
  }

  listen(): Promise<GatewayPorts> {
    return this.#listeners.listen();
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
      source: this.#current?.source ?? "none",
      releaseKey: this.#current?.release.key,
      routes: table.routes.length,
      clusters: [...table.clusters.values()].map(({ key, service }) => ({
        name: key,
        service,
        endpoints: endpoints.get(key)?.endpoints.length ?? 0,
      })),
      problems: this.#problems,
      warnings: [...(this.#current?.warnings ?? []), ...this.#listeners.problems],
      connected: { config: this.#config.connected, registry: this.#registry.connected },
      inFlight: this.#inFlight.count,
    };
  }

  clusterViews(): ReadonlyMap<string, ClusterView> {
    const { table, endpoints } = this.#snapshot;
    const nowMs = this.#host.clock.monotonic();
    return new Map(
      [...table.clusters].map(([key, cluster]) => [
        key,
        viewCluster(endpoints.get(key) ?? NO_ENDPOINTS, cluster, nowMs),
      ]),
    );
  }

  setTls(identity: TlsIdentity): void {
    this.#listeners.setTls(identity);
  }

  /**
   * Puts a config in force, once the endpoints of all its namespaces are known: a route must not be without endpoints
   * only because nobody had asked for them before.
   */
  #apply(config: GatewayConfig, release: Release, source: ConfigOrigin): void {
    const next = this.#compiled({ config, release, source });
    this.#next = next;
    this.#registry.use(next.table.namespaces.union(this.#snapshot.table.namespaces));
    if (!this.#ready || this.#registry.complete) this.#promote(next);
  }

  #compiled(given: Pick<NextTable, "config" | "release" | "source">): NextTable {
    const hints = this.#registry.hints(this.#settings.namespace);
    const { routes: hinted, problems: warnings } = hintedRoutes(given.config, hints);
    const { namespace, filters = builtInFilters } = this.#settings;
    const table = compileTable(given.config, { namespace, filters, hinted, workers: this.#workers });
    return { ...given, table, hints, warnings };
  }

  #promote(next: NextTable): void {
    const { table, release, source, config } = next;
    this.#next = undefined;
    // A table built anew for its hints says nothing of a newer config that was refused.
    if (this.#current?.release.key !== release.key) this.#problems = [];
    this.#current = next;
    this.#tokens.use(table.providers.values());
    this.#names.use([...table.clusters.values()].flatMap(({ instances }) => instances ?? []));
    this.#swap(table, table.clusters.keys());
    this.#registry.use(table.namespaces);
    this.#listeners.use(config.listeners ?? []);
    this.#files.use(release.files);
    this.#metrics.retain(new Set(table.routes.map(({ name }) => name)));
    this.#caller.retain(new Set(table.clusters.keys()));
    this.#metrics.config("applied");
    this.#host.log.info({ release: release.key, routes: table.routes.length, source }, "routes in force");
    for (const { pointer, message } of next.warnings) this.#host.log.warn({ pointer }, message);
    this.#settle();
  }

  /** The same release with what its files now hold; where that is no good, with what they held. */
  async #filesChanged(): Promise<void> {
    const { release, source } = this.#current ?? {};
    if (!release || !source) return;
    const read = await readConfig(release.text, this.#settings.filters);
    if (this.#stopping || this.#current?.release !== release || this.#next) return;
    if (read.config) return this.#apply(read.config, { ...release, files: read.files }, source);
    const [{ pointer, message } = { pointer: "", message: "" }] = read.problems;
    this.#host.log.error({ pointer }, `files of the config changed and are not taken: ${message}`);
  }

  #refused(problems: readonly ConfigProblem[], key: string): void {
    this.#problems = problems;
    this.#metrics.config("refused");
    this.#host.log.error(
      { release: key, problems, inForce: this.#current?.release.key },
      "config refused; the one in force goes on",
    );
  }

  #endpointsChanged(namespace: string, services: ReadonlySet<string> | "all"): void {
    const { table } = this.#snapshot;
    const clusters = [...table.clusters.values()].filter(
      (cluster) =>
        !cluster.instances && cluster.namespace === namespace && (services === "all" || services.has(cluster.service)),
    );
    if (clusters.length > 0)
      this.#swap(
        table,
        clusters.map(({ key }) => key),
      );
    this.#settle();
  }

  #namesChanged(): void {
    const { table } = this.#snapshot;
    this.#swap(
      table,
      [...table.clusters.values()].filter(({ instances }) => instances).map(({ key }) => key),
    );
  }

  /** The next snapshot: this table, and the endpoints of these clusters built anew. */
  #swap(table: RouteTable, rebuilt: Iterable<string>): void {
    const before = this.#snapshot.endpoints;
    const nowMs = this.#host.clock.monotonic();
    const { zone } = this.#settings;
    const refusal = (address: string, port: number) => this.#dial.refusal(address, port);
    const endpoints = new Map<string, EndpointSet>();
    for (const key of table.clusters.keys()) endpoints.set(key, before.get(key) ?? NO_ENDPOINTS);
    for (const key of rebuilt) {
      const cluster = table.clusters.get(key);
      if (!cluster) continue;
      const instances = cluster.instances
        ? this.#names.expand(cluster.instances)
        : this.#registry.instances(cluster.namespace, cluster.service);
      const old = before.get(key) ?? NO_ENDPOINTS;
      const next = nextEndpoints(old, cluster, instances, { nowMs, zone, refusal });
      if (next.panic && !old.panic) this.#panics(cluster);
      endpoints.set(key, next);
    }
    this.#snapshot = { ...this.#snapshot, table, endpoints };
    this.#peers?.refresh();
    // An endpoint that is merely unwell keeps its connections; it may be back in a second.
    this.#pools.retain(({ id, key, cluster: { key: clusterKey } }) => {
      const cluster = table.clusters.get(clusterKey);
      const instance = cluster?.instances
        ? this.#names.expand(cluster.instances).find((one) => one.id === id)
        : cluster && this.#registry.instance(cluster.namespace, cluster.service, id);
      return instance !== undefined && endpointKey(cluster as CompiledCluster, instance) === key;
    });
  }

  #ejected(endpoint: Endpoint): void {
    const { id, authority, load, cluster } = endpoint;
    const nowMs = this.#host.clock.monotonic();
    const seconds = Math.round((load.ejectedUntilMs - nowMs) / 1000);
    const fields = { cluster: cluster.key, endpoint: id, authority, seconds };
    this.#metrics.ejected();
    this.#peers?.ejected(endpoint);
    this.#host.log.warn(fields, "endpoint ejected: it answers badly");
    const set = this.#snapshot.endpoints.get(cluster.key) ?? NO_ENDPOINTS;
    if (viewCluster(set, cluster, nowMs).panic) this.#panics(cluster);
  }

  #panics({ key }: CompiledCluster): void {
    this.#host.log.warn({ cluster: key }, "too few healthy endpoints are left: all are used");
  }

  #settle(): void {
    this.#lastGood?.touch();
    if (!this.#registry.complete) return;
    if (this.#next) return this.#promote(this.#compiled(this.#next));
    if (!this.#current) return;
    const { config } = this.#current;
    const changed = this.#current.hints !== this.#registry.hints(this.#settings.namespace);
    if (changed && config.hints && config.hints.length > 0) return this.#promote(this.#compiled(this.#current));
    this.#ready = true;
    this.#readiness.resolve();
  }

  #lastGoodState(): LastGood | undefined {
    if (!this.#current || !this.#registry.complete) return undefined;
    const { release, hints, config } = this.#current;
    const instances: Record<string, ReturnType<typeof slim>[]> = {};
    // A namespace that is watched for its hints alone is known, too, and empty.
    for (const namespace of this.#snapshot.table.namespaces) setOwn(instances, namespace, []);
    for (const { namespace, service, instances: fixed } of this.#snapshot.table.clusters.values()) {
      if (fixed) continue;
      const list = own(instances, namespace) ?? [];
      setOwn(instances, namespace, list);
      for (const instance of this.#registry.instances(namespace, service)) list.push(slim(instance));
    }
    const hinted = config.hints && config.hints.length > 0;
    return {
      releaseKey: release.key,
      config: release.text,
      at: release.at,
      instances,
      ...(hinted ? { hints: { [this.#settings.namespace]: Object.fromEntries(hints) } } : {}),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  async #stop(): Promise<void> {
    this.#endListening();
    await this.#listeners.stop(this.#settings.drainMs);
    this.#loop[Symbol.dispose]();
    this.#accessLog[Symbol.dispose]();
    this.#peers?.[Symbol.dispose]();
    await this.#starting;
    await this.#config[Symbol.asyncDispose]();
    await this.#registry[Symbol.asyncDispose]();
    await this.#lastGood?.[Symbol.asyncDispose]();
    await this.#leases[Symbol.asyncDispose]();
    await this.#names[Symbol.asyncDispose]();
    await this.#files[Symbol.asyncDispose]();
    await this.#pools[Symbol.asyncDispose]();
    await this.#tokens[Symbol.asyncDispose]();
  }
}
