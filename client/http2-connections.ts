/**
 * HTTP/2 to one member of the control plane. All watches, calls and acknowledgements share one connection; another is opened only beyond
 * the streams that the member allows. A call that the member has certainly not begun is repeated on a new connection.
 */
import { connect as connectHttp2, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import type { Clock } from "#base";
import type { AnswerHeaders, CarriedAnswer } from "./carry.ts";
import { openTls } from "./tls-connection.ts";
import type { ServerTrust } from "./server-trust.ts";

/** Milliseconds between two looks at a connection with calls. One that was silent is asked for a sign of life until the next look. */
const LOOK_MS = 5_000;
/** Bytes in transit of one stream, and of all: a snapshot of the catalog arrives in few round trips. */
const STREAM_WINDOW_BYTES = 256 * 1024;
const CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024;
/** MiB that nghttp2 may hold for one connection: some kilobytes for each stream. */
const SESSION_MEMORY_MIB = 32;
/** Connections on which a call is begun again, because the member closes each one just then. */
const TRIES_MAX = 3;

export interface Http2Call {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly content?: string | Uint8Array | undefined;
  readonly signal: AbortSignal;
}

export interface Http2Options {
  readonly trust: ServerTrust;
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
}

interface Connection {
  readonly session: ClientHttp2Session;
  streams: number;
  isLookedAt: boolean;
}

export class Http2Connections {
  readonly #url: URL;
  readonly #options: Http2Options;
  readonly #open = new Set<Connection>();
  readonly #forget: () => void;
  #opening: Promise<Connection | undefined> | undefined;
  #isHttp1 = false;
  #isClosed = false;

  constructor(url: URL, options: Http2Options) {
    this.#url = url;
    this.#options = options;
    // The calls under way finish on the connection with the old certificate.
    this.#forget = options.trust.onChange(() => {
      for (const { session } of this.#open) session.close();
    });
  }

  /** Undefined: the server speaks HTTP/1.1 only. @throws CLIENT_UNTRUSTED, or the system's own error */
  async request(call: Http2Call): Promise<CarriedAnswer | undefined> {
    for (let attempt = 1; ; attempt++) {
      const connection = await this.#acquire();
      if (connection === undefined) return undefined;
      call.signal.throwIfAborted();
      try {
        return await this.#send(connection, call);
      } catch (error) {
        if (attempt >= TRIES_MAX || !isNeverBegun(error)) throw error;
      }
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#forget();
    for (const { session } of this.#open) session.destroy();
  }

  async #acquire(): Promise<Connection | undefined> {
    for (;;) {
      if (this.#isHttp1) return undefined;
      for (const connection of this.#open) if (isFree(connection)) return connection;
      this.#opening ??= this.#connect().finally(() => (this.#opening = undefined));
      const opened = await this.#opening;
      if (opened !== undefined && isFree(opened)) return opened;
    }
  }

  async #connect(): Promise<Connection | undefined> {
    const socket = await openTls(this.#url, { ...this.#options, protocols: ["h2", "http/1.1"] });
    if (this.#isClosed || socket.alpnProtocol !== "h2") {
      socket.on("error", () => {}).destroy();
      if (this.#isClosed) throw new Error("the transport was closed");
      this.#isHttp1 = true;
      return undefined;
    }
    const session = connectHttp2(this.#url, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES },
      maxSessionMemory: SESSION_MEMORY_MIB,
    });
    const connection: Connection = { session, streams: 0, isLookedAt: false };
    // Without the member's settings its limit of streams is not known. They follow the handshake at once.
    await new Promise<void>((resolve, reject) => {
      const cancel = this.#options.clock.after(this.#options.headersTimeoutMs, () =>
        session.destroy(new Error("the server did not begin HTTP/2")),
      );
      session.once("remoteSettings", () => {
        cancel();
        resolve();
      });
      session.on("error", reject);
      session.once("close", () => {
        cancel();
        this.#open.delete(connection);
        reject(new Error("the connection closed"));
      });
    });
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    session.unref();
    this.#open.add(connection);
    return connection;
  }

  #send(connection: Connection, { method, path, headers, content, signal }: Http2Call): Promise<CarriedAnswer> {
    const { session } = connection;
    const stream = session.request(
      { ...headers, [constants.HTTP2_HEADER_METHOD]: method, [constants.HTTP2_HEADER_PATH]: path },
      { endStream: content === undefined },
    );
    this.#begin(connection);
    const abort = () => stream.close(constants.NGHTTP2_CANCEL);
    signal.addEventListener("abort", abort, { once: true });
    const cancel = this.#options.clock.after(this.#options.headersTimeoutMs, () =>
      stream.destroy(new Error("no answer in time")),
    );
    return new Promise((resolve, reject) => {
      stream.once("response", ({ ":status": status, ...rest }: AnswerHeaders) => {
        cancel();
        resolve({
          status: Number(status),
          headers: rest,
          body: stream,
          // Node ends the stream of a reset like that of a whole answer.
          isWhole: () => stream.rstCode === constants.NGHTTP2_NO_ERROR,
        });
      });
      stream.once("error", reject);
      stream.once("close", () => {
        cancel();
        signal.removeEventListener("abort", abort);
        this.#end(connection);
        reject(streamClosed(stream));
      });
      if (content !== undefined) stream.end(content);
    });
  }

  /** A connection with calls keeps the process running, and is looked at. */
  #begin(connection: Connection): void {
    connection.streams += 1;
    if (connection.streams > 1) return;
    connection.session.ref();
    if (!connection.isLookedAt) this.#look(connection, -1);
  }

  #end(connection: Connection): void {
    connection.streams -= 1;
    if (connection.streams === 0 && !connection.session.destroyed) connection.session.unref();
  }

  /** Ends a connection whose server no longer answers. Without this, its calls would wait for the system to notice. */
  #look(connection: Connection, readBefore: number): void {
    const { session } = connection;
    connection.isLookedAt = true;
    let isAnswered = true;
    if (readBefore === session.socket.bytesRead) {
      isAnswered = false;
      session.ping((error) => (isAnswered = !error));
    }
    const read = session.socket.bytesRead;
    this.#options.clock.after(LOOK_MS, () => {
      connection.isLookedAt = false;
      if (session.destroyed || connection.streams === 0) return;
      if (isAnswered) this.#look(connection, read);
      else session.destroy(new Error(`the server was silent for ${(2 * LOOK_MS) / 1000} s`));
    });
  }
}

function isFree({ session, streams }: Connection): boolean {
  return !session.closed && !session.destroyed && streams < (session.remoteSettings.maxConcurrentStreams ?? Infinity);
}

function streamClosed({ rstCode }: ClientHttp2Stream): Error {
  const isRefused = rstCode === constants.NGHTTP2_REFUSED_STREAM;
  return Object.assign(new Error(`the server closed the stream with code ${rstCode}`), {
    code: isRefused ? REFUSED : "ERR_HTTP2_STREAM_ERROR",
  });
}

const REFUSED = "HTTP2_REFUSED_STREAM";
/** The member refused the stream, or the connection was closing when the call began. */
const NEVER_BEGUN: ReadonlySet<unknown> = new Set([
  REFUSED,
  "ERR_HTTP2_GOAWAY_SESSION",
  "ERR_HTTP2_INVALID_SESSION",
  "ERR_HTTP2_OUT_OF_STREAMS",
]);

function isNeverBegun(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: string };
  return (
    NEVER_BEGUN.has(code) || (code === "ERR_HTTP2_STREAM_ERROR" && message?.includes("NGHTTP2_REFUSED_STREAM") === true)
  );
}
