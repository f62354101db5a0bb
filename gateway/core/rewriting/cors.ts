/**
 * Cross-origin requests, by the Fetch standard. Origins are compared as a whole: scheme, host and port. A wildcard matches
 * labels of the host only. The answer contains the origin of the request, never a list, and lists it in `Vary`.
 */
import { setOwn } from "#base";
import type { Cors } from "../../api.ts";
import { addVary } from "./header-edits.ts";
import type { RequestHead } from "../request/head.ts";

export interface CompiledCors {
  readonly anyOrigin: boolean;
  readonly exact: ReadonlySet<string>;
  readonly wildcards: readonly { readonly scheme: string; readonly suffix: string }[];
  readonly methods: string;
  readonly headers: string | undefined;
  /** Each header that a preflight requests is allowed by name. */
  readonly echoesHeaders: boolean;
  readonly exposeHeaders: string | undefined;
  readonly credentials: boolean;
  readonly maxAgeSeconds: number;
}

const CORS_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] as const;
const ORIGIN = /^(https?):\/\/(\*\.)?([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:]+\])(:\d{1,5})?$/;

/** The problem of an origin in a config; undefined: none. */
export function originProblem(origin: string): string | undefined {
  if (origin === "*" || ORIGIN.test(origin)) return undefined;
  return `"${origin}" is not a valid origin. Use scheme and host in lower case, such as https://app.example or https://*.example, without a path.`;
}

export function compileCors(cors: Cors, maxAgeSeconds: number): CompiledCors {
  const wildcards = cors.origins.filter((origin) => origin.includes("://*."));
  return {
    anyOrigin: cors.origins.includes("*"),
    exact: new Set(cors.origins.filter((origin) => !origin.includes("*"))),
    wildcards: wildcards.map((origin) => {
      const [scheme = "", rest = ""] = origin.split("*");
      return { scheme, suffix: rest };
    }),
    methods: (cors.methods ?? CORS_METHODS).join(", "),
    headers: cors.headers?.join(", "),
    // With credentials, browsers read * as the name of a header.
    echoesHeaders: (cors.credentials ?? false) && (cors.headers?.includes("*") ?? false),
    exposeHeaders: cors.exposeHeaders?.join(", "),
    credentials: cors.credentials ?? false,
    maxAgeSeconds: cors.maxAgeSeconds ?? maxAgeSeconds,
  };
}

function allowedOrigin(cors: CompiledCors, head: Pick<RequestHead, "header">): string | undefined {
  const [origin, ...more] = head.header("origin");
  if (origin === undefined || more.length > 0) return undefined;
  if (cors.anyOrigin) return "*";
  if (cors.exact.has(origin)) return origin;
  // The star matches labels of a name only: not a port, a path or userinfo.
  const matches = cors.wildcards.some(
    ({ scheme, suffix }) =>
      origin.startsWith(scheme) &&
      origin.endsWith(suffix) &&
      /^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(origin.slice(scheme.length, origin.length - suffix.length)),
  );
  return matches ? origin : undefined;
}

/**
 * Whether a page of a foreign origin opens a WebSocket: neither an allowed origin nor the service's own. Browsers send no
 * preflight for a WebSocket and let every page use it with the user's cookies, so the server has to check. Other clients
 * send no Origin. @see RFC 6455 §10.2
 */
export function isForeignWebSocket(cors: CompiledCors, head: RequestHead): boolean {
  const origins = head.header("origin");
  if (cors.anyOrigin || origins.length === 0) return false;
  if (!head.header("upgrade").some((protocol) => protocol.trim().toLowerCase() === "websocket")) return false;
  return allowedOrigin(cors, head) === undefined && !(origins.length === 1 && isOwnOrigin(origins[0] as string, head));
}

/** Compares as URLs, so that the default port may be explicit. */
function isOwnOrigin(origin: string, { scheme, authority }: RequestHead): boolean {
  const own = URL.parse(`${scheme}://${authority}`)?.origin;
  return own !== undefined && URL.parse(origin)?.origin === own;
}

/** The method that a preflight requests; undefined when the request is not a preflight. */
export function preflightMethod(head: Pick<RequestHead, "method" | "header">): string | undefined {
  if (head.method !== "OPTIONS" || head.header("origin").length !== 1) return undefined;
  const [method, ...more] = head.header("access-control-request-method");
  return more.length === 0 ? method : undefined;
}

type Pairs = (readonly [name: string, value: string])[];

/** The answer to a preflight. An origin that is not allowed gets no CORS headers, which browsers treat as a refusal. */
export function preflightHeaders(cors: CompiledCors, head: RequestHead): Pairs {
  const vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
  const origin = allowedOrigin(cors, head);
  if (origin === undefined) return [["vary", vary]];
  const headers: Pairs = [
    ["access-control-allow-origin", origin],
    ["access-control-allow-methods", cors.methods],
    ["access-control-max-age", String(cors.maxAgeSeconds)],
    ["vary", vary],
  ];
  const allowed = cors.echoesHeaders ? askedHeaders(head) : cors.headers;
  if (allowed !== undefined) headers.push(["access-control-allow-headers", allowed]);
  if (cors.credentials) headers.push(["access-control-allow-credentials", "true"]);
  return headers;
}

/** Most headers that a preflight may request: as many as a route can list. */
const ASKED_MAX = 64;
const FIELD_NAME = /^[!#$%&'+.^_`|~0-9A-Za-z-]{1,128}$/;

/** The headers that a preflight requests; undefined when a name is not valid, or when there are too many. */
function askedHeaders(head: RequestHead): string | undefined {
  const names = head
    .header("access-control-request-headers")
    .flatMap((line) => line.split(","))
    .map((name) => name.trim());
  return names.length > 0 && names.length <= ASKED_MAX && names.every((name) => FIELD_NAME.test(name))
    ? names.join(", ")
    : undefined;
}

/** The CORS headers of an answer, from the service or from the gateway. */
export function corsHeaders(cors: CompiledCors, head: Pick<RequestHead, "header">): Pairs {
  const headers: Pairs = cors.anyOrigin ? [] : [["vary", "Origin"]];
  const origin = allowedOrigin(cors, head);
  if (origin === undefined) return headers;
  headers.push(["access-control-allow-origin", origin]);
  if (cors.credentials) headers.push(["access-control-allow-credentials", "true"]);
  if (cors.exposeHeaders !== undefined) headers.push(["access-control-expose-headers", cors.exposeHeaders]);
  return headers;
}

/** Adds the headers to an answer and removes the service's own, since browsers reject contradictory ones. */
export function applyCors(headers: Record<string, string | string[] | undefined>, pairs: Readonly<Pairs>): void {
  for (const name of Object.keys(headers)) if (name.startsWith("access-control-")) delete headers[name];
  for (const [name, value] of pairs) {
    if (name === "vary") addVary(headers, value);
    else setOwn(headers, name, value);
  }
}
