/**
 * The control API through the agent: each path under /v1 that the agent does not serve itself is forwarded to a member of the control
 * plane. The caller's own token of the control plane passes; any other caller gets a service token within its local limits.
 */
import httpProxy, { type FastifyHttpProxyOptions } from "@fastify/http-proxy";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { AppError, formatTraceparent, type Host } from "#base";
import type { Transport } from "#client";
import { bearerOf, type BadTokens, HttpErrors, onGone, principalOf, whileConnected } from "#http";
import { canonicalPath, forwardedRequestHeaders } from "../core/forwarded.ts";
import { ControlDispatcher, type Exchange } from "./control-dispatcher.ts";
import { DelegatedTokens } from "./delegated-tokens.ts";
import { ForwardedBodies } from "./forwarded-body.ts";

const PREFIX = "/v1";
/** Paths under the prefix that only the agent has. */
const OWN_PREFIX = `${PREFIX}/agent/`;
const METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE"];
/** A name for the proxy, which never resolves it: the dispatcher chooses the member. */
const UPSTREAM = "http://control.invalid";
/** The form of the control plane's stored tokens. The agent's own tokens begin otherwise. */
const CONTROL_TOKEN = /^ph_/;

/** The way to the control plane, and the token by which the agent calls it. */
export interface ControlWay {
  readonly transport: Transport;
  readonly token: string | (() => string | undefined) | undefined;
}

/** Whether a request goes on to the control plane with the token of its caller. */
export function hasControlToken(request: FastifyRequest): boolean {
  return request.routeOptions.config.isFallback === true && CONTROL_TOKEN.test(bearerOf(request) ?? "");
}

export function forwardControlApi(
  app: FastifyInstance,
  host: Host,
  { way, badTokens, closing }: { way: ControlWay; badTokens: BadTokens; closing: AbortSignal },
): void {
  const dispatcher = new ControlDispatcher(way.transport);
  const tokens = new DelegatedTokens(host, way);
  const bodies = new ForwardedBodies();
  const forward = async (request: FastifyRequest, reply: FastifyReply, path: string, options: object) => {
    const credentials = await credentialsOf(request, { tokens, badTokens });
    const { bytes, release } = await bodies.read(request);
    onGone(reply.raw, release);
    const exchange = { ...credentials, body: bytes, signal: AbortSignal.any([whileConnected(reply), closing]) };
    return dispatcher.run(exchange, () => reply.from(path, options));
  };
  app.register(async (scope) => {
    // Bodies pass as they are. So the reader of JSON makes way for the proxy's.
    scope.removeAllContentTypeParsers();
    await scope.register(httpProxy, proxyOptions({ dispatcher, forward }));
  });
}

type Forward = (request: FastifyRequest, reply: FastifyReply, path: string, options: object) => Promise<FastifyReply>;

function proxyOptions({ dispatcher, forward }: { dispatcher: ControlDispatcher; forward: Forward }) {
  return {
    prefix: PREFIX,
    rewritePrefix: PREFIX,
    upstream: UPSTREAM,
    httpMethods: METHODS,
    config: { action: "open", isFallback: true },
    undici: dispatcher as never,
    disableRequestLogging: true,
    beforeHandler: (request, reply, done) => {
      const [path = ""] = request.url.split("?", 1);
      if (path.startsWith(OWN_PREFIX)) return reply.callNotFound();
      done(canonicalPath(path) === path ? undefined : notCanonical(path));
    },
    handler: forward,
    replyOptions: {
      // The transport decides when and where a call is repeated.
      retryDelay: () => null,
      rewriteRequestHeaders: ({ span, headers }) => ({
        ...forwardedRequestHeaders(headers),
        ...(span === null ? {} : { traceparent: formatTraceparent(span.context) }),
      }),
      onError: (reply, { error }) => void reply.send(error.cause instanceof AppError ? error.cause : error),
    },
  } satisfies FastifyHttpProxyOptions;
}

async function credentialsOf(
  request: FastifyRequest,
  { tokens, badTokens }: { tokens: DelegatedTokens; badTokens: BadTokens },
): Promise<Pick<Exchange, "authorization" | "renewed">> {
  if (hasControlToken(request)) {
    const renewed = async () => {
      // Also here, so that the control plane does not count this host's bad tokens against the agent alone.
      badTokens.refuse(request.ip);
      return undefined;
    };
    return { authorization: `Bearer ${bearerOf(request)}`, renewed };
  }
  const principal = principalOf(request);
  const token = await tokens.tokenFor(principal);
  const renewed = async () => {
    tokens.forget(principal, token);
    return `Bearer ${await tokens.tokenFor(principal)}`;
  };
  return { authorization: `Bearer ${token}`, renewed };
}

function notCanonical(path: string): AppError {
  const canonical = canonicalPath(path);
  const hint = canonical === undefined ? "Encode it as a URL." : `Send "${canonical.slice(0, 200)}".`;
  return HttpErrors.INVALID(`The path is not in its canonical form. ${hint}`, { extra: { field: "path" } });
}
