/**
 * The data plane as a whole: opens the sources and the listeners, puts each new config in force once its endpoints are
 * known, and stops without dropping requests in flight.
 */
import { own, setOwn, Waiters } from "#base";
import type { Host } from "#base";
import { OwnListeners } from "#base/address-class";
import { DialGuard, type DialRules } from "#base/dial";
import { MeshIdentity } from "#identity/mesh";
import type { ClusterView, ConfigProblem, GatewayConfig } from "./api.ts";
import { ConcurrencyLimiter } from "./core/limits/concurrency.ts";
import type { Endpoint } from "./core/balancing/endpoints.ts";
import { hintedRoutes, type Hints } from "./core/routing/hints.ts";
import { RateLimiter } from "./core/limits/rate-limit.ts";
import { compileTable, type RouteTable } from "./core/routing/table.ts";
import { ResponseCache } from "./answers/cache.ts";
import { Chain } from "./answers/chain.ts";
import type { StartCall } from "./answers/start-call.ts";
import { TokenVerifier } from "./tokens/jwt.ts";
import { builtInFilters } from "./filters/mod.ts";
import { Mirrors } from "./answers/mirrors.ts";
import { freshKey, SignedCookies } from "./answers/sticky.ts";
import { AccessLog } from "./lanes/access-log.ts";
import { LoopWatch } from "./lanes/loop-delay.ts";
import type { LaneParts } from "./lanes/parts.ts";
import { GatewayMetrics } from "./lanes/telemetry.ts";
import { Listeners } from "./listeners.ts";
import { PeerExchange } from "./peers.ts";
import type {
  ConfigOrigin,
  Gateway,
  GatewayClient,
  GatewayParts,
  GatewayPorts,
  GatewaySettings,
  GatewayStatus,
  TlsIdentity,
} from "./settings.ts";
import { Snapshots } from "./snapshots.ts";
import { ConfigSource, readConfig, type ConfigListener, type Release } from "./sources/config.ts";
import { FileSource } from "./sources/file.ts";
import { QuotaLeases } from "./sources/quota-leases.ts";
import { LastGoodFile, readLastGood, slim, type LastGood } from "./sources/last-good.ts";
import { NameSource } from "./sources/names.ts";
import { RegistrySource } from "./sources/registry.ts";
import { TrafficReports } from "./sources/traffic-reports.ts";
import { NamedFileWatch } from "./sources/named-files.ts";
import { UpstreamCaller, type RetryKind } from "./upstream/call.ts";
import { UpstreamPools } from "./upstream/pools.ts";

/** Starts to follow routes and endpoints at once; accepts requests after `listen`. */
export function createGateway(host: Host, given: GatewayParts): Gateway {
  // Without a server around it, nothing else listens and services may be anywhere.
  const dial = given.dial ?? { loopback: true, own: new OwnListeners(() => []) };
  return new RunningGateway(host, { ...given, dial });
}

/** A checked config and its compiled table. */
interface CompiledRelease {
  readonly config: GatewayConfig;
  /** Compiled again when the services' hints change. */
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
  readonly #endListening: () => void;
  readonly #tokens: TokenVerifier;
  readonly #identity: MeshIdentity | undefined;
  readonly #pools: UpstreamPools;
  readonly #caller: UpstreamCaller;
  readonly #registry: RegistrySource;
  readonly #config: ConfigSource | FileSource;
  readonly #lastGood: LastGoodFile | undefined;
  readonly #inFlight = { count: 0 };
  readonly #readiness = new Waiters();
  readonly #starting: Promise<void>;
  readonly #listeners: Listeners;
  readonly #loop: LoopWatch;
  readonly #accessLog: AccessLog;
  readonly #leases: QuotaLeases;
  readonly #reports: TrafficReports | undefined;
  readonly #workers: number;
  readonly #peers: PeerExchange | undefined;
  readonly #names: NameSource;
  readonly #files: NamedFileWatch;
  readonly #snapshots: Snapshots;
  #current: CompiledRelease | undefined;
  /** Waits for its endpoints. */
  #next: CompiledRelease | undefined;
  #problems: readonly ConfigProblem[] = [];
  #ready = false;
  #stopping: Promise<void> | undefined;

