/**
 * One decision for every lane, and for whoever asks why: match → authenticate → authorise → limit → choose an
 * endpoint. Pure: a snapshot, a head and the moment go in, plain data comes out. Checking a signature takes a promise,
 * so a token not seen before comes out as `verify`; the lane has it checked and asks again with its claims.
 */
import { GATEWAY_FLAGS, GatewayErrors, TOKEN_BYTES_MAX, type GatewayErrorName, type GatewayFlag } from "../api.ts";
import { pick } from "./balancer.ts";
import { allows, claimValues, entryNames, type Claims } from "./claims.ts";
import { NO_ENDPOINTS, type Endpoint, type EndpointSet } from "./endpoints.ts";
import type { RequestHead } from "./head.ts";
import { addressGroup, type RateLimiter } from "./rate-limit.ts";
import { matchRoute, upstreamPath, type CompiledRoute, type RouteTable } from "./table.ts";

/** Tokens whose signature and times were found good. */
export interface VerifiedTokens {
  /** The claims of a token known to be good at this moment. */
  get(provider: string, token: string, wallMs: number): Claims | undefined;
}

/** All that decisions rest on. Immutable but for the counts; the next one is built beside it and swapped in. */
export interface GatewaySnapshot {
  readonly table: RouteTable;
  /** By cluster key. */
  readonly endpoints: ReadonlyMap<string, EndpointSet>;
  readonly tokens: VerifiedTokens;
  readonly limiter: Pick<RateLimiter, "take">;
}

export interface Moment {
  /** Monotonic milliseconds, for limits. */
  readonly nowMs: number;
  /** Milliseconds since 1970, for tokens. */
  readonly wallMs: number;
  readonly random: () => number;
  /** Of the token that the last answer asked to have checked. */
  readonly claims?: Claims;
}

export type HeaderPair = readonly [name: string, value: string];

export interface Forward {
  readonly kind: "forward";
  readonly route: CompiledRoute;
  readonly endpoint: Endpoint;
  /** To choose another from, should this one fail. */
  readonly endpoints: EndpointSet;
  /** Path and query for the upstream. */
  readonly target: string;
  /** Headers for the upstream beside the client's. */
  readonly setHeaders: readonly HeaderPair[];
  /** Headers for the client beside the upstream's. */
  readonly answerHeaders: readonly HeaderPair[];
}

export interface Verify {
  readonly kind: "verify";
  readonly route: CompiledRoute;
  readonly provider: string;
  readonly token: string;
}

export interface Refuse {
  readonly kind: "refuse";
  readonly route: CompiledRoute | undefined;
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly flag: GatewayFlag;
  readonly detail: string;
  readonly headers: readonly HeaderPair[];
}

export type Decision = Forward | Verify | Refuse;

const NO_HEADERS: readonly HeaderPair[] = [];

/** A refusal by its row in the error table. */
export function refuse(
  name: GatewayErrorName,
  detail: string,
  options: { route?: CompiledRoute | undefined; headers?: readonly HeaderPair[] } = {},
): Refuse {
  const row = GatewayErrors[name];
  return {
    kind: "refuse",
    route: options.route,
    status: row.status,
    code: row.code,
    title: row.title,
    flag: GATEWAY_FLAGS[name],
    detail,
    headers: options.headers ?? NO_HEADERS,
  };
}

export function decide(snapshot: GatewaySnapshot, head: RequestHead, moment: Moment): Decision {
  const match = matchRoute(snapshot.table, head);
  if (match.route === undefined) return refuseUnmatched(match.allow, head);
  const { route } = match;
  let claims: Claims | undefined;
  if (route.jwt) {
    const found = authenticate(route, route.jwt.provider, snapshot, head, moment);
    if ("kind" in found) return found;
    claims = found.claims;
    if (route.acl && !allows(route.acl, claims)) {
      return refuse("ACCESS_DENIED", `Route "${route.name}" lets in by ${entryNames(route.acl)} only.`, {
        route,
        headers: [["www-authenticate", 'Bearer error="insufficient_scope"']],
      });
    }
  }
  let answerHeaders = NO_HEADERS;
  if (route.rateLimit) {
    const limited = limit(route, route.rateLimit, snapshot, head, moment, claims);
    if ("kind" in limited) return limited;
    answerHeaders = limited.headers;
  }
  const endpoints = snapshot.endpoints.get(route.cluster.key) ?? NO_ENDPOINTS;
  const endpoint = pick(endpoints, moment.random, { inFlightMax: route.cluster.inFlightMax, nowMs: moment.nowMs });
  if (!endpoint) return refuseEndpoint(route, endpoints);
  return {
    kind: "forward",
    route,
    endpoint,
    endpoints,
    target: upstreamPath(route, head.path) + head.query,
    setHeaders:
      claims && route.jwt && route.jwt.forward.length > 0 ? claimHeaders(route.jwt.forward, claims) : NO_HEADERS,
    answerHeaders,
  };
}

function refuseUnmatched(allow: readonly string[], head: RequestHead): Refuse {
  if (allow.length === 0) return refuse("ROUTE_NOT_FOUND", "No route matches this host and path.");
  return refuse("METHOD_NOT_ALLOWED", `${head.method} is not among the methods of this path.`, {
    headers: [["allow", allow.join(", ")]],
  });
}

