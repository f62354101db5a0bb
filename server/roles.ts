/**
 * What each role needs and how it starts, in the order of starting. Standalone is all of them. A process that has the
 * control API gives its gateway and agent a way straight into it; one that has not gives them the network. A role that
 * is not wanted is not even loaded.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { isAbsolute, join } from "node:path";
import type { FastifyInstance } from "fastify";
import { AppError, randomId, TaskGroup, type Host } from "#base";
import type { OwnListeners } from "#base/address-class";
import type { DialRules } from "#base/dial";
import { createMetrics } from "#base/prometheus";
import { Client, fetchTransport, injectTransport } from "#client";
import { keyCommand, keyFile, ownKeyFile, type KeySource } from "#config-server";
import { flagsReleaseCheck } from "#flags";
import type { ClusterView, GatewayPorts } from "#gateway";
import { gatewayReleaseCheckWith, loadFilters } from "#gateway/config-text";
import { loadExplain } from "#gateway/explain";
import {
  BadTokens,
  closeHttpServer,
  createHttpServer,
  HttpErrors,
  isLoopback,
  registerOperations,
  requireAuth,
  type Role,
} from "#http";
import { type RoleName, type Settings, spellings } from "#settings";
import { openStore, type StoreOptions } from "#store";
import { ServerErrors } from "./api.ts";
import { ownTls, readTls } from "./certificates.ts";
import { type ControlApi, createControlApi, listenError } from "./control-api.ts";
import { followLogLevel, logReleaseCheck } from "./log-level.ts";
import { VERSION } from "./version.ts";
import { workerMetrics } from "./workers/metrics.ts";

/** Where everything is, for people and for tests. */
export interface Addresses {
  controlApi?: string;
  gateway?: string;
  gatewayTls?: string;
  agent?: string;
  /** Path of the agent's Unix socket. */
  agentSocket?: string;
  /** `127.0.0.1:8600`, for UDP and TCP. */
  dns?: string;
  operations?: string;
}

/** What the roles of one process share while they start. */
export interface Parts {
  readonly host: Host;
  readonly settings: Settings;
  /** Owns whatever was opened; a stop is the start in reverse. */
  readonly stack: AsyncDisposableStack;
  /** What is not ready, by part. */
  readonly notReady: (() => string | undefined)[];
  readonly addresses: Addresses;
  /** The ports that this process listens on, and the control plane's; neither checks nor the gateway connect to one. */
  readonly listeners: OwnListeners;
  control: ControlApi | undefined;
  /** Of this process's gateway, once it has one. */
  clusters?: () => Promise<ReadonlyMap<string, ClusterView>>;
}

interface RoleRow {
  readonly name: string;
  readonly wanted: (settings: Settings) => boolean;
  readonly start: (parts: Parts) => Promise<void>;
}

const has = (settings: Settings, role: RoleName) => settings.roles.includes(role);

export const ROLES: readonly RoleRow[] = [
  {
    name: "control API",
    wanted: (settings) => has(settings, "registry") || has(settings, "config-server"),
    start: startControlApi,
  },
  { name: "gateway", wanted: (settings) => has(settings, "gateway"), start: startGateway },
  {
    name: "operations",
    wanted: (settings) => has(settings, "gateway") && !has(settings, "registry"),
    start: startOperations,
  },
  { name: "agent", wanted: (settings) => has(settings, "agent"), start: startAgent },
  {
    name: "DNS",
    wanted: (settings) => settings.dns === "on" && (has(settings, "registry") || has(settings, "agent")),
    start: startDnsServer,
  },
  { name: "log level", wanted: () => true, start: startLogLevel },
];

