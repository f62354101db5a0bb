/**
 * The dispatcher under @fastify/http-proxy: it sends forwarded requests through the agent's own transport. So they follow the same
 * rules of fail-over as the agent's calls, over the network and into a control API of this process.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { Readable } from "node:stream";
import { messageOf, setOwn } from "#base";
import { ClientErrors, type Transport, type TransportRequest, type TransportResponse } from "#client";
import { AgentErrors } from "../api.ts";
import { forwardedAnswerHeaders } from "../core/forwarded.ts";

/** The needs of a request beyond the fields that the proxy hands over. */
export interface Exchange {
  /** Aborts when the caller leaves or the agent stops. */
  readonly signal: AbortSignal;
  readonly body: Uint8Array | undefined;
  readonly authorization: string;
  /** Another authorization, after the control plane rejected this one; undefined: the rejection is the answer. */
  readonly renewed: () => Promise<string | undefined>;
}

interface ProxyRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string | undefined>;
}

interface ProxyAnswer {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly body: Readable;
}

type ProxyCallback = (error: Error | null, answer?: ProxyAnswer) => void;

export class ControlDispatcher {
  readonly #transport: Transport;
  readonly #exchanges = new AsyncLocalStorage<Exchange>();

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Runs the proxy's part of an exchange, which ends in `request`. */
  run<Result>(exchange: Exchange, forward: () => Result): Result {
    return this.#exchanges.run(exchange, forward);
  }

  /** The one function of a dispatcher that the proxy calls. */
  readonly request = (options: ProxyRequest, callback: ProxyCallback): void => {
    const exchange = this.#exchanges.getStore();
    if (exchange === undefined) return callback(new Error("a forwarded request has an exchange"));
    void this.#call(options, exchange, callback);
  };

  async #call(options: ProxyRequest, exchange: Exchange, callback: ProxyCallback): Promise<void> {
    let answer: ProxyAnswer;
    try {
      answer = await this.#answer(options, exchange);
    } catch (error) {
      return callback(awayOr(error));
    }
    callback(null, answer);
  }

  async #answer(options: ProxyRequest, exchange: Exchange): Promise<ProxyAnswer> {
    const first = await this.#transport.request(requestOf(options, exchange, exchange.authorization));
    if (first.status !== 401) return answerOf(first);
    const authorization = await exchange.renewed();
    if (authorization === undefined) return answerOf(first);
    // The rejected request changed nothing. Its body is read, so that its connection can be used again.
    await first.text();
    return answerOf(await this.#transport.request(requestOf(options, exchange, authorization)));
  }
}

function requestOf(
  { method, path, headers }: ProxyRequest,
  { body, signal }: Exchange,
  authorization: string,
): TransportRequest {
  const sent: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) setOwn(sent, name, value);
  const { "content-type": type = "application/octet-stream", ...rest } = sent;
  return {
    method: method as TransportRequest["method"],
    path,
    headers: { ...rest, authorization },
    ...(body === undefined ? {} : { raw: { type, bytes: body } }),
    signal,
  };
}

function answerOf(answer: TransportResponse): ProxyAnswer {
  return {
    statusCode: answer.status,
    headers: forwardedAnswerHeaders(answer.headers()),
    body: Readable.from(answer.stream(), { objectMode: false }),
  };
}

function awayOr(error: unknown): Error {
  if (!ClientErrors.UNREACHABLE.is(error)) return error as Error;
  return controlPlaneAway(error);
}

export function controlPlaneAway(cause: unknown): Error {
  return AgentErrors.CONTROL_PLANE_AWAY(
    `The agent did not reach the control plane: ${messageOf(cause)} Try again; /v1/agent/… answers from what this host knows.`,
    { cause },
  );
}
