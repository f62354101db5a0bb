/**
 * Hands what callers were refused, what they changed and what they revealed to one interface. An implementation decides what to keep; other
 * refusals, such as those of TLS handshakes and of joins, are handed to the same one.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Action, DecidingRule, Resource } from "#authorization";
import { type Clock, type Host, randomId } from "#base";
import { SAFE_METHODS } from "./browser-session.ts";
import type { Principal } from "./principal.ts";
import { refusalOf } from "./problem.ts";

/** A connection has no id of its own in the audit. */
const REQUEST_ID_BYTES = 8;

export interface AuditEvent {
  /** RFC 3339. */
  readonly at: string;
  readonly kind: "denied" | "changed" | "revealed";
  /** Absent: the caller did not prove who it is. */
  readonly principal?: Pick<Principal, "id" | "name" | "kind">;
  readonly address: string;
  readonly action?: Action;
  readonly resource?: Resource;
  readonly method: string;
  /** Template of the path, or the name of what is not a request, such as `tls`. */
  readonly route: string;
  readonly status: number;
  /** Of the problem. */
  readonly code?: string;
  /** The rule that denied it. */
  readonly rule?: Pick<DecidingRule, "policy" | "index">;
  readonly requestId: string;
  readonly traceId?: string;
}

export interface AuditSink {
  /** Must not throw, and must not wait. */
  record(event: AuditEvent): void;
}

/** Records the requests of a server, each when its response has ended. */
export function auditRequests(app: FastifyInstance, sink: AuditSink, clock: Clock): void {
  app.addHook("onResponse", (request, reply, done) => {
    const kind = kindOf(request, reply);
    if (kind !== undefined) sink.record(eventOf(request, reply, { kind, at: new Date(clock.now()).toISOString() }));
    done();
  });
}

/** A refusal of a connection, which never became a request. */
export function refusedConnection(
  host: Host,
  facts: Pick<AuditEvent, "address" | "route" | "status" | "code" | "principal" | "resource">,
): AuditEvent {
  return {
    at: new Date(host.clock.now()).toISOString(),
    kind: "denied",
    method: "CONNECT",
    ...facts,
    requestId: randomId(host.random, REQUEST_ID_BYTES),
  };
}

function kindOf(request: FastifyRequest, { statusCode }: FastifyReply): AuditEvent["kind"] | undefined {
  if (statusCode === 401 || statusCode === 403) return "denied";
  if (statusCode >= 300 || SAFE_METHODS.has(request.method)) return undefined;
  return request.routeOptions.config.action === "config:reveal" ? "revealed" : "changed";
}

function eventOf(
  request: FastifyRequest,
  { statusCode: status }: FastifyReply,
  { kind, at }: Pick<AuditEvent, "kind" | "at">,
): AuditEvent {
  const { principal, resources, routeOptions, span } = request;
  const refusal = refusalOf(request);
  const { action: refused, resource: outside, rule } = (refusal?.extra ?? {}) as Partial<AuditEvent>;
  const { action: named } = routeOptions.config;
  const action = refused ?? (named === "open" || named === "self" ? undefined : named);
  const resource = outside ?? resources?.[0];
  return {
    at,
    kind,
    ...(principal ? { principal: { id: principal.id, name: principal.name, kind: principal.kind } } : {}),
    address: request.ip,
    ...(action === undefined ? {} : { action }),
    ...(resource === undefined ? {} : { resource }),
    method: request.method,
    route: routeOptions.url ?? "none",
    status,
    ...(refusal ? { code: refusal.code } : {}),
    // A missing rule has no policy.
    ...(rule?.policy === undefined ? {} : { rule: { policy: rule.policy, index: rule.index } }),
    requestId: request.id,
    ...(span ? { traceId: span.context.traceId } : {}),
  };
}