async function startControlApi(parts: Parts): Promise<void> {
  const { host, settings, stack } = parts;
  if (!has(settings, "registry") || !has(settings, "config-server")) {
    throw ServerErrors.SETTINGS_CONFLICT(
      `registry and config-server share one control API and start together; name both or neither in ${spellings("roles")}.`,
    );
  }
  const twice = settings.configSources.find(({ name }, at, all) => all.findIndex((one) => one.name === name) !== at);
  if (twice) {
    throw ServerErrors.SETTINGS_CONFLICT(
      `Two config sources are named "${twice.name}"; give each a name of its own: ${spellings("configSources")}.`,
    );
  }
  const filters = await loadFilters(settings.gatewayFilters);
  const { Explainer, explainPlugin } = await loadExplain();
  let refusing: AppError | undefined;
  const store = stack.use(
    await openStore(
      host,
      storeOptions(settings, (error) => (refusing = error)),
    ),
  );
  const control = stack.use(
    await createControlApi(host, {
      store,
      releaseChecks: [gatewayReleaseCheckWith(filters), flagsReleaseCheck, logReleaseCheck],
      exposed: !isLoopback(settings.host),
      startMs: settings.storeStartSeconds * 1000,
      probeRules: {
        refuse: settings.probeRefuse,
        loopback: settings.probeLoopback,
        metadata: false,
        writes: settings.probeWrites,
        own: parts.listeners,
      },
      configSources: settings.configSources,
      secretKeys: secretKeysOf(host, settings),
      notReady: () => reasons(parts),
      degraded: () => (refusing ? [`store: ${refusing.message}`] : []),
      extend: (app, access) => {
        const token = access.internalToken({ name: "explain", role: "reader" });
        const client = new Client(host, { transport: injectTransport(app), token });
        const live = (namespace: string) => clustersIn(parts, namespace);
        explainPlugin(app, new Explainer(host, { client, filters, dial: dialRules(parts), live }));
      },
    }),
  );
  parts.control = control;
  const address = `${settings.host}:${settings.port}`;
  try {
    parts.addresses.controlApi = await control.app.listen({ host: settings.host, port: settings.port });
    listensAt(parts, control.app);
  } catch (error) {
    throw listenError(error, address, spellings("port"));
  }
}

/** Counts the ports of an app as this process's own. */
function listensAt({ listeners, settings }: Parts, app: FastifyInstance): void {
  for (const address of app.addresses()) {
    if (typeof address !== "string") listeners.add({ host: settings.host, port: address.port });
  }
}

/** Where the gateway may connect to. Where its control plane or its config is on this host, services are, too. */
function dialRules({ settings, listeners }: Parts): DialRules {
  const { roles, gatewayFile, controlUrls } = settings;
  const here = roles.includes("registry") || controlUrls.every((url) => isLoopback(new URL(url).hostname));
  const loopback = settings.gatewayLoopback ?? (here || gatewayFile !== undefined ? "on" : "off");
  return { loopback: loopback === "on", own: listeners };
}

/**
 * Where the keys for secrets come from. A key that we make ourselves is for a store that only this process has: the members
 * of a cluster must all know the same, so there an operator says which.
 */
function secretKeysOf(host: Host, { secretKeyFile, secretKeyCommand, store, data }: Settings): KeySource | undefined {
  const [program, ...args] = secretKeyCommand;
  if (program !== undefined && secretKeyFile !== undefined) {
    throw ServerErrors.SETTINGS_CONFLICT(
      `Keys for secrets come from a file or from a program, not from both: ${spellings("secretKeyFile")}; ${spellings("secretKeyCommand")}.`,
    );
  }
  if (program !== undefined) {
    if (!isAbsolute(program)) {
      throw ServerErrors.SETTINGS_CONFLICT(`"${program}" is no absolute path: ${spellings("secretKeyCommand")}.`);
    }
    return keyCommand(host, [program, ...args]);
  }
  if (secretKeyFile !== undefined) return keyFile(secretKeyFile);
  if (store === "etcd") return undefined;
  const path = join(data, "secret-keys");
  if (store === "lmdb") {
    host.log.warn(
      { path },
      `the key for secrets is kept beside the store: a copy of ${data} contains both. Keep it elsewhere: ${spellings("secretKeyFile")}; or ${spellings("secretKeyCommand")}`,
    );
  }
  return ownKeyFile(host, path);
}

/** How the settings' store is opened; `onRefusing` hears of a store that takes no writes, and why. */
export function storeOptions(settings: Settings, onRefusing?: (error: AppError | undefined) => void): StoreOptions {
  if (settings.store === "memory") return { engine: "memory" };
  if (settings.store === "etcd") {
    return {
      engine: "etcd",
      endpoints: settings.etcdUrls,
      ...(settings.etcdUsername === undefined
        ? {}
        : { username: settings.etcdUsername, password: settings.etcdPassword ?? "" }),
    };
  }
  return {
    engine: "lmdb",
    folder: join(settings.data, "store"),
    onRefusing: (error) => onRefusing?.(error),
  };
}

