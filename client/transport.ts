/**
 * How a call to the control plane travels: over the network, or straight into a server in this process. Nothing above
 * knows which. A signal is required, since a reader that merely leaves does not stop the producer behind an in-process
 * stream; aborting does.
 */
import type { Readable } from "node:stream";
import { Agent, request as undiciRequest, type Dispatcher } from "undici";
import { messageOf, own } from "#base";
import { ClientErrors } from "./errors.ts";

export interface RawBody {
  /** Its media type. */
  readonly type: string;
  readonly bytes: Uint8Array;
}

export interface TransportRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** Path and query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is, in place of `body`. */
  readonly raw?: RawBody;
  readonly signal: AbortSignal;
}

export interface TransportResponse {
  readonly status: number;
  header(name: string): string | undefined;
  /** All of them, names in lower case, for whoever passes an answer on. */
  headers(): Readonly<Record<string, string>>;
  /** The whole body as text. */
  text(): Promise<string>;
  /** The body as it comes. Leaving the loop ends it at the producer, too. */
  stream(): AsyncIterable<Uint8Array>;
}

export interface Transport extends AsyncDisposable {
  /** @throws CLIENT_UNREACHABLE when no answer came; any answer, whatever its status, is returned. */
  request(request: TransportRequest): Promise<TransportResponse>;
}

/** A body as it goes over the wire, and its type; undefined when there is none. */
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

function headerOf(headers: Record<string, string | string[] | number | undefined>, name: string): string | undefined {
  const value = own(headers, name.toLowerCase());
  return value === undefined ? undefined : Array.isArray(value) ? value.join(", ") : String(value);
}

async function* readAll(body: Readable, abort: AbortController): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) yield chunk as Uint8Array;
  } finally {
    abort.abort(new Error("reader left"));
    body.destroy();
  }
}

async function readText(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

function respond(
  status: number,
  headers: Record<string, string | string[] | number | undefined>,
  body: Readable,
  abort: AbortController,
): TransportResponse {
  return {
    status,
    header: (name) => headerOf(headers, name),
    headers: () => Object.fromEntries(Object.keys(headers).map((name) => [name, headerOf(headers, name) ?? ""])),
    text: () => readText(body),
    stream: () => readAll(body, abort),
  };
}

/** Aborts with the caller's signal, and by itself when a reader leaves. */
function linked(signal: AbortSignal): AbortController {
  const abort = new AbortController();
  if (signal.aborted) abort.abort(signal.reason);
  else {
    const forward = () => abort.abort(signal.reason);
    signal.addEventListener("abort", forward, { once: true });
    abort.signal.addEventListener("abort", () => signal.removeEventListener("abort", forward), { once: true });
  }
  return abort;
}

/** undici notices an abort only once a request has its connection, and an injected one only once its answer has begun. */
async function orAborted<T>(asked: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const reject = () => aborted.reject(signal.reason as Error);
  if (signal.aborted) reject();
  else signal.addEventListener("abort", reject, { once: true });
  try {
    return await Promise.race([asked, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", reject);
    asked.catch(() => {});
  }
}

export interface FetchTransportOptions {
  /** `http://host:port` of a control API; several are tried in turn. */
  readonly urls: readonly string[];
  /** Milliseconds to connect and to wait for the head of an answer; a watch then may be silent for `bodyTimeoutMs`. */
  readonly connectTimeoutMs?: number;
  readonly headersTimeoutMs?: number;
  /** Silence on a body that ends it. Watches send heartbeats well within. */
  readonly bodyTimeoutMs?: number;
}

/** Calls over the network, by undici with a dispatcher of its own. */
export function fetchTransport(options: FetchTransportOptions): Transport {
  const limits = {
    connect: { timeout: options.connectTimeoutMs ?? 3_000 },
    headersTimeout: options.headersTimeoutMs ?? 90_000,
    bodyTimeout: options.bodyTimeoutMs ?? 60_000,
  };
  const calls: Dispatcher = new Agent({ ...limits, connections: 64 });
  // A watch holds its connection for as long as it lives, so sixty-four of them would leave none for calls.
  const watches: Dispatcher = new Agent({ ...limits, connections: null });
  let preferred = 0;
  return {
    async request({ method, path, headers, body, raw, signal }) {
      const abort = linked(signal);
      const sent = encoded({ body, raw });
      let failure: unknown;
      for (let i = 0; i < options.urls.length; i++) {
        const index = (preferred + i) % options.urls.length;
        const url = options.urls[index] as string;
        try {
          const asked = undiciRequest(new URL(path, url), {
            method,
            dispatcher: headers?.["accept"] === "text/event-stream" ? watches : calls,
            signal: abort.signal,
            headers: { ...headers, ...(sent ? { "content-type": sent.type } : {}) },
            ...(sent ? { body: sent.content } : {}),
          });
          const answer = await orAborted(asked, abort.signal);
          preferred = index;
          return respond(answer.statusCode, answer.headers, answer.body, abort);
        } catch (error) {
          if (signal.aborted) throw signal.reason;
          failure = error;
          // A write whose answer was lost may have happened: only a refused connection is safe to try elsewhere.
          const code = (error as { code?: string }).code;
          if (method !== "GET" && code !== "ECONNREFUSED" && code !== "UND_ERR_CONNECT_TIMEOUT") break;
        }
      }
      throw ClientErrors.UNREACHABLE(
        `No answer from ${options.urls.join(" or ")}: ${messageOf(failure)}. Is the server running, and the URL right?`,
        { cause: failure },
      );
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([calls.destroy(), watches.destroy()]);
    },
  };
}

/** What Fastify's `inject` asks and answers, as far as it is used here. */
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
    headers: Record<string, string | string[] | number | undefined>;
    stream(): Readable;
  }>;
}

/** Calls into a server in this process, without a socket. Everything else of the request is as over the network. */
export function injectTransport(app: Injectable): Transport {
  return {
    async request({ method, path, headers, body, raw, signal }) {
      const abort = linked(signal);
      const sent = encoded({ body, raw });
      try {
        const asked = app.inject({
          method,
          url: path,
          headers: { ...headers, ...(sent ? { "content-type": sent.type } : {}) },
          ...(sent ? { payload: sent.content } : {}),
          payloadAsStream: true,
          signal: abort.signal,
        });
        const answer = await orAborted(asked, abort.signal);
        return respond(answer.statusCode, answer.headers, answer.stream(), abort);
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        throw ClientErrors.UNREACHABLE(`The server in this process did not answer: ${messageOf(error)}.`, {
          cause: error,
        });
      }
    },
    [Symbol.asyncDispose]: async () => {},
  };
}
