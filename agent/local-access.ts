/**
 * Who may use the local API. On loopback it asks for no token, so a web page in a browser on this host must not reach
 * it: a Host that is not loopback is refused (DNS rebinding). Beyond loopback it does not listen without a token.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { isLoopback } from "#http";
import { AgentErrors } from "./api.ts";

/** What orchestrators ask without a token. */
const OPEN = new Set(["/livez", "/readyz"]);

/** @throws AGENT_TOKEN_REQUIRED */
export function checkListener({ host, token }: { host: string; token: string | undefined }): void {
  if (token !== undefined || isLoopback(host)) return;
  throw AgentErrors.TOKEN_REQUIRED(
    `The local API does not listen on ${host} without a token, since anyone there could use it. Set a token, or listen on 127.0.0.1.`,
  );
}

/** The name in a Host header: without its port. */
function hostName(header: string): string {
  return header.startsWith("[") ? header.slice(0, header.indexOf("]") + 1) : (header.split(":", 1)[0] ?? "");
}

export function guardLocalApi(
  app: FastifyInstance,
  { host, token }: { host: string; token: string | undefined },
): void {
  const expected = token === undefined ? undefined : digest(token);
  const guardHost = isLoopback(host);
  // Only JSON is taken: a page can send text to another origin without asking, but not JSON.
  app.removeContentTypeParser("text/plain");
  app.addHook("onRequest", async (request) => {
    const header = request.headers.host ?? "";
    if (guardHost && !isLoopback(hostName(header))) {
      throw AgentErrors.HOST_REFUSED(
        `The local API is for this host only, and "${header.slice(0, 100)}" is not it. Use http://127.0.0.1.`,
      );
    }
    if (expected === undefined || OPEN.has(request.routeOptions.url ?? "")) return;
    const sent = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? "")?.[1] ?? "";
    if (!timingSafeEqual(digest(sent), expected)) {
      throw AgentErrors.TOKEN_INVALID("Send `Authorization: Bearer TOKEN` with the token that the agent was given.");
    }
  });
}

/** Equal lengths, so that comparing takes equal time. */
function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