/** Tells two gateways, or two starts of one, from each other. */
const SUBSCRIBER_ID_BYTES = 4;

/** The host's name, as far as it is one that the control plane takes. */
function nameOfHost(): string {
  return hostname().replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9._-]/g, "") || "gateway";
}

/** Labels as a setting spells them, each `name=value`. */
function labelsOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => pair.split("=", 2) as [string, string]));
}

/** A client of the control plane for a role of this process. `of`: which principal it is, the same after a restart. */
function clientFor(parts: Parts, name: string, role: Role, of = name): Client {
  return new Client(parts.host, wayFor(parts, name, role, of));
}

/** How a role of this process reaches the control plane: straight in, or over the network. */
function wayFor(parts: Parts, name: string, role: Role, of = name) {
  const { host, settings, control, stack, listeners } = parts;
  const subscriber = `${name.replace(" ", "-")}-${randomId(host.random, SUBSCRIBER_ID_BYTES)}`;
  if (control) {
    return {
      transport: injectTransport(control.app),
      token: control.access.internalToken({ id: of, name, role }),
      subscriber,
    };
  }
  if (settings.token === undefined) {
    throw ServerErrors.SETTINGS_CONFLICT(
      `A ${name} in a process of its own needs a token for ${settings.controlUrls.join(", ")}: ${spellings("token")}.`,
    );
  }
  for (const url of settings.controlUrls) {
    const { hostname, port, protocol } = new URL(url);
    // Nor is the control plane that it follows a service.
    stack.defer(listeners.add({ host: hostname, port: Number(port) || (protocol === "https:" ? 443 : 80) }));
  }
  const transport = stack.use(fetchTransport({ urls: settings.controlUrls }));
  return { transport, token: settings.token, subscriber };
}

/** A gateway that lives by a file, and has no control plane to ask. */
function isAlone({ settings, control }: Pick<Parts, "settings" | "control">): boolean {
  return settings.gatewayFile !== undefined && !control && settings.token === undefined;
}

async function startGateway(parts: Parts): Promise<void> {
  const { createGateway, GATEWAY_SETTINGS, readStickyKey, unheard } = await import("#gateway");
  const { host, settings, stack } = parts;
  const folder = join(settings.data, "gateway");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const names = [
    "localhost",
    "127.0.0.1",
    "::1",
    hostname(),
    ...(isLoopback(settings.gatewayHost) ? [] : [settings.gatewayHost]),
  ];
  const tls =
    settings.gatewayCertFile !== undefined && settings.gatewayKeyFile !== undefined
      ? await readTls(settings.gatewayCertFile, settings.gatewayKeyFile)
      : await ownTls(host, join(settings.data, "tls"), [...new Set(names)]);
  const alone = isAlone(parts);
  const given = {
    ...GATEWAY_SETTINGS,
    namespace: settings.gatewayNamespace,
    instance: { id: settings.gatewayName ?? nameOfHost(), labels: labelsOf(settings.gatewayLabels) },
    zone: settings.gatewayZone,
    host: settings.gatewayHost,
    port: settings.gatewayPort,
    tlsPort: settings.gatewayTlsPort,
    tls,
    configFile: settings.gatewayFile,
    stickyKey: await readStickyKey(host, settings.gatewayStickyKeyFile ?? join(folder, "sticky.key")),
    dataFile: join(folder, "snapshot.json"),
    drainMs: settings.gatewayDrainSeconds * 1000,
  };
  // Loaded with workers, too: a module that cannot be is then an error of the start, not of every worker.
  const filters = await loadFilters(settings.gatewayFilters);
  const way = alone ? undefined : wayFor(parts, "gateway", "gateway", `gateway@${given.instance.id}`);
  let gateway: { listen(): Promise<GatewayPorts> };
  if (settings.gatewayWorkers > 1) {
    const { GatewayWorkers } = await import("./workers/supervisor.ts");
    const workers = stack.use(
      new GatewayWorkers(host, {
        workers: settings.gatewayWorkers,
        way,
        dial: dialRules(parts),
        start: {
          settings: given,
          filterModules: settings.gatewayFilters,
          controlled: way !== undefined,
          subscriber: way?.subscriber ?? "",
          log: { logLevel: settings.logLevel, logFormat: settings.logFormat },
          otlpUrl: settings.otlpUrl,
          traceSampleRatio: settings.traceSampleRatio,
        },
      }),
    );
    parts.notReady.push(() => workers.notReady());
    parts.clusters = () => workers.clusterViews();
    gateway = workers;
  } else {
    const client = way ? new Client(host, way) : unheard;
    const single = stack.use(createGateway(host, { client, settings: { ...given, filters }, dial: dialRules(parts) }));
    workerMetrics(host, () => (single.status().ready ? 1 : 0));
    parts.notReady.push(() => (single.status().ready ? undefined : "gateway: no routes and endpoints were read yet"));
    parts.clusters = async () => single.clusterViews();
    gateway = single;
  }
  try {
    const { httpPort, httpsPort } = await gateway.listen();
    for (const port of [httpPort, httpsPort]) {
      if (port !== undefined) parts.listeners.add({ host: settings.gatewayHost, port });
    }
    parts.addresses.gateway = `http://${settings.gatewayHost}:${httpPort}`;
    if (httpsPort !== undefined) parts.addresses.gatewayTls = `https://${settings.gatewayHost}:${httpsPort}`;
  } catch (error) {
    const { port } = error as { port?: number };
    const setting = port === settings.gatewayTlsPort ? "gatewayTlsPort" : "gatewayPort";
    throw listenError(error, `${settings.gatewayHost}:${port ?? settings.gatewayPort}`, spellings(setting));
  }
}

