/**
 * The last step of a decision: the part of a split, the path, the endpoint, the headers, and the mirrors.
 */
import { isDead, isEjected, pick } from "../balancing/balancer.ts";
import type { CompiledCluster } from "../balancing/cluster.ts";
import { cookieValue } from "../routing/conditions.ts";
import type { CompiledConsumer } from "../callers/consumers.ts";
import type { Claims } from "../callers/claims.ts";
import { corsHeaders } from "../rewriting/cors.ts";
import { claimHeaders } from "./credentials.ts";
import type { Caller, Forward, GatewaySnapshot, Moment } from "./decision.ts";
import { isSilent } from "../balancing/endpoint-load.ts";
import { NO_ENDPOINTS, type Endpoint, type EndpointSet } from "../balancing/endpoints.ts";
import type { FilterRequest } from "../request/filter.ts";
import type { RequestHead } from "../request/head.ts";
import { renderEdits } from "../rewriting/header-edits.ts";
import { limitedKey } from "./limit.ts";
import { pathVariables } from "../paths/path-pattern.ts";
import { refuse, type Refuse } from "./refusal.ts";
import type { HeaderPair } from "../request/header-list.ts";
import { upstreamPath } from "../rewriting/rewrite.ts";
import type { CompiledRoute, ForwardRoute } from "../routing/route.ts";
import { chooseBackend } from "../routing/traffic-split.ts";
import type { TemplateContext } from "../rewriting/template.ts";

const NO_HEADERS: readonly HeaderPair[] = [];
/** Clients may retry after one second. */
const SOON: readonly HeaderPair[] = [["retry-after", "1"]];
const NO_MIRRORS: readonly Forward[] = [];

/** The changes that filters made to the request. */
export interface FilterChanges {
  /** In lower case. */
  readonly remove: readonly string[] | undefined;
  readonly set: readonly HeaderPair[] | undefined;
  request(caller: Caller): FilterRequest;
}

export function contextOf(route: CompiledRoute, head: RequestHead, { claims, consumer }: Caller): TemplateContext {
  const { path } = route;
  const named = path.kind === "template" || path.kind === "regex";
  return {
    head,
    route: route.name,
    consumer: consumer?.name,
    claims,
    variables: named ? pathVariables(path, head.path) : {},
  };
}

