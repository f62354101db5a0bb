/**
 * Authentication and authorization of requests, by a token or by the session of a browser. A route names the action that it needs. The
 * authenticators are parameters, so this module does not know where tokens are stored.
 */
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Action, Resource, ResourceField } from "#authorization";
import type { Clock } from "#base";
import { type AuditSink, auditRequests } from "./audit-hook.ts";
import type { BadTokens } from "./bad-tokens.ts";
import {
  type AuthenticateSession,
  type BrowserSession,
  clearSessionCookie,
  requireCsrfToken,
  requireSameOrigin,
  SAFE_METHODS,
  sessionCookieOf,
} from "./browser-session.ts";
import { within } from "./limits.ts";
import {
  type AboutRoute,
  fieldsOf,
  namesIn,
  type ResourcePlan,
  resourcePlan,
  resourcesOf,
  type RouteFields,
  valuesAt,
} from "./route-resources.ts";
import { HttpErrors } from "./problem.ts";
import { requireAllowed, requireSome } from "./decisions.ts";
import type { Principal } from "./principal.ts";

/** Sessions, which belong to the principal that opened them. */
export interface SessionOwners {
  /** Rejects a session that does not exist or belongs to another principal. @throws the route's error for an unknown session */
  require(principal: Principal, session: string, path: string): Promise<void>;
}

/** @throws HTTP_TOKEN_INVALID, HTTP_TOKEN_EXPIRED */
export type Authenticate = (token: string) => Promise<Principal>;

declare module "fastify" {
  interface FastifyRequest {
    /** The caller; null on open routes. */
    principal: Principal | null;
    /** The browser's session, when it authenticated the caller. */
    session: BrowserSession | null;
    /** The resources that the request concerns; null where no action decides. */
    resources: readonly Resource[] | null;
    /** Whether the caller's token or session is still valid, with unchanged rights. A long response checks it again and again. */
    isCallerCurrent?(): boolean;
  }
  interface FastifyContextConfig {
    /**
     * The action that the caller's policies must allow. "open" needs no token; "self" needs any valid one, because the route concerns
     * only the caller. Every route names one.
     */
    action?: Action | "open" | "self";
    /** For resources that the schema does not show: the route concerns no names, or omitted names mean all of them. */
    about?: AboutRoute;
    /**
     * The handler decides about the names that a request omits, item by item, by maySee or requireAllowed. Absent: omitted names are all
     * names, so the caller must be allowed all of them.
     */
    perItem?: boolean;
  }
}

const BEARER = /^Bearer +([A-Za-z0-9._~+/-]{1,4096}=*) *$/i;

/** The bearer token of a request; undefined when the header is absent or has another form. */
export function bearerOf({ headers: { authorization } }: FastifyRequest): string | undefined {
  return authorization === undefined ? undefined : BEARER.exec(authorization)?.[1];
}

function tokenOf(request: FastifyRequest): string {
  if (request.headers.authorization === undefined) {
    throw HttpErrors.TOKEN_MISSING(
      "Missing token. Send `Authorization: Bearer TOKEN`. The first start printed the operator's token.",
    );
  }
  const token = bearerOf(request);
  if (token === undefined)
    throw HttpErrors.TOKEN_INVALID("Invalid Authorization header. Send `Authorization: Bearer TOKEN`.");
  return token;
}

export interface AuthOptions {
  readonly badTokens: BadTokens;
  readonly sessions?: SessionOwners;
  /** Accepts sessions of browsers, too. */
  readonly browser?: AuthenticateSession;
  /** The caller that a client certificate proves, when the request has no token. Undefined: no certificate. */
  readonly certificate?: (request: FastifyRequest) => Promise<Principal | undefined>;
  /** Whether the token of a principal is still valid, and its rights unchanged. Absent: as long as the process runs. */
  readonly isCurrent?: (principal: Principal) => boolean;
  readonly audit?: { readonly sink: AuditSink; readonly clock: Clock };
}

/** The names that are read from the requests of a route. Without a plan, no resource decides. */
interface RouteNames extends Pick<RouteFields, "sessions"> {
  readonly plan: ResourcePlan | undefined;
}

/** The rule of a route: its action, and the fields of resources that its schema names. */
export type RouteRule = FastifyContextConfig & { readonly names: readonly ResourceField[] };

const routeRules = new WeakMap<FastifyInstance, ReadonlyMap<string, RouteRule>>();

/** The rules of all routes of an instance, by method and path. */
export function routeRulesOf(app: FastifyInstance): ReadonlyMap<string, RouteRule> {
  return routeRules.get(app) ?? new Map();
}