  constructor(host: Host, given: GatewayParts & { readonly dial: DialRules }) {
    const { client, settings, peers } = given;
    this.#host = { ...host, log: host.log.child({ role: "gateway" }) };
    this.#settings = settings;
    this.#workers = peers?.workers ?? 1;
    this.#loop = new LoopWatch(host.clock);
    this.#accessLog = new AccessLog(this.#host);
    const dial = new DialGuard(given.dial);
    this.#tokens = new TokenVerifier(this.#host, dial);
    this.#identity = given.identity && new MeshIdentity(this.#host, given.identity);
    this.#pools = new UpstreamPools({ ...this.#host, dial, identity: this.#identity });
    this.#identity?.onChange(() => this.#pools.renew());
    this.#metrics = new GatewayMetrics(host, {
      connections: () => this.#pools.counts,
      clusters: () => this.clusterViews(),
      revision: () => this.#registry.revision,
      workers: this.#workers,
    });
    const events = {
      onRetry: (kind: RetryKind) => this.#metrics.retry(kind),
      onEjected: (endpoint: Endpoint) => this.#ejected(endpoint),
    };
    this.#caller = new UpstreamCaller(this.#host, this.#pools, events, this.#workers);
    this.#registry = new RegistrySource(this.#host, client.registry, (namespace, services) => {
      this.#snapshots.rebuildServices(namespace, services);
      this.#settle();
    });
    this.#config = this.#configSource(client.config);
    this.#lastGood = this.#lastGoodFile();
    this.#names = new NameSource(this.#host, () => this.#snapshots.rebuildNamed(), settings.resolveName);
    this.#files = new NamedFileWatch(this.#host, () => this.#filesChanged());
    this.#leases = new QuotaLeases(this.#host, client.quotas, settings.namespace);
    this.#reports = client.traffic && this.#reportsTo(client.traffic);
    const sticky = new SignedCookies(settings.stickyKey ?? freshKey(host));
    const limiter = new RateLimiter({ workers: this.#workers });
    const concurrency = new ConcurrencyLimiter();
    const table = compileTable({}, settings);
    this.#snapshots = new Snapshots(
      this.#host,
      { table, endpoints: new Map(), tokens: this.#tokens, limiter, leases: this.#leases.limits, concurrency, sticky },
      {
        zone: settings.zone,
        dial,
        registry: this.#registry,
        names: this.#names,
        pools: this.#pools,
        onReplaced: () => this.#peers?.refresh(),
      },
    );
    const endpoints = () => this.#snapshots.current.endpoints;
    // Last, because news of other workers may arrive at once.
    this.#peers = peers && new PeerExchange(this.#host, peers, { limiter, concurrency, endpoints });
    this.#listeners = new Listeners(this.#host, this.#laneParts(sticky), { tls: settings.tls, own: given.dial.own });
    // A port that this process listens on is excluded from the endpoints, until the port is closed.
    this.#endListening = given.dial.own.onChange(() => this.#snapshots.rebuildAll());
    this.#starting = this.#start();
  }

  #configSource(client: GatewayClient["config"]): ConfigSource | FileSource {
    const { configFile, filters } = this.#settings;
    const origin = configFile === undefined ? "control-plane" : "config-file";
    const listener: ConfigListener = {
      apply: (config, release) => this.#apply(config, release, origin),
      refused: (problems, { key }) => this.#refused(problems, key),
    };
    return configFile === undefined
      ? new ConfigSource(this.#host, client, this.#settings, listener)
      : new FileSource(this.#host, configFile, listener, filters);
  }

  #reportsTo(client: NonNullable<GatewayClient["traffic"]>): TrafficReports {
    const { namespace, instance } = this.#settings;
    this.#metrics.traffic.isTaken = true;
    return new TrafficReports(this.#host, client, {
      namespace,
      name: instance?.id ?? "gateway",
      take: () =>
        this.#metrics.traffic.take(
          [...this.#snapshots.current.endpoints.values()].flatMap(({ endpoints }) => endpoints),
        ),
    });
  }

  #lastGoodFile(): LastGoodFile | undefined {
    const { dataFile, dataFileUse } = this.#settings;
    if (dataFile === undefined || dataFileUse?.write === false) return undefined;
    return new LastGoodFile(this.#host, dataFile, () => this.#lastGoodState());
  }

  #laneParts(sticky: SignedCookies): LaneParts {
    const call: StartCall = (plan, sink) => this.#caller.start(plan, sink);
    const cache = new ResponseCache(this.#host);
    return {
      host: this.#host,
      settings: this.#settings,
      metrics: this.#metrics,
      accessLog: this.#accessLog,
      tokens: this.#tokens,
      leases: this.#leases,
      chain: new Chain({ log: this.#host.log, call, cache, mirrors: new Mirrors(this.#host, call), sticky }),
      snapshot: () => {
        this.#peers?.arm();
        return this.#snapshots.current;
      },
      pressure: () => this.#loop.delay.pressure,
      stopping: () => this.#stopping !== undefined,
      inFlight: this.#inFlight,
    };
  }

  /** From the file first, which is available at once; then from the control plane, which is more recent. */
  async #start(): Promise<void> {
    const { dataFile, dataFileUse } = this.#settings;
    const reads = dataFile !== undefined && (dataFileUse?.read ?? true);
    const state = reads ? await readLastGood(this.#host, dataFile) : undefined;
    if (state) await this.#restore(state);
    if (!this.#stopping) this.#config.start();
  }

  async #restore(state: LastGood): Promise<void> {
    // Checked like a release: the file may have been written by an older version of this program.
    const read = await readConfig(state.config, this.#settings.filters);
    if (!read.config) return this.#refused(read.problems, state.releaseKey);
    const release = { key: state.releaseKey, text: state.config, at: state.at, files: read.files };
    if (this.#config instanceof ConfigSource) this.#config.remember(release);
    this.#apply(read.config, release, "file");
    for (const [namespace, instances] of Object.entries(state.instances)) {
      this.#registry.restore(namespace, instances, new Map(Object.entries(own(state.hints, namespace) ?? {})));
    }
    this.#host.log.info({ release: state.releaseKey }, "serving the last good state until the control plane answers");
  }

  listen(): Promise<GatewayPorts> {
    return this.#listeners.listen();
  }

  async ready(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#ready) return;
    const end = await this.#readiness.wait({ signal });
    if (end === "aborted") signal.throwIfAborted();
  }

  status(): GatewayStatus {
    const { table, endpoints } = this.#snapshots.current;
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
    return this.#snapshots.views();
  }

  setTls(identity: TlsIdentity): void {
    this.#listeners.setTls(identity);
  }

  /**
   * Puts a config in force once the endpoints of all its namespaces are known, so that no route is without endpoints only
   * because its namespace was not watched before.
   */
  #apply(config: GatewayConfig, release: Release, source: ConfigOrigin): void {
    const next = this.#compiled({ config, release, source });
    this.#next = next;
    this.#registry.use(next.table.namespaces.union(this.#snapshots.current.table.namespaces));
    if (!this.#ready || this.#registry.complete) this.#promote(next);
  }

  #compiled(given: Pick<CompiledRelease, "config" | "release" | "source">): CompiledRelease {
    const hints = this.#registry.hints(this.#settings.namespace);
    const { routes: hinted, problems: warnings } = hintedRoutes(given.config, hints);
    const { namespace, filters = builtInFilters } = this.#settings;
    const table = compileTable(given.config, { namespace, filters, hinted, workers: this.#workers });
    return { ...given, table, hints, warnings };
  }

  #promote(next: CompiledRelease): void {
    const { table, release, source, config } = next;
    this.#next = undefined;
    // A table that is compiled again for new hints changes nothing about a newer config that was refused.
    if (this.#current?.release.key !== release.key) this.#problems = [];
    this.#current = next;
    this.#tokens.use(table.providers.values());
    this.#names.use([...table.clusters.values()].flatMap(({ instances }) => instances ?? []));
    this.#snapshots.useTable(table);
    this.#registry.use(table.namespaces);
    this.#listeners.use(config.listeners ?? []);
    this.#files.use(release.files);
    this.#metrics.retain(new Set(table.routes.map(({ name }) => name)));
    this.#caller.retain(new Set(table.clusters.keys()));
    this.#metrics.config("applied");
    this.#host.log.info({ release: release.key, routes: table.routes.length, source }, "config applied");
    for (const { pointer, message } of next.warnings) this.#host.log.warn({ pointer }, message);
    this.#settle();
  }

  /** Applies the release again with the new content of its files. Invalid content is ignored: the old one stays in use. */
  async #filesChanged(): Promise<void> {
    const { release, source } = this.#current ?? {};
    if (!release || !source) return;
    const read = await readConfig(release.text, this.#settings.filters);
    if (this.#stopping || this.#current?.release !== release || this.#next) return;
    if (read.config) return this.#apply(read.config, { ...release, files: read.files }, source);
    const [{ pointer, message } = { pointer: "", message: "" }] = read.problems;
    this.#host.log.error({ pointer }, `files of the config changed, and the new content is not valid: ${message}`);
  }

  #refused(problems: readonly ConfigProblem[], key: string): void {
    this.#problems = problems;
    this.#metrics.config("refused");
    this.#host.log.error(
      { release: key, problems, inForce: this.#current?.release.key },
      "config rejected: it is not valid; the previous one stays in force",
    );
  }

  #ejected(endpoint: Endpoint): void {
    this.#metrics.ejected();
    this.#peers?.ejected(endpoint);
    this.#snapshots.logEjection(endpoint);
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
    this.#readiness.wakeAll();
  }

  #lastGoodState(): LastGood | undefined {
    if (!this.#current || !this.#registry.complete) return undefined;
    const { release, hints, config } = this.#current;
    const { table } = this.#snapshots.current;
    const instances: Record<string, ReturnType<typeof slim>[]> = {};
    // A namespace that is watched only for its hints counts as known and has no instances.
    for (const namespace of table.namespaces) setOwn(instances, namespace, []);
    for (const { namespace, service, instances: fixed } of table.clusters.values()) {
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
    this.#identity?.[Symbol.dispose]();
    this.#reports?.[Symbol.dispose]();
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