export function forward(
  matched: CompiledRoute,
  snapshot: GatewaySnapshot,
  head: RequestHead,
  moment: Moment,
  given: Caller & { filters: FilterChanges; answerHeaders: readonly HeaderPair[] },
): Forward | Refuse {
  const { filters, consumer, claims } = given;
  // Almost every route has a single backend and no edits, so neither should cost anything.
  const backend =
    matched.backends.length === 1
      ? matched.backends[0]
      : chooseBackend(matched, { head, consumer, pinned: sessionOf(matched, snapshot, head) }, moment.random);
  if (!backend) return refuse("INTERNAL", "The route has no backend.", { route: matched });
  const { route } = backend;
  if (matched.backends.length > 1) moment.trace?.({ step: "split", verdict: "pass", detail: route.cluster.key });
  // A rewrite starts from the matched path, which has no parameters.
  const path = upstreamPath(route, route.rewrite ? head.path : (head.written ?? head.path));
  if (path === undefined) return refuse("PATH_INVALID", "The rewritten path is not valid.", { route });
  const endpoints = snapshot.endpoints.get(route.cluster.key) ?? NO_ENDPOINTS;
  const overloaded = overload(route, endpoints);
  if (overloaded !== undefined) return refuse("OVERLOADED", overloaded, { route, headers: SOON });
  const pinned = route.sticky && pinnedTo(route, route.sticky.cookie, snapshot, head, endpoints);
  const endpoint = usablePin(pinned?.endpoint, route, moment) ?? choose(route, endpoints, head, moment);
  if (route.sticky) {
    moment.trace?.({
      step: "sticky",
      verdict: "pass",
      detail: pinned?.endpoint ? `to ${pinned.endpoint.id}` : "a new choice",
    });
  }
  if (!endpoint) return refuseEndpoint(route, endpoints, moment.nowMs);
  const { concurrency } = route;
  const held = concurrency && `${route.name} ${limitedKey(concurrency.by, head, given)}`;
  // The last check that may refuse, since a taken place must be released.
  if (held !== undefined && snapshot.concurrency?.take(held, concurrency?.requests ?? 0) === false) {
    const detail = `Route "${route.name}" allows ${concurrency?.requests} concurrent requests.`;
    return refuse("RATE_LIMITED", detail, { route, headers: [["retry-after", "1"], ...given.answerHeaders] });
  }
  moment.trace?.({ step: "endpoint", verdict: "pass", detail: `${endpoint.id} at ${endpoint.authority}` });
  const context = backend.edits && contextOf(route, head, given);
  const edits = context && renderEdits(backend.edits?.request ?? [], context);
  const made: Forward = {
    kind: "forward",
    route,
    endpoint,
    endpoints,
    target: path + head.query,
    authority: route.hostRewrite,
    setHeaders: identityHeaders(route, claims, consumer, filters.set),
    edits: filters.remove
      ? { drop: new Set([...filters.remove, ...(edits?.drop ?? [])]), put: edits?.put ?? [] }
      : edits,
    answerHeaders: given.answerHeaders,
    answerEdits: context && renderEdits(backend.edits?.response ?? [], context),
    cors: route.cors && corsHeaders(route.cors, head),
    sticky: route.sticky && { ...route.sticky, pinned: pinned?.named },
    mirrors: NO_MIRRORS,
    filters: route.filters,
    held,
    request: filters.request({ claims, consumer }),
  };
  return matched.mirrors.length === 0 ? made : { ...made, mirrors: mirrorsOf(matched, made, snapshot, moment) };
}

function choose(
  { cluster }: ForwardRoute,
  endpoints: EndpointSet,
  head: RequestHead,
  moment: Moment,
): Endpoint | undefined {
  const { inFlightMax, balance, hashBy, slowStartMs, panicPercent } = cluster;
  const hashKey = hashBy && hashKeyOf(hashBy, head);
  const { nowMs } = moment;
  return pick(endpoints, moment.random, { inFlightMax, nowMs, balance, hashKey, slowStartMs, panicPercent });
}

function hashKeyOf(by: NonNullable<CompiledCluster["hashBy"]>, head: RequestHead): string | undefined {
  if (by === "ip") return head.client;
  return "header" in by ? head.header(by.header.toLowerCase())[0] : cookieValue(head.header("cookie"), by.cookie);
}

/** Share of an adaptive limit that requests may use, by importance. The rest is reserved for more important requests. */
const ADMITTED = [0.7, 0.9, 1] as const;

/** Why a cluster accepts no further request now; undefined when it does. A queue would only hide an overload. */
function overload(route: ForwardRoute, { endpoints }: EndpointSet): string | undefined {
  const state = endpoints[0]?.load.cluster;
  if (!state) return undefined;
  const { service, breaker } = route.cluster;
  if (state.inFlight + state.others.inFlight >= breaker.requestsMax) {
    return `Service "${service}" has ${breaker.requestsMax} requests in flight, the limit of its breaker.`;
  }
  const { gradient } = state;
  if (gradient && state.inFlight >= gradient.limit * (ADMITTED[route.importance] as number)) {
    return `Service "${service}" has reached its adaptive limit of ${gradient.limit} concurrent requests.`;
  }
  return undefined;
}

/** Finds out whether the caller's cookie belongs to a cluster; undefined without a cookie. */
function sessionOf({ sticky }: CompiledRoute, snapshot: GatewaySnapshot, head: RequestHead) {
  const value = sticky && cookieValue(head.header("cookie"), sticky.cookie);
  if (value === undefined) return undefined;
  return (cluster: string) => snapshot.sticky?.read(value, cluster) !== undefined;
}