/** No endpoint at all, or none with room: either way the client may come back soon. */
export function refuseEndpoint(route: CompiledRoute, endpoints: EndpointSet): Refuse {
  const { service, namespace } = route.cluster;
  const headers: HeaderPair[] = [["retry-after", "1"]];
  return endpoints.endpoints.length === 0
    ? refuse("NO_ENDPOINT", `Service "${service}" in namespace "${namespace}" has no healthy endpoint.`, {
        route,
        headers,
      })
    : refuse("OVERLOADED", `Every endpoint of service "${service}" has as many requests in flight as it may have.`, {
        route,
        headers,
      });
}

function authenticate(
  route: CompiledRoute,
  provider: string,
  snapshot: GatewaySnapshot,
  head: RequestHead,
  moment: Moment,
): { readonly claims: Claims } | Verify | Refuse {
  const values = head.header("authorization");
  if (values.length === 0) return refuseToken("TOKEN_MISSING", route);
  const token = values.length === 1 ? bearerToken(values[0] as string) : undefined;
  if (token === undefined) return refuseToken("TOKEN_INVALID", route);
  const claims = moment.claims ?? snapshot.tokens.get(provider, token, moment.wallMs);
  return claims ? { claims } : { kind: "verify", route, provider, token };
}

/** Three base64url parts behind `Bearer`, not too long; anything else is no token. */
function bearerToken(value: string): string | undefined {
  if (value.length > TOKEN_BYTES_MAX + "Bearer ".length) return undefined;
  return /^Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i.exec(value)?.[1];
}

export type TokenRefusal = "TOKEN_MISSING" | "TOKEN_INVALID" | "TOKEN_EXPIRED" | "KEYS_UNAVAILABLE";

/** The same words for every flaw of a token, so that the answer helps nobody to make a better one. */
const TOKEN_WORDS: Record<TokenRefusal, { detail: string; headers: readonly HeaderPair[] }> = {
  TOKEN_MISSING: {
    detail: "Send a bearer token in the Authorization header.",
    headers: [["www-authenticate", "Bearer"]],
  },
  TOKEN_INVALID: {
    detail: "The bearer token is not valid here.",
    headers: [["www-authenticate", 'Bearer error="invalid_token"']],
  },
  TOKEN_EXPIRED: {
    detail: "The bearer token has expired; get a new one.",
    headers: [["www-authenticate", 'Bearer error="invalid_token", error_description="expired"']],
  },
  KEYS_UNAVAILABLE: {
    detail: "The keys that tokens are checked with could not be fetched yet.",
    headers: [["retry-after", "5"]],
  },
};

export function refuseToken(error: TokenRefusal, route: CompiledRoute): Refuse {
  const { detail, headers } = TOKEN_WORDS[error];
  return refuse(error, detail, { route, headers });
}

function limit(
  route: CompiledRoute,
  { policy, by, header }: NonNullable<CompiledRoute["rateLimit"]>,
  snapshot: GatewaySnapshot,
  head: RequestHead,
  moment: Moment,
  claims: Claims | undefined,
): { readonly headers: readonly HeaderPair[] } | Refuse {
  // Those without the claim share one allowance, or leaving it out would be the way around.
  const who = by === "ip" ? addressGroup(head.peer) : JSON.stringify(claimValues(claims ?? {}, by.claim));
  const verdict = snapshot.limiter.take(`${route.name} ${who}`, policy, moment.nowMs);
  // Sums of spacings are not exact in floating point; 30.000000001 s are 30.
  const seconds = (ms: number) => Math.ceil(ms / 1000 - 1e-6);
  if (verdict.allowed) {
    // draft-ietf-httpapi-ratelimit-headers-11
    const left = `"default";r=${verdict.remaining};t=${seconds(verdict.resetMs)}`;
    return {
      headers: [
        ["ratelimit-policy", header],
        ["ratelimit", left],
      ],
    };
  }
  const retry = Math.max(1, seconds(verdict.retryMs));
  return refuse(
    "RATE_LIMITED",
    `Route "${route.name}" allows ${policy.requests} requests in ${policy.perMs / 1000} s.`,
    {
      route,
      headers: [
        ["retry-after", String(retry)],
        ["ratelimit-policy", header],
        ["ratelimit", `"default";r=0;t=${retry}`],
      ],
    },
  );
}

/** Characters of one forwarded claim. */
const CLAIM_CHARS_MAX = 1024;

/** Claims as headers. What no header can carry is percent-encoded, so that a claim never ends a line. */
function claimHeaders(forward: readonly (readonly [string, string])[], claims: Claims): HeaderPair[] {
  const headers: HeaderPair[] = [];
  for (const [claim, header] of forward) {
    const values = claimValues(claims, claim);
    if (values.length === 0) continue;
    const separator = claim === "scope" || claim === "scp" ? " " : ",";
    const text = values
      .map((value) => value.replaceAll(/[^\x20-\x7e]|[%,]/gu, (char) => encodeURIComponent(char)))
      .join(separator);
    headers.push([header, text.slice(0, CLAIM_CHARS_MAX)]);
  }
  return headers;
}
