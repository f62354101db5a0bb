/**
 * Explains a request in any process: from the released config and the registry, by the pipeline that gateways run. The
 * explanation therefore applies to every gateway of a namespace. State that only a gateway has (requests in flight,
 * endpoints that just refused a connection) comes from the gateway in this process; without one it counts as empty. Limits
 * always count as unused.
 */
import { canonicalJson, setOwn } from "#base";
import type { Host } from "#base";
import { OwnListeners } from "#base/address-class";
import { DialGuard, type DialRules } from "#base/dial";
import type { Client } from "#client";
import {
  GATEWAY_APP,
  GATEWAY_KEY,
  GATEWAY_PROFILE,
  GatewayErrors,
  OWN_LISTENER,
  type ClusterView,
  type ExplainAnswer,
  type ExplainRequest,
  type GatewayCheckAnswer,
  type GatewayCheckRequest,
  type GatewayConfig,
  type JwtProvider,
  type PlacedProblem,
  type RouteList,
} from "../api.ts";
import { NO_ENDPOINTS, type EndpointSet } from "../core/balancing/endpoints.ts";
import { nextEndpoints } from "../core/balancing/next-endpoints.ts";
import type { CatalogInstance } from "../core/balancing/instance.ts";
import { adoptView } from "../core/decision/cluster-view.ts";
import { explain } from "../core/decision/explain.ts";
import type { Filters } from "../core/request/filter.ts";
import { isBadHead, readHead, type RequestHead } from "../core/request/head.ts";
import { hintedRoutes, type Hints } from "../core/routing/hints.ts";
import { seenBy } from "../core/request/client-address.ts";
import { decide, refuseToken, type Decision, type GatewaySnapshot, type Moment } from "../core/decision/pipeline.ts";
import { compileTable, matchRoute, type CompiledCluster, type RouteTable } from "../core/routing/table.ts";
import { TokenVerifier } from "../tokens/jwt.ts";
import { gatewayConfigSchema } from "../config-schema.ts";
import { parseGatewayConfig, parseNewGatewayConfig } from "../config-text.ts";
import { readConfig } from "../sources/config.ts";
import { routeViews } from "./route-views.ts";

/** Most services whose hints are read when the config accepts those of every service. */
const HINTED_SERVICES_MAX = 200;

export interface ExplainerParts {
  /** undefined: without a registry, so services have no endpoints. */
  readonly client: Pick<Client, "config" | "registry"> | undefined;
  readonly filters: Filters;
  /** Reads the config that replaces the released one; called for each explanation. */
  readonly config?: () => Promise<string>;
  /** The rules for addresses that may be dialed; absent: all except those that no gateway dials. */
  readonly dial?: DialRules;
  /** The clusters as the gateway of this process sees them, by key; undefined: it has no gateway for the namespace. */
  readonly live?: (namespace: string) => Promise<ReadonlyMap<string, ClusterView> | undefined>;
}

export class Explainer {
  readonly #host: Host;
  readonly #parts: ExplainerParts;
  readonly #dial: DialGuard;

  constructor(host: Host, parts: ExplainerParts) {
    this.#host = host;
    this.#parts = parts;
    this.#dial = new DialGuard(parts.dial ?? { loopback: true, own: new OwnListeners(() => []) });
  }

