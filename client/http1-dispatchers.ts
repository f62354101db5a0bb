/** HTTP/1.1 to one member of the control plane, with undici's dispatchers: the connections of each purpose are apart. */
import { Agent, type buildConnector, request as undiciRequest, type Dispatcher } from "undici";
import type { Clock } from "#base";
import type { CarriedAnswer } from "./carry.ts";
import type { Http2Call } from "./http2-connections.ts";
import { openTls } from "./tls-connection.ts";
import type { ServerTrust } from "./server-trust.ts";

export interface Http1Options {
  readonly trust: ServerTrust;
  readonly clock: Clock;
  readonly socketPath?: string;
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs?: number;
}

const BODY_MS_MAX = 60_000;

export class Http1Dispatchers {
  readonly #url: URL;
  readonly #calls: Dispatcher;
  readonly #watches: Dispatcher;
  readonly #probes: Dispatcher;

  constructor(url: URL, options: Http1Options) {
    const { headersTimeoutMs: headersTimeout, bodyTimeoutMs: bodyTimeout = BODY_MS_MAX } = options;
    const limits = { connect: connectorTo(url, options), headersTimeout, bodyTimeout };
    this.#url = url;
    this.#calls = new Agent({ ...limits, connections: 64 });
    // A watch occupies its connection, so 64 watches would leave no connection for calls.
    this.#watches = new Agent({ ...limits, connections: null });
    // A probe must not wait behind unanswered calls.
    this.#probes = new Agent({ ...limits, connections: 1, pipelining: 0 });
  }

  async request({ method, path, headers, content, signal }: Http2Call, isProbe = false): Promise<CarriedAnswer> {
    const isWatch = headers["accept"] === "text/event-stream";
    const answer = await undiciRequest(new URL(path, this.#url), {
      method: method,
      dispatcher: isProbe ? this.#probes : isWatch ? this.#watches : this.#calls,
      signal,
      headers: { ...headers },
      ...(content === undefined ? {} : { body: content }),
    });
    return { status: answer.statusCode, headers: answer.headers, body: answer.body };
  }

  async close(): Promise<void> {
    await Promise.all([this.#calls, this.#watches, this.#probes].map((dispatcher) => dispatcher.destroy()));
  }
}

/** Over TLS the connections of both versions of HTTP are opened in one place. */
function connectorTo(url: URL, options: Http1Options): buildConnector.connector | buildConnector.BuildOptions {
  const { connectTimeoutMs: timeout, socketPath } = options;
  if (url.protocol !== "https:") return { timeout, ...(socketPath === undefined ? {} : { socketPath }) };
  return (_origin, callback) => {
    const open = async () => {
      const opened = await openTls(url, { ...options, protocols: ["http/1.1"] }).catch((error: Error) => error);
      if (opened instanceof Error) callback(opened, null);
      else callback(null, opened);
    };
    void open();
  };
}