/** What the gateway of this process sees of its clusters; undefined where it has none for that namespace. */
async function clustersIn({ settings, clusters }: Parts, namespace: string) {
  return namespace === settings.gatewayNamespace ? clusters?.() : undefined;
}

/** What operators ask of a gateway that has no control API beside it. */
async function startOperations(parts: Parts): Promise<void> {
  const { host, settings, stack, addresses } = parts;
  const app = stack.adopt(createHttpServer(host, { name: "operations" }), (app) => closeHttpServer(host, app));
  requireAuth(
    app,
    async (token) => {
      if (!sameSecret(token, settings.token)) throw HttpErrors.TOKEN_INVALID("It is the token of the setting `token`.");
      return { id: "internal:operations", name: "operations", role: "reader" };
    },
    { badTokens: new BadTokens(host, "operations") },
  );
  registerOperations(app, host, { guardMetrics: !isLoopback(settings.host), notReady: () => reasons(parts) });
  if (settings.token !== undefined) {
    const { Explainer, explainPlugin } = await loadExplain();
    const filters = await loadFilters(settings.gatewayFilters);
    const client = clientFor(parts, "explain", "reader");
    const { gatewayFile } = settings;
    const config = gatewayFile === undefined ? {} : { config: () => readFile(gatewayFile, "utf8") };
    const live = (namespace: string) => clustersIn(parts, namespace);
    explainPlugin(app, new Explainer(host, { client, filters, dial: dialRules(parts), live, ...config }));
  }
  try {
    addresses.operations = await app.listen({ host: settings.host, port: settings.operationsPort });
    listensAt(parts, app);
  } catch (error) {
    throw listenError(error, `${settings.host}:${settings.operationsPort}`, spellings("operationsPort"));
  }
}

/** What is not ready yet, in words. */
export function reasons(parts: Pick<Parts, "notReady">): string[] {
  return parts.notReady.flatMap((reason) => reason() ?? []);
}

/** Compares in equal time whatever the texts are. */
function sameSecret(a: string, b: string | undefined): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return b !== undefined && timingSafeEqual(digest(a), digest(b));
}

