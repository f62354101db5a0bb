/**
 * Who calls, and what they may do. A principal has one role; a role is a list of actions; a route names the action it
 * needs. Where tokens are kept is not known here: an authenticator is handed in.
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { BadTokens } from "./bad-tokens.ts";
import { type Limits, within } from "./limits.ts";
import { HttpErrors } from "./problem.ts";

export const ACTIONS = [
  "registry:read",
  "registry:write",
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

export const ROLES = ["operator", "editor", "agent", "reader"] as const;
export type Role = (typeof ROLES)[number];

/**
 * What each role may do. An agent lives on a service's host, so it registers and reads but never publishes. An editor
 * drafts, proposes and reviews; an operator publishes. Secrets of configs are told to agents alone, for the services; an
 * operator reveals one at a time, which is audited.
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
  editor: ["registry:read", "config:read", "config:draft", "config:review", "locks:read"],
  reader: ["registry:read", "config:read", "config:acknowledge", "locks:read", "quotas:lease", "operations:read"],
};

export interface Principal {
  /** Identity across tokens and restarts: what it registered, opened and acknowledged belongs to it. */
  readonly id: string;
  /** Who it is, for authorship and the log. */
  readonly name: string;
  readonly role: Role;
  /** What it may reach of what its role allows; absent: all of it. */
  readonly limits?: Limits | undefined;
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
export function requireAuth(app: FastifyInstance, authenticate: Authenticate, badTokens: BadTokens): void {
  app.decorateRequest("principal", null);
  app.addHook("onRoute", (route) => {
    if (route.config?.action === undefined) throw new Error(`route ${route.url} names no action`);
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
