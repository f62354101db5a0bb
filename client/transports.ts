/** The two transports: over the network, and into a server in this process. */
import type { Readable } from "node:stream";
import { AppError, messageOf, type Clock } from "#base";
import { systemClock } from "#base/library";
import { carry, type AnswerHeaders } from "./carry.ts";
import { ClientErrors } from "./errors.ts";
import { FailoverTransport } from "./failover.ts";
import { Http1Dispatchers } from "./http1-dispatchers.ts";
import { Http2Connections } from "./http2-connections.ts";
import { type ControlTls, ServerTrust } from "./server-trust.ts";
import type { Transport, TransportRequest } from "./transport.ts";

/** The encoded body and its type; undefined without a body. */
function encoded({ body, raw }: Pick<TransportRequest, "body" | "raw">) {
  if (raw) return { type: raw.type, content: Buffer.from(raw.bytes.buffer, raw.bytes.byteOffset, raw.bytes.length) };
  return body === undefined ? undefined : { type: "application/json", content: JSON.stringify(body) };
}

export interface FetchTransportOptions {
  /** `http://host:port` of the control API, or of several members, of which a good one receives each call. */
  readonly urls: readonly string[];
  /** How members with https URLs are verified. @default by the authorities of the system */
  readonly tls?: ControlTls | undefined;
  /** Unix socket of every call, such as that of a local agent. The URL then only names the host. */
  readonly socketPath?: string;
  /** Milliseconds to connect, and to wait for the head of an answer. */
  readonly connectTimeoutMs?: number;
  readonly headersTimeoutMs?: number;
  /** Milliseconds without a byte that end a body over HTTP/1.1. Heartbeats of watches are more frequent. */
  readonly bodyTimeoutMs?: number;
  readonly clock?: Clock;
}

/** Calls over the network: HTTP/1.1 to http URLs, and HTTP/2 to https URLs. @throws CLIENT_OPTION_INVALID */
export function fetchTransport(options: FetchTransportOptions): Transport {
  const clock = options.clock ?? systemClock;
  const trust = new ServerTrust(options.tls);
  const ways = options.urls.map((url) => ({ name: url, transport: wayTo(new URL(url), { ...options, clock, trust }) }));
  return new FailoverTransport(clock, ways);
}

type WayOptions = FetchTransportOptions & { readonly clock: Clock; readonly trust: ServerTrust };

/** Calls to one member. */
function wayTo(url: URL, options: WayOptions): Transport {
  const { connectTimeoutMs = 2_000, headersTimeoutMs = 90_000 } = options;
  const limits = { ...options, connectTimeoutMs, headersTimeoutMs };
  const http2 = url.protocol === "https:" ? new Http2Connections(url, limits) : undefined;
  const http1 = new Http1Dispatchers(url, limits);
  return {
    request(request) {
      const sent = encoded(request);
      const headers = { ...request.headers, ...(sent ? { "content-type": sent.type } : {}) };
      return carry(request.signal, async (signal) => {
        const call = { method: request.method, path: request.path, headers, content: sent?.content, signal };
        try {
          return (await http2?.request(call)) ?? (await http1.request(call, request.isProbe));
        } catch (error) {
          signal.throwIfAborted();
          if (error instanceof AppError) throw error;
          throw ClientErrors.UNREACHABLE(
            `No answer from ${url.origin}: ${messageOf(error)}. Check that the server is running and that the URL is right.`,
            { cause: error },
          );
        }
      });
    },
    async [Symbol.asyncDispose]() {
      http2?.close();
      await http1.close();
    },
  };
}

/** The part of Fastify's `inject` that the transport uses. */
export interface Injectable {
  inject(options: {
    method: string;
    url: string;
    headers: Record<string, string>;
    payload?: string | Buffer;
    payloadAsStream: true;
    signal: AbortSignal;
  }): Promise<{
    statusCode: number;
    headers: AnswerHeaders;
    stream(): Readable;
  }>;
}

/** Calls into a server in this process, without a socket. Otherwise requests are the same as over the network. */
export function injectTransport(app: Injectable): Transport {
  return {
    request({ method, path, headers, signal, ...content }) {
      const sent = encoded(content);
      return carry(signal, (aborted) =>
        // `then` starts the call at once. `await` would start it one turn later, when the signal may have aborted.
        app
          .inject({
            method,
            url: path,
            headers: { ...headers, ...(sent ? { "content-type": sent.type } : {}) },
            ...(sent ? { payload: sent.content } : {}),
            payloadAsStream: true,
            signal: aborted,
          })
          .then(
            (answer) => ({ status: answer.statusCode, headers: answer.headers, body: answer.stream() }),
            (error: unknown) => {
              throw ClientErrors.UNREACHABLE(`The server in this process did not answer: ${messageOf(error)}.`, {
                cause: error,
              });
            },
          ),
      );
    },
    [Symbol.asyncDispose]: async () => {},
  };
}