async function startAgent(parts: Parts): Promise<void> {
  const { AGENT_DEFAULTS, createAgent } = await import("#agent");
  const { settings, stack, addresses } = parts;
  // Where another server of this process has a /metrics, the process is counted there, and the agent counts only what it
  // does itself: a collector of both gets nothing twice.
  const beside = addresses.controlApi !== undefined || addresses.operations !== undefined;
  const host = beside ? { ...parts.host, metrics: createMetrics() } : parts.host;
  const dataDir = join(settings.data, "agent");
  const servicesDir = settings.agentServices ?? join(dataDir, "services");
  await mkdir(servicesDir, { recursive: true, mode: 0o700 });
  const agent = stack.use(
    await createAgent(host, {
      client: clientFor(parts, "agent", "agent", `agent@${settings.agentName ?? hostname()}`),
      settings: {
        ...AGENT_DEFAULTS,
        version: VERSION,
        node: settings.agentName ?? hostname(),
        labels: labelsOf(settings.agentLabels),
        address: settings.agentAddress,
        host: settings.agentHost,
        port: settings.agentPort,
        token: settings.agentToken,
        access: settings.agentAccess,
        dataDir,
        filesDir: join(dataDir, "files"),
        servicesDir,
        sessionTtlSeconds: settings.agentSessionSeconds,
        execAllow: settings.agentExecAllow,
      },
    }),
  );
  try {
    const { port, socket } = await agent.listen();
    parts.listeners.add({ host: settings.agentHost, port });
    parts.addresses.agent = `http://${settings.agentHost}:${port}`;
    if (socket !== undefined) parts.addresses.agentSocket = socket;
  } catch (error) {
    const reason = error instanceof AppError ? error.cause : error;
    throw listenError(reason, `${settings.agentHost}:${settings.agentPort}`, spellings("agentPort"));
  }
}

/** Last, so that nothing waits for it. */
async function startLogLevel(parts: Parts): Promise<void> {
  const { host, stack } = parts;
  if (!host.logControl || isAlone(parts)) return;
  const { config } = clientFor(parts, "log level", "reader");
  const control = host.logControl;
  stack.use(new TaskGroup(host.log)).run("log level", (signal) => followLogLevel(host, { config, control, signal }));
}

/** Queries per second of a client beyond this machine when nobody said how many: far more than hosts with caches ask. */
const DNS_QUERIES_PER_SECOND = 1_000;

/** Over the registry when it is in this process, else over a watch of one namespace. */
async function startDnsServer(parts: Parts): Promise<void> {
  const { parseUpstream, registryCatalog, startDns, WatchedCatalog } = await import("#dns");
  const { host, settings, stack, control } = parts;
  const forwarders = settings.dnsForwarders.map((text) => {
    const upstream = parseUpstream(text);
    if (!upstream) {
      throw ServerErrors.SETTINGS_CONFLICT(
        `"${text}" is no IP address with or without a port, such as 10.0.0.2 or [fd00::2]:5353: ${spellings("dnsForwarders")}.`,
      );
    }
    if (upstream.address === settings.dnsHost && upstream.port === settings.dnsPort) {
      throw ServerErrors.SETTINGS_CONFLICT(`DNS would forward to itself (${text}): ${spellings("dnsForwarders")}.`);
    }
    return upstream;
  });
  let catalog;
  if (control) catalog = registryCatalog(control.registry);
  else {
    const watched = new WatchedCatalog(host, clientFor(parts, "DNS reader", "reader"), settings.dnsNamespace);
    stack.use(new TaskGroup(host.log)).run("DNS catalog", (signal) => watched.run(signal));
    catalog = watched;
  }
  try {
    const { port } = stack.use(
      await startDns(host, catalog, {
        host: settings.dnsHost,
        port: settings.dnsPort,
        zone: {
          labels: settings.dnsZone.replace(/\.$/, "").split("."),
          namespace: settings.dnsNamespace,
          near: settings.dnsNear,
          ttlSeconds: settings.dnsTtlSeconds,
        },
        forwarders,
        limit: {
          perSecond: settings.dnsQueriesPerSecond ?? DNS_QUERIES_PER_SECOND,
          loopback: settings.dnsQueriesPerSecond !== undefined,
        },
      }),
    );
    const name = settings.dnsHost.includes(":") ? `[${settings.dnsHost}]` : settings.dnsHost;
    parts.listeners.add({ host: settings.dnsHost, port });
    parts.addresses.dns = `${name}:${port}`;
  } catch (error) {
    throw listenError(error, `${settings.dnsHost}:${settings.dnsPort}`, spellings("dnsPort"));
  }
}
