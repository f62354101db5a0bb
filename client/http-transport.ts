/**
 * The network by Node's own HTTP client, for processes that make a few calls and end. A long-lived process uses `fetchTransport`, whose
 * connections are pooled by purpose; loading its package takes longer than a call.
 */
import type { Agent as HttpAgent, ClientRequest, IncomingMessage } from "node:http";
import type { Agent as HttpsAgent } from "node:https";
import { AppError, messageOf, type Clock } from "#base";
import { systemClock } from "#base/library";
import { carry, type CarriedAnswer } from "./carry.ts";
import { ClientErrors } from "./errors.ts";
import { FailoverTransport } from "./failover.ts";
import { type ControlTls, ServerTrust } from "./server-trust.ts";
import type { Transport, TransportRequest } from "./transport.ts";

/** Milliseconds to connect, and of silence after which a connection counts as lost. Heartbeats of watches are more frequent. */
const CONNECT_MS_MAX = 2_000;
const SILENCE_MS_MAX = 90_000;

export interface HttpTransportOptions {
  /** `http://host:port` of the control API, or of several members, of which a good one receives each call. */
  readonly urls: readonly string[];
  /** How members with https URLs are verified. @default by the authorities of the system */
  readonly tls?: ControlTls | undefined;
  readonly clock?: Clock;
}

/** @throws CLIENT_OPTION_INVALID */
export function httpTransport({ urls, tls, clock = systemClock }: HttpTransportOptions): Transport {
  const trust = new ServerTrust(tls);
  const ways = urls.map((url) => ({ name: url, transport: wayTo(url, trust, clock) }));
  return new FailoverTransport(clock, ways);
}

/** Calls to one member. */
function wayTo(base: string, trust: ServerTrust, clock: Clock): Transport {
  let agent: HttpAgent | HttpsAgent | undefined;
  const start = async (request: TransportRequest, signal: AbortSignal): Promise<CarriedAnswer> => {
    const url = new URL(request.path, base);
    const isTls = url.protocol === "https:";
    // An import of node:http as an ES module also loads Node's fetch, which costs more than the call.
    const http = process.getBuiltinModule(isTls ? "node:https" : "node:http");
    // A kept connection saves a handshake of TLS. Without TLS, keeping one costs a short command more than it saves.
    agent ??= new http.Agent({ keepAlive: isTls });
    try {
      const verified = isTls ? await trust.connectOptions(url) : {};
      return await answerOf(http.request(url, { ...headOf(request), ...verified, agent, signal }), request, clock);
    } catch (thrown) {
      signal.throwIfAborted();
      const error = isTls ? await trust.explained(url, thrown) : thrown;
      if (error instanceof AppError) throw error;
      throw ClientErrors.UNREACHABLE(
        `No answer from ${base}: ${messageOf(error)}. Check that the server is running and that the URL is right.`,
        { cause: error },
      );
    }
  };
  return {
    request: (request) => carry(request.signal, (aborted) => start(request, aborted)),
    [Symbol.asyncDispose]: async () => agent?.destroy(),
  };
}

function headOf({ method, headers, body, raw }: TransportRequest) {
  const type = raw ? raw.type : body === undefined ? undefined : "application/json";
  return {
    method,
    timeout: SILENCE_MS_MAX,
    headers: { ...headers, ...(type === undefined ? {} : { "content-type": type }) },
  };
}

function answerOf(call: ClientRequest, { body, raw }: TransportRequest, clock: Clock): Promise<CarriedAnswer> {
  return new Promise((resolve, reject) => {
    let connected = (): void => {};
    call.on("socket", (socket) => {
      if (!socket.connecting) return;
      const late = Object.assign(new Error(`no connection within ${CONNECT_MS_MAX} ms`), { code: "ECONNREFUSED" });
      connected = clock.after(CONNECT_MS_MAX, () => call.destroy(late));
      socket.once("connect", () => connected());
    });
    call.on("timeout", () => call.destroy(new Error(`silent for ${SILENCE_MS_MAX} ms`)));
    call.on("response", (answer: IncomingMessage) =>
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer }),
    );
    call.on("error", (error) => {
      connected();
      reject(error);
    });
    call.end(raw ? raw.bytes : body === undefined ? undefined : JSON.stringify(body));
  });
}