  /** @throws GATEWAY_CONFIG_INVALID, GATEWAY_REQUEST_INVALID, and the errors of calls to the control plane */
  async explain(request: ExplainRequest): Promise<ExplainAnswer> {
    const { namespace = "default" } = request;
    const { text, releaseKey } = await this.#released(namespace);
    const parsed = parseGatewayConfig(text, this.#parts.filters);
    if (!parsed.config) {
      const [first] = parsed.problems;
      throw GatewayErrors.CONFIG_INVALID(`${first?.pointer ?? ""} ${first?.message ?? ""}`.trim());
    }
    // Files that exist only on the hosts of gateways are needed to fetch keys, but not to decide.
    const whole = await readConfig(text, this.#parts.filters);
    const config = whole.config ?? parsed.config;
    return this.#explain(request, { config, releaseKey, providers: config.jwt ?? [] });
  }

  /** The JSON Schema of a config, as text. */
  schema(): string {
    return gatewayConfigSchema(this.#parts.filters);
  }

  /** The routes of the released config. @throws the errors of calls to the control plane */
  async routes(namespace: string): Promise<RouteList> {
    const { text, releaseKey } = await this.#releasedIfAny(namespace);
    return {
      namespace,
      releaseKey,
      ...(await this.#list(namespace, text, parseGatewayConfig(text, this.#parts.filters))),
    };
  }

  /**
   * Checks a config that is not released, as a release would be, and explains a request by it. It reads no files, and fetches
   * keys only from the providers of the released config, so that no draft makes this process call an address of its author's choice.
   * @throws GATEWAY_REQUEST_INVALID, and the errors of calls to the control plane
   */
  async check({ namespace = "default", config: text, request }: GatewayCheckRequest): Promise<GatewayCheckAnswer> {
    const parsed = parseNewGatewayConfig(text, this.#parts.filters);
    const listed = await this.#list(namespace, text, parsed);
    if (!request || !parsed.config) return listed;
    const providers = await this.#knownProviders(namespace, parsed.config.jwt ?? []);
    const draft = { config: parsed.config, releaseKey: "draft", providers };
    return { ...listed, explanation: await this.#explain({ ...request, namespace }, draft) };
  }

  async #list(
    namespace: string,
    text: string,
    parsed: ReturnType<typeof parseGatewayConfig>,
  ): Promise<Omit<RouteList, "namespace" | "releaseKey">> {
    if (!parsed.config)
      return { problems: [...parsed.problems], warnings: [], routes: [], providers: [], hintedServices: [] };
    const { config, warnings } = parsed;
    const { routes: hinted, problems: unused } = hintedRoutes(config, await this.#hints(config, namespace));
    const table = compileTable(config, { namespace, filters: this.#parts.filters, hinted });
    return {
      problems: [],
      warnings: [...warnings.map(placed), ...unused],
      routes: routeViews(table, { text, config, warnings, hinted }),
      providers: (config.jwt ?? []).map(({ name }) => name),
      hintedServices: (config.hints ?? []).map(({ service }) => service),
    };
  }

  /** The providers that the released config contains in the same form, with the contents of their files. */
  async #knownProviders(namespace: string, wanted: readonly JwtProvider[]): Promise<readonly JwtProvider[]> {
    if (wanted.length === 0) return [];
    const { text } = await this.#releasedIfAny(namespace);
    const released = parseGatewayConfig(text, this.#parts.filters).config?.jwt ?? [];
    const whole = (await readConfig(text, this.#parts.filters)).config?.jwt ?? [];
    const same = new Set(wanted.map((provider) => canonicalJson(provider)));
    const known = new Set(released.filter((provider) => same.has(canonicalJson(provider))).map(({ name }) => name));
    return whole.filter(({ name }) => known.has(name));
  }

  async #explain(request: ExplainRequest, { config, releaseKey, providers }: ExplainedConfig): Promise<ExplainAnswer> {
    const { namespace = "default" } = request;
    const { routes: hinted } = hintedRoutes(config, await this.#hints(config, namespace));
    const table = compileTable(config, { namespace, filters: this.#parts.filters, hinted });
    const { head, rawHeaders } = headOf(request, table);
    if (isBadHead(head))
      throw GatewayErrors.REQUEST_INVALID(`Gateways reject this request before they choose a route: ${head.detail}`);
    const live = await this.#parts.live?.(namespace);
    const { endpoints, listed, seen } = await this.#endpoints(table, head, { live, zone: request.zone });
    await using tokens = new TokenVerifier(this.#host, this.#dial);
    tokens.use(providers);
    const snapshot: GatewaySnapshot = { table, endpoints, tokens, limiter: UNCOUNTED };
    const moment = await this.#moment(snapshot, head, tokens);
    const explanation = explain(
      snapshot,
      { head, rawHeaders, ...("decision" in moment ? { decision: moment.decision } : {}) },
      moment,
    );
    return {
      releaseKey,
      ...explanation,
      candidates: [...explanation.candidates],
      steps: [...explanation.steps],
      endpoints: listed,
      ...(seen ? { clusters: seen } : {}),
      outcome: plain(explanation.outcome),
    };
  }

  async #releasedIfAny(namespace: string): Promise<{ text: string; releaseKey: string }> {
    try {
      return await this.#released(namespace);
    } catch (error) {
      if ((error as { code?: string }).code === "CONFIG_SET_NOT_FOUND") return { text: "", releaseKey: "" };
      throw error;
    }
  }

  /** The text of the live config, or of the file that replaces it. */
  async #released(namespace: string): Promise<{ text: string; releaseKey: string }> {
    const { client, config: own } = this.#parts;
    if (own) return { text: await own(), releaseKey: "file" };
    if (!client) return { text: "", releaseKey: "" };
    const effective = await client.config.effective({ namespace, app: GATEWAY_APP, profile: GATEWAY_PROFILE });
    return { text: effective.items[GATEWAY_KEY]?.value ?? "", releaseKey: effective.releaseKey };
  }

  async #hints(config: GatewayConfig, namespace: string): Promise<Hints> {
    const { client } = this.#parts;
    if (!client || !config.hints || config.hints.length === 0) return new Map();
    const named = new Set(config.hints.map(({ service }) => service));
    const known = (await client.registry.services(namespace)).services.map(({ service }) => service);
    const asked = named.has("*") ? known : known.filter((service) => named.has(service));
    const views = await Promise.all(
      asked
        .slice(0, HINTED_SERVICES_MAX)
        .map(async (service) => [service, await client.registry.service({ namespace, service })] as const),
    );
    return new Map(
      views.flatMap(([service, { policy }]) =>
        policy.gateway?.pathPrefixes ? [[service, policy.gateway.pathPrefixes]] : [],
      ),
    );
  }

  /** The endpoints of the clusters that the request's route may use. */
  async #endpoints(
    table: RouteTable,
    head: RequestHead,
    { live, zone }: { live: ReadonlyMap<string, ClusterView> | undefined; zone: string | undefined },
  ) {
    const nowMs = this.#host.clock.monotonic();
    const { route } = matchRoute(table, seenBy(table, head));
    const clusters = new Map(
      [...(route?.backends ?? []), ...(route?.mirrors ?? [])].map(({ route: { cluster } }) => [cluster.key, cluster]),
    );
    const endpoints = new Map<string, EndpointSet>();
    const listed: ExplainAnswer["endpoints"] = [];
    const seen: Record<string, ClusterView> = {};
    for (const cluster of clusters.values()) {
      const instances = await this.#instances(cluster);
      const refusal = (address: string, port: number) => this.#dial.refusal(address, port);
      const set = nextEndpoints(NO_ENDPOINTS, cluster, instances, { nowMs, zone, refusal });
      const view = live?.get(cluster.key);
      if (view) {
        adoptView(set, view, nowMs);
        setOwn(seen, cluster.key, view);
      }
      endpoints.set(cluster.key, set);
      for (const instance of instances) {
        const { id, address, port, weight, status, lifecycle } = instance;
        listed.push({
          cluster: cluster.key,
          id,
          address: `${address}:${port}`,
          weight,
          status,
          lifecycle,
          usable: set.endpoints.some((endpoint) => endpoint.id === id),
        });
      }
    }
    return { endpoints, listed, seen: live && seen };
  }

  async #instances({ instances, namespace, service }: CompiledCluster): Promise<readonly CatalogInstance[]> {
    if (instances) return instances;
    const { client } = this.#parts;
    if (!client) return [];
    try {
      return (await client.registry.instances({ namespace, service })).instances;
    } catch (error) {
      if ((error as { code?: string }).code === "REGISTRY_SERVICE_NOT_FOUND") return [];
      throw error;
    }
  }

  /** The moment with the claims of the token, if the route requires one; or the refusal of the token. */
  async #moment(
    snapshot: GatewaySnapshot,
    head: RequestHead,
    tokens: TokenVerifier,
  ): Promise<Moment & { readonly decision?: Decision }> {
    const { clock, random } = this.#host;
    const moment: Moment = { nowMs: clock.monotonic(), wallMs: clock.now(), random: () => random.float() };
    const first = decide(snapshot, head, moment);
    if (first.kind !== "verify") return moment;
    const verdict = await tokens.verify(first.provider, first.token);
    if (verdict.claims) return { ...moment, claims: verdict.claims };
    return { ...moment, decision: refuseToken(verdict.error, first.route) };
  }
}

interface ExplainedConfig {
  readonly config: GatewayConfig;
  readonly releaseKey: string;
  /** The providers whose keys may be fetched. */
  readonly providers: readonly JwtProvider[];
}

/** Without the members that the contract does not have. */
function placed({ pointer, message, line, column }: PlacedProblem): PlacedProblem {
  return { pointer, message, ...(line === undefined ? {} : { line }), ...(column === undefined ? {} : { column }) };
}

/** A limit that is always unused. */
const UNCOUNTED: GatewaySnapshot["limiter"] = {
  take: (_key, { burst }) => ({ allowed: true, remaining: burst - 1, resetMs: 0, retryMs: 0 }),
};

/** On a shared port, the host decides which listener receives the request. */
function headOf(
  { url, method = "GET", headers = [], peer = "127.0.0.1", listener = OWN_LISTENER }: ExplainRequest,
  { listeners, ports }: RouteTable,
) {
  const port = listeners.get(listener)?.port;
  // Not parsed as a URL, which would normalize the path before the gateway's own parser reads it.
  const [, scheme = "http", authority = "", target = ""] = /^(https?):\/\/([^/?#]*)(.*)$/i.exec(url) ?? [];
  const hosts = headers.some(({ name }) => name.toLowerCase() === "host") ? [] : ["Host", authority];
  const rawHeaders = [...hosts, ...headers.flatMap(({ name, value }) => [name, value])];
  const raw = {
    method,
    target: target.startsWith("/") ? target : `/${target}`,
    version: "1.1",
    scheme: scheme.toLowerCase() === "https" ? ("https" as const) : ("http" as const),
    peer,
    rawHeaders,
  };
  const head = readHead(port === undefined ? { ...raw, listener } : { ...raw, port }, ports);
  return { head, rawHeaders };
}

/** Removes undefined members. */
function plain(outcome: object): ExplainAnswer["outcome"] {
  return JSON.parse(JSON.stringify(outcome)) as ExplainAnswer["outcome"];
}
