/** The two transports: over the network, and into a server in this process. */
import type { Readable } from "node:stream";
import { Agent, request as undiciRequest, type Dispatcher } from "undici";
import { messageOf, type Clock } from "#base";
import { systemClock } from "#base/library";
import { carry, type AnswerHeaders } from "./carry.ts";
import { ClientErrors } from "./errors.ts";
import { FailoverTransport } from "./failover.ts";
import type { RawBody, Transport } from "./transport.ts";

/** The encoded body and its type; undefined without a body. */
function encoded({
  body,
  raw,
}: {
  body: unknown;
  raw: RawBody | undefined;
}): { type: string; content: string | Buffer } | undefined {
  if (raw) return { type: raw.type, content: Buffer.from(raw.bytes.buffer, raw.bytes.byteOffset, raw.bytes.length) };
  return body === undefined ? undefined : { type: "application/json", content: JSON.stringify(body) };
}

export interface FetchTransportOptions {
  /** `http://host:port` of the control API, or of several members, of which a good one receives each call. */
  readonly urls: readonly string[];
  /** Unix socket of every call, such as that of a local agent. The URL then only names the host. */
  readonly socketPath?: string;
  /** Milliseconds to connect, and to wait for the head of an answer. */
  readonly connectTimeoutMs?: number;
  readonly headersTimeoutMs?: number;
  /** Milliseconds without a byte that end a body. Heartbeats of watches are more frequent. */
  readonly bodyTimeoutMs?: number;
  readonly clock?: Clock;
}

/** Calls over the network, with its own undici dispatchers. */
export function fetchTransport(options: FetchTransportOptions): Transport {
  const limits = {
    connect: {
      timeout: options.connectTimeoutMs ?? 2_000,
      ...(options.socketPath === undefined ? {} : { socketPath: options.socketPath }),
    },
    headersTimeout: options.headersTimeoutMs ?? 90_000,
    bodyTimeout: options.bodyTimeoutMs ?? 60_000,
  };
  const calls: Dispatcher = new Agent({ ...limits, connections: 64 });
  // A watch occupies its connection, so 64 watches would leave no connection for calls.
  const watches: Dispatcher = new Agent({ ...limits, connections: null });
  // A probe must not wait behind unanswered calls.
  const probes: Dispatcher = new Agent({ ...limits, connections: 1, pipelining: 0 });
  const ways = options.urls.map((url) => ({ name: url, transport: wayTo(url, { calls, watches, probes }) }));
  const failover = new FailoverTransport(options.clock ?? systemClock, ways);
  return {
    request: (request) => failover.request(request),
    async [Symbol.asyncDispose]() {
      await failover[Symbol.asyncDispose]();
      await Promise.all([calls, watches, probes].map((dispatcher) => dispatcher.destroy()));
    },
  };
}

/** Calls to one member. */
function wayTo(
  url: string,
  dispatchers: { readonly calls: Dispatcher; readonly watches: Dispatcher; readonly probes: Dispatcher },
): Transport {
  return {
    request({ method, path, headers, body, raw, isProbe, signal }) {
      const sent = encoded({ body, raw });
      const { calls, watches, probes } = dispatchers;
      return carry(signal, async (aborted) => {
        try {
          const answer = await undiciRequest(new URL(path, url), {
            method,
            dispatcher: isProbe ? probes : headers?.["accept"] === "text/event-stream" ? watches : calls,
            signal: aborted,
            headers: { ...headers, ...(sent ? { "content-type": sent.type } : {}) },
            ...(sent ? { body: sent.content } : {}),
          });
          return { status: answer.statusCode, headers: answer.headers, body: answer.body };
        } catch (error) {
          aborted.throwIfAborted();
          throw ClientErrors.UNREACHABLE(
            `No answer from ${url}: ${messageOf(error)}. Check that the server is running and that the URL is right.`,
            { cause: error },
          );
        }
      });
    },
    [Symbol.asyncDispose]: async () => {},
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
    request({ method, path, headers, body, raw, signal }) {
      const sent = encoded({ body, raw });
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