/** Authenticates and authorizes every route of this instance. A route without an action fails at the start. */
export function requireAuth(app: FastifyInstance, authenticate: Authenticate, options: AuthOptions): void {
  const { sessions, isCurrent = () => true, audit } = options;
  app.decorateRequest("principal", null);
  app.decorateRequest("session", null);
  app.decorateRequest("resources", null);
  app.decorateRequest("isCallerCurrent", function (this: FastifyRequest) {
    return this.session?.isCurrent() ?? (this.principal === null || isCurrent(this.principal));
  });
  const fields = new Map<string, RouteNames>();
  const rules = new Map<string, RouteRule>();
  routeRules.set(app, rules);
  app.addHook("onRoute", (route) => {
    if (route.config?.action === undefined) throw new Error(`route ${route.url} names no action`);
    const found = fieldsOf(route);
    for (const method of [route.method].flat()) {
      const { action, about } = route.config;
      const isDecided = action !== "open" && action !== "self" && about !== "nothing";
      const plan = isDecided ? resourcePlan(found, { action, about }) : undefined;
      fields.set(`${method} ${route.url}`, { sessions: found.sessions, plan });
      rules.set(`${method} ${route.url}`, { ...route.config, names: [...new Set(namesIn(found))] });
    }
    if (found.sessions.length > 0 && !sessions) throw new Error(`route ${route.url} takes a session`);
  });
  const fieldsFor = ({ method, routeOptions: { url = "" } }: FastifyRequest) => fields.get(`${method} ${url}`);
  authenticateRequests(app, authenticate, options);
  authorizeRequests(app, fieldsFor);
  // Sessions are checked after validation, so that an unknown session is then the only problem.
  app.addHook("preHandler", async (request) => {
    const { principal } = request;
    const found = fieldsFor(request);
    if (principal === null || found === undefined || found.sessions.length === 0 || !sessions) return;
    const used = new Set(found.sessions.flatMap((path) => valuesAt(request, path)));
    // One after the other is enough: a request names one session, and a batch rarely more.
    for (const session of used) await sessions.require(principal, session, request.routeOptions.url ?? "");
  });
  if (audit) auditRequests(app, audit.sink, audit.clock);
}

function authenticateRequests(
  app: FastifyInstance,
  authenticate: Authenticate,
  { badTokens, browser, certificate }: AuthOptions,
): void {
  app.addHook("onRequest", async (request, reply) => {
    const { action } = request.routeOptions.config;
    if (request.is404 || action === undefined) return;
    // A page of another site has no token of its own, but it may be given one, or sign somebody in.
    if (!SAFE_METHODS.has(request.method)) requireSameOrigin(request);
    if (action === "open") return;
    try {
      if (browser) request.session = await sessionOf(request, reply, browser);
      request.principal = request.session?.principal ?? (await callerOf(request, authenticate, certificate));
    } catch (error) {
      if (isBadToken(error)) badTokens.refuse(request.ip);
      throw error;
    }
    if (action !== "self") requireSome(request.principal, action);
  });
}

/** The caller by its token, or else by its certificate. */
async function callerOf(
  request: FastifyRequest,
  authenticate: Authenticate,
  certificate: AuthOptions["certificate"],
): Promise<Principal> {
  const proven = request.headers.authorization === undefined ? await certificate?.(request) : undefined;
  return proven ?? authenticate(tokenOf(request));
}

/** After the request is read and before its form is validated: names are where the schema has them, or nowhere. */
function authorizeRequests(app: FastifyInstance, fieldsFor: (request: FastifyRequest) => RouteNames | undefined): void {
  app.addHook("preValidation", (request, _reply, done) => {
    const { principal, routeOptions } = request;
    const plan = fieldsFor(request)?.plan;
    if (principal === null || plan === undefined) return done();
    const extent = routeOptions.config.perItem === true ? "some" : "every";
    request.resources = resourcesOf(request, plan);
    try {
      for (const resource of request.resources) requireAllowed(principal, plan.action, resource, extent);
    } catch (error) {
      return done(error as Error);
    }
    done();
  });
}

/** The session of the browser; null when the request has a token or no session. */
async function sessionOf(
  request: FastifyRequest,
  reply: FastifyReply,
  authenticate: AuthenticateSession,
): Promise<BrowserSession | null> {
  const cookie = request.headers.authorization === undefined ? sessionCookieOf(request) : undefined;
  if (cookie === undefined) return null;
  requireSameOrigin(request);
  try {
    const session = await authenticate(cookie);
    requireCsrfToken(request, session);
    return session;
  } catch (error) {
    // The browser then stops sending it.
    if (HttpErrors.SESSION_INVALID.is(error) || HttpErrors.SESSION_EXPIRED.is(error)) clearSessionCookie(reply);
    throw error;
  }
}

/** Whether a caller sent an unknown token or session, or one that has ended. An expired session is a browser left open. */
function isBadToken(error: unknown): boolean {
  return [HttpErrors.TOKEN_INVALID, HttpErrors.TOKEN_EXPIRED, HttpErrors.SESSION_INVALID].some((row) => row.is(error));
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
    `"${principal.name}" is limited to the ${outside} ${allowed}, which do not include "${outside === "namespaces" ? namespace : name}".`,
    { extra: { limit: outside } },
  );
}

/**
 * For a response that waited: the caller must still be the one that the request came from, with the same rights.
 * @throws HTTP_TOKEN_INVALID
 */
export function requireCurrent(request: FastifyRequest): void {
  if (request.isCallerCurrent?.() ?? true) return;
  throw HttpErrors.TOKEN_INVALID("The token or its rights changed while the request waited. Send it again.");
}

/** The caller of a route that is not open. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === null) throw HttpErrors.TOKEN_MISSING("Missing token. Send `Authorization: Bearer TOKEN`.");
  return request.principal;
}
