/**
 * Who may use the local API: the owner of its Unix socket, whom the file system has let in, and on the port whoever has
 * one of its tokens. On loopback a Host header that is not loopback is refused besides, so that no web page in a browser
 * on this host reaches it (DNS rebinding).
 */
import { createHash } from "node:crypto";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { type BadTokens, bearerOf, HttpErrors, isLoopback, OPEN_PAGES, type Principal } from "#http";
import { AgentErrors } from "./api.ts";
import { localPrincipal, type LocalToken } from "./local-tokens.ts";

/** What orchestrators ask without a token, and on loopback collectors of metrics, as at the control API. */
const OPEN = new Set([...OPEN_PAGES, "/livez", "/readyz", "/v1/openapi.json"]);
/** Whether a path of the local API needs no token. */
export const isOpenPath = (path: string): boolean => OPEN.has(path);
const METRICS = "/metrics";

/** The name in a Host header: without its port. */
function hostName(header: string): string {
  return header.startsWith("[") ? header.slice(0, header.indexOf("]") + 1) : (header.split(":", 1)[0] ?? "");
}

export interface LocalGuard {
  readonly host: string;
  readonly tokens: readonly LocalToken[];
  /** Whether a request came over the Unix socket. */
  readonly isOwner: (request: FastifyRequest) => boolean;
  readonly badTokens: BadTokens;
}

export function guardLocalApi(app: FastifyInstance, { host, tokens, isOwner, badTokens }: LocalGuard): void {
  // By digest, so that looking one up takes the same time whatever was sent.
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
    if (guardHost && !isLoopback(hostName(header))) {
      throw AgentErrors.HOST_REFUSED(
        `The local API is for this host only, and "${header.slice(0, 100)}" is not it. Use http://127.0.0.1.`,
      );
    }
    const path = request.routeOptions.url ?? "";
    if (OPEN.has(path) || (guardHost && path === METRICS)) return;
    const sent = bearerOf(request);
    const principal = sent === undefined ? undefined : known.get(digest(sent));
    if (principal === undefined) {
      if (sent !== undefined) badTokens.refuse(request.ip);
      throw AgentErrors.TOKEN_INVALID(
        "Send `Authorization: Bearer TOKEN`; the token is in the file agent/token of the data folder. Or use the Unix socket beside it.",
      );
    }
    request.principal = principal;
  });
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** @throws HTTP_FORBIDDEN when a token is for some apps or services, and this is about all of them */
export function requireEverything({ name, limits }: Principal): void {
  if (limits === undefined) return;
  throw HttpErrors.FORBIDDEN(
    `The token "${name}" is for some apps and services, and this is about all of this host. Use the agent's own token, or its Unix socket.`,
  );
}
