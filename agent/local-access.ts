/**
 * Access to the local API. The file system decides which user opens its Unix socket; a request to the port needs one of its
 * tokens. On loopback a Host header that is not loopback is also rejected, so that a web page in a browser on this host cannot
 * reach the API (DNS rebinding). Requests of web pages are rejected by what the browser says about their origin.
 */
import { createHash } from "node:crypto";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { type BadTokens, bearerOf, HttpErrors, isLoopback, isOwnHost, OPEN_PAGES, type Principal } from "#http";
import { AgentErrors } from "./api.ts";
import { localPrincipal, type LocalToken } from "./local-tokens.ts";

/** Paths that need no token, for orchestrators. On loopback /metrics is one of them, for collectors. The control API has the same. */
const OPEN = new Set([...OPEN_PAGES, "/livez", "/readyz", "/v1/openapi.json"]);
/** Whether a path of the local API needs no token. */
export const isOpenPath = (path: string): boolean => OPEN.has(path);
const METRICS = "/metrics";

export interface LocalGuard {
  readonly host: string;
  readonly tokens: readonly LocalToken[];
  /** Whether a request came over the Unix socket. */
  readonly isOwner: (request: FastifyRequest) => boolean;
  readonly badTokens: BadTokens;
  /** Whether a request is forwarded with its caller's own token of the control plane, which then decides. */
  readonly isForwarded: (request: FastifyRequest) => boolean;
}

export function guardLocalApi(
  app: FastifyInstance,
  { host, tokens, isOwner, badTokens, isForwarded }: LocalGuard,
): void {
  // By digest, so that the time of a lookup does not depend on the token that was sent.
  const known = new Map<string, Principal>(tokens.map(({ token, principal }) => [digest(token), principal]));
  const owner = localPrincipal("local");
  const guardHost = isLoopback(host);
  app.decorateRequest("principal", null);
  app.addHook("onRequest", async (request) => {
    if (isOwner(request)) {
      request.principal = owner;
      return;
    }
    const header = request.headers.host ?? "";
    if (guardHost && !isOwnHost(header)) {
      throw AgentErrors.HOST_REFUSED(
        `The local API is for this host only, and "${header.slice(0, 100)}" is not a name of this host. Use http://127.0.0.1.`,
      );
    }
    const path = request.routeOptions.url ?? "";
    if (OPEN.has(path) || (guardHost && path === METRICS)) return;
    requireNoWebPage(request);
    if (isForwarded(request)) return;
    const sent = bearerOf(request);
    const principal = sent === undefined ? undefined : known.get(digest(sent));
    if (principal === undefined) {
      if (sent !== undefined) badTokens.refuse(request.ip);
      throw AgentErrors.TOKEN_INVALID(
        "This request has no valid token. Send `Authorization: Bearer TOKEN` with the token in the file agent/token of the data folder, or use the Unix socket beside it.",
      );
    }
    request.principal = principal;
  });
}

/**
 * The local API has no pages that call it, so a browser has no reason to. A person may open an address of it, which no page asked for.
 * @throws AGENT_CROSS_ORIGIN
 */
function requireNoWebPage({ headers }: FastifyRequest): void {
  const site = headers["sec-fetch-site"];
  if (headers.origin === undefined && (site === undefined || site === "none" || site === "same-origin")) return;
  throw AgentErrors.CROSS_ORIGIN(
    `A web page (${headers.origin ?? `Sec-Fetch-Site: ${String(site)}`}) made this request. The local API is for programs of this host only.`,
  );
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** @throws HTTP_FORBIDDEN when a token is limited to some apps or services */
export function requireEverything({ name, limits }: Principal): void {
  if (limits === undefined) return;
  throw HttpErrors.FORBIDDEN(
    `The token "${name}" is limited to some apps and services, but this request is about the whole host. Use the agent's own token or its Unix socket.`,
  );
}