/** The endpoint that the caller's cookie names, if it is in the set. */
function pinnedTo(
  route: ForwardRoute,
  cookie: string,
  snapshot: GatewaySnapshot,
  head: RequestHead,
  { endpoints }: EndpointSet,
): { readonly named: string | undefined; readonly endpoint: Endpoint | undefined } {
  const value = cookieValue(head.header("cookie"), cookie);
  const named = value === undefined ? undefined : snapshot.sticky?.read(value, route.cluster.key);
  return { named, endpoint: named === undefined ? undefined : endpoints.find(({ id }) => id === named) };
}

function usablePin(endpoint: Endpoint | undefined, route: ForwardRoute, { nowMs }: Moment): Endpoint | undefined {
  if (
    !endpoint ||
    endpoint.load.inFlight >= route.cluster.inFlightMax ||
    endpoint.load.avoidUntilMs > nowMs ||
    isEjected(endpoint, nowMs)
  )
    return undefined;
  return endpoint;
}

function mirrorsOf(
  matched: CompiledRoute,
  primary: Forward,
  snapshot: GatewaySnapshot,
  moment: Moment,
): readonly Forward[] {
  const mirrors: Forward[] = [];
  for (const { route, share } of matched.mirrors) {
    if (share < 1 && moment.random() >= share) continue;
    const endpoints = snapshot.endpoints.get(route.cluster.key) ?? NO_ENDPOINTS;
    const endpoint = choose(route, endpoints, primary.request.head, moment);
    // Without an endpoint for the copy, only the copy is dropped.
    if (endpoint) mirrors.push({ ...primary, route, endpoint, endpoints, sticky: undefined, held: undefined });
  }
  return mirrors;
}

/** The headers that identify the caller to the service. Only the gateway can set them. */
function identityHeaders(
  route: CompiledRoute,
  claims: Claims | undefined,
  consumer: CompiledConsumer | undefined,
  set: readonly HeaderPair[] | undefined,
): readonly HeaderPair[] {
  const forwarded =
    claims && route.jwt && route.jwt.forward.length > 0 ? claimHeaders(route.jwt.forward, claims) : NO_HEADERS;
  if (!consumer && !set) return forwarded;
  const headers: HeaderPair[] = [...forwarded, ...(set ?? [])];
  if (consumer) {
    headers.push(["x-consumer-name", consumer.name]);
    if (consumer.groups.size > 0) headers.push(["x-consumer-groups", [...consumer.groups].join(",")]);
  }
  return headers;
}

/** The set is empty, or every endpoint is full. In both cases the client may retry soon. */
function refuseEndpoint(route: ForwardRoute, endpoints: EndpointSet, nowMs: number): Refuse {
  const { service, namespace } = route.cluster;
  if (endpoints.endpoints.length === 0) {
    const reason = endpoints.absence === undefined ? "" : `: ${endpoints.absence}`;
    const detail = `Service "${service}" in namespace "${namespace}" has no healthy endpoint${reason}.`;
    return refuse("NO_ENDPOINT", detail, { route, headers: SOON });
  }
  const detail = `Every endpoint of service "${service}" has reached its limit of requests in flight.`;
  return refuseDead(route, endpoints, nowMs) ?? refuse("OVERLOADED", detail, { route, headers: SOON });
}

/** The refusal when the registry lists healthy instances, but none accepts connections; undefined while one may. */
export function refuseDead(route: ForwardRoute, set: EndpointSet, nowMs: number): Refuse | undefined {
  if (!isDead(set, nowMs)) return undefined;
  const silent = set.endpoints.filter(({ load }) => isSilent(load)).length;
  const refusing = set.endpoints.length - silent;
  const how = [...(refusing > 0 ? [`${refusing} refused`] : []), ...(silent > 0 ? [`${silent} did not answer`] : [])];
  const detail = `No endpoint of service "${route.cluster.service}" accepts connections: of its ${set.endpoints.length}, ${how.join(" and ")}.`;
  return refuse("NO_ENDPOINT", detail, { route, headers: SOON });
}
