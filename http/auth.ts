/**
 * Who calls, and what they may do. A principal has one role; a role is a list of actions; a route names the action it
 * needs. Where tokens are kept is not known here: an authenticator is handed in.
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
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
  /** Who it is, for authorship and the log. */
  readonly name: string;
  readonly role: Role;
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

function tokenOf(request: FastifyRequest): string {
  const header = request.headers.authorization;
  if (header === undefined) {
    throw HttpErrors.TOKEN_MISSING(
      "No token. Send `Authorization: Bearer TOKEN`; the operator's token was printed at the first start.",
    );
  }
  const token = BEARER.exec(header)?.[1];
  if (token === undefined) throw HttpErrors.TOKEN_INVALID("The Authorization header is not `Bearer TOKEN`.");
  return token;
}

/** Checks every route of this instance: a route that names no action does not start. */
export function requireAuth(app: FastifyInstance, authenticate: Authenticate): void {
  app.decorateRequest("principal", null);
  app.addHook("onRoute", (route) => {
    if (route.config?.action === undefined) throw new Error(`route ${route.url} names no action`);
  });
  app.addHook("onRequest", async (request) => {
    const action = request.routeOptions.config.action;
    if (request.is404 || action === undefined || action === "open") return;
    request.principal = await authenticate(tokenOf(request));
    if (!can(request.principal, action)) {
      throw HttpErrors.FORBIDDEN(
        `"${request.principal.name}" has the role ${request.principal.role}, which may not ${action}.`,
        { extra: { action } },
      );
    }
  });
}

/** The caller of a route that is not open. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === null) throw HttpErrors.TOKEN_MISSING("This needs a token.");
  return request.principal;
}
