/**
 * Who calls, and what they may do. A principal has one role; a role is a list of actions; a route names the action it
 * needs. Where tokens are kept is not known here: an authenticator is handed in.
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { BadTokens } from "./bad-tokens.ts";
import { within } from "./limits.ts";
import { type AboutRoute, fieldsOf, requireWithinLimits, type RouteFields, valuesAt } from "./route-limits.ts";
import { HttpErrors } from "./problem.ts";
import type { Principal } from "./principal.ts";
import type { Role } from "./principal.ts";

export const ACTIONS = [
  "registry:read",
  "registry:write",
  "registry:policies",
  "registry:override",
  "config:read",
  "config:acknowledge",
  "config:draft",
  "config:review",
  "config:publish",
  "config:rules",
  "config:secrets",
  "config:reveal",
  "config:keys",
  "config:audit",
  "locks:read",
  "locks:write",
  "locks:break",
  "quotas:lease",
  "access:manage",
  "operations:read",
] as const;
export type Action = (typeof ACTIONS)[number];

/**
 * What each role may do. An agent lives on a service's host, so it registers, reads and acknowledges, but never publishes.
 * A gateway follows and acknowledges, and leases from shared limits. An editor drafts, proposes and reviews; an operator
 * publishes. Secrets of configs are told to agents alone, for the services; an operator reveals one at a time, which is
 * audited. A reader changes nothing, so that no decision depends on its word.
 */
const ALLOWED: Record<Role, readonly Action[]> = {
  operator: ACTIONS.filter((action) => action !== "config:secrets"),
  agent: [
    "registry:read",
    "registry:write",
    "config:read",
    "config:secrets",
    "config:acknowledge",
    "locks:read",
    "locks:write",
  ],
  gateway: ["registry:read", "config:read", "config:acknowledge", "quotas:lease", "locks:read", "operations:read"],
  editor: ["registry:read", "config:read", "config:draft", "config:review", "locks:read"],
  reader: ["registry:read", "config:read", "locks:read", "operations:read"],
};

/** Whether a principal is told the secrets of an app in the clear. */
export function isToldSecrets(principal: Principal, app: string): boolean {
  return can(principal, "config:secrets") && within(principal.secretApps ?? [], app);
}

/** Sessions, which belong to the principal that opened them. */
export interface SessionOwners {
  /** Refuses a session that is another's, or is not there. @throws what the route says of a session that is not there */
  require(principal: Principal, session: string, path: string): Promise<void>;
}

/** @throws HTTP_TOKEN_INVALID, HTTP_TOKEN_EXPIRED */
export type Authenticate = (token: string) => Promise<Principal>;

export function can(principal: Principal, action: Action): boolean {
  return ALLOWED[principal.role].includes(action);
}

declare module "fastify" {
  interface FastifyRequest {
    /** Who calls; null on routes open to all. */
    principal: Principal | null;
  }
  interface FastifyContextConfig {
    /** What the caller must be allowed to do; "open" needs no token. Every route names one. */
    action?: Action | "open";
    /** Where limits cannot be read from the schema: the route names nothing, or leaving names out means all of them. */
    about?: AboutRoute;
  }
}

const BEARER = /^Bearer +([A-Za-z0-9._~+/-]{1,4096}=*) *$/i;

/** The bearer token of a request; undefined when there is none, or a header that is not one. */
export function bearerOf({ headers: { authorization } }: FastifyRequest): string | undefined {
  return authorization === undefined ? undefined : BEARER.exec(authorization)?.[1];
}

function tokenOf(request: FastifyRequest): string {
  if (request.headers.authorization === undefined) {
    throw HttpErrors.TOKEN_MISSING(
      "No token. Send `Authorization: Bearer TOKEN`; the operator's token was printed at the first start.",
    );
  }
  const token = bearerOf(request);
  if (token === undefined) throw HttpErrors.TOKEN_INVALID("The Authorization header is not `Bearer TOKEN`.");
  return token;
}

/** Checks every route of this instance: a route that names no action does not start. */
export function requireAuth(
  app: FastifyInstance,
  authenticate: Authenticate,
  { badTokens, sessions }: { badTokens: BadTokens; sessions?: SessionOwners },
): void {
  app.decorateRequest("principal", null);
  const fields = new Map<string, RouteFields>();
  app.addHook("onRoute", (route) => {
    if (route.config?.action === undefined) throw new Error(`route ${route.url} names no action`);
    const found = fieldsOf(route);
    for (const method of [route.method].flat()) fields.set(`${method} ${route.url}`, found);
    if (found.sessions.length > 0 && !sessions) throw new Error(`route ${route.url} takes a session`);
  });
  app.addHook("onRequest", async (request) => {
    const action = request.routeOptions.config.action;
    if (request.is404 || action === undefined || action === "open") return;
    try {
      request.principal = await authenticate(tokenOf(request));
    } catch (error) {
      if (HttpErrors.TOKEN_INVALID.is(error) || HttpErrors.TOKEN_EXPIRED.is(error)) badTokens.refuse(request.ip);
      throw error;
    }
    if (!can(request.principal, action)) {
      throw HttpErrors.FORBIDDEN(
        `"${request.principal.name}" has the role ${request.principal.role}, which may not ${action}.`,
        { extra: { action } },
      );
    }
  });
  // Once the request is read, and before anything is said of its form: names are where the schema says, or nowhere.
  app.addHook("preValidation", (request, _reply, done) => {
    const { principal, routeOptions } = request;
    const { url = "", config } = routeOptions;
    const found = fields.get(`${request.method} ${url}`);
    if (principal?.limits === undefined || config.action === undefined || found === undefined) return done();
    try {
      requireWithinLimits(request, principal, { action: config.action, about: config.about, fields: found });
    } catch (error) {
      return done(error as Error);
    }
    done();
  });
  // Sessions once the form is right: a session that is not there is then the only thing that is wrong.
  app.addHook("preHandler", async (request) => {
    const { principal, routeOptions } = request;
    const { url = "" } = routeOptions;
    const found = fields.get(`${request.method} ${url}`);
    if (principal === null || found === undefined || found.sessions.length === 0 || !sessions) return;
    const used = new Set(found.sessions.flatMap((path) => valuesAt(request, path)));
    // One at a time is enough: a request names one session, a batch seldom more.
    for (const session of used) await sessions.require(principal, session, url);
  });
}

/** Throws unless the principal's limits include the app or service. @throws HTTP_FORBIDDEN */
export function requireWithin(
  principal: Principal,
  kind: "apps" | "services",
  { namespace, name }: { readonly namespace: string; readonly name: string },
): void {
  const { limits } = principal;
  if (limits === undefined) return;
  const outside = within(limits.namespaces, namespace) ? (within(limits[kind], name) ? undefined : kind) : "namespaces";
  if (outside === undefined) return;
  const allowed = limits[outside]?.join(", ") || "none";
  throw HttpErrors.FORBIDDEN(
    `"${principal.name}" is limited to the ${outside} ${allowed}; "${outside === "namespaces" ? namespace : name}" is not one of them.`,
    { extra: { limit: outside } },
  );
}

/** The caller of a route that is not open. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === null) throw HttpErrors.TOKEN_MISSING("This needs a token.");
  return request.principal;
}
