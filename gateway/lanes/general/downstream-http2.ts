/** An HTTP/2 client, over Node's streams directly: Node's compatibility layer supports neither trailers nor resets. */
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Clock } from "#base";
import { isPadded, type RawHead } from "../../core/request/head.ts";
import type { BodySource } from "../../upstream/body.ts";
import { announcedBytes, ownEnd, type WholeEnd } from "../../upstream/end.ts";
import { cameToEndStream, requestTrailers } from "../../upstream/http2-end.ts";
import { asObject } from "../../upstream/http2-session.ts";
import type { Downstream, DownstreamListener } from "./downstream.ts";
import { LingerLimits } from "../linger.ts";

/** Fields that HTTP/2 forbids, from any source. */
const NOT_IN_HTTP2 = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection"]);

export class Http2Downstream implements Downstream {
  readonly head: RawHead;
  readonly body: BodySource | undefined;
  readonly contentLength: string | undefined;
  readonly #clock: Clock;
  readonly #stream: ServerHttp2Stream;
  #trailers: WholeEnd = ownEnd();
  #ended = false;
  /** The answer ends with trailers, possibly empty ones. */
  #trailed = false;
  /** The rest of the request's body is not wanted. */
  #unwanted = false;
  /** Called when the answer is sent while the client may still send. */
  #onAnswered: (() => void) | undefined;
  #listener: DownstreamListener | undefined;
  readonly #bodiless: boolean;
  /** The client sends its side of a tunnel, not a body. */
  readonly #tunnel: boolean;
  #opened = false;

  constructor(clock: Clock, stream: ServerHttp2Stream, head: RawHead, request: "ended" | "body" | "tunnel") {
    this.#clock = clock;
    this.head = head;
    this.#stream = stream;
    this.#bodiless = request === "ended";
    this.#tunnel = request === "tunnel";
    // The close reports the error. Without a listener it would end the process.
    stream.on("error", () => {});
    if (request !== "body") return;
    const { rawHeaders } = head;
    for (let i = 0; i < rawHeaders.length; i += 2) {
      if (rawHeaders[i] === "content-length") this.contentLength = rawHeaders[i + 1] as string;
    }
    this.body = {
      stream,
      marked: () => cameToEndStream(stream),
      announced: announcedBytes(rawHeaders),
      trailers: () => requestTrailers(stream),
    };
  }

  get headSent(): boolean {
    return this.#stream.headersSent;
  }

  get closed(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  get flushed(): boolean {
    return this.#stream.writableLength === 0;
  }

  listen(listener: DownstreamListener): void {
    const stream = this.#stream;
    this.#listener = listener;
    stream.on("drain", () => listener.onDrain());
    stream.once("wantTrailers", () => {
      if (stream.destroyed) return;
      stream.sendTrailers(asObject(this.#trailers));
      if (this.#onAnswered) setImmediate(this.#onAnswered);
    });
    stream.once("close", () =>
      this.#over(
        this.#opened || (this.#ended && stream.writableFinished && stream.rstCode === constants.NGHTTP2_NO_ERROR),
      ),
    );
  }

  /** A stream ends with its answer, and other streams continue. */
  closeBehind(): void {}

  continue(): void {
    if (!this.#stream.headersSent && !this.closed) this.#stream.additionalHeaders({ ":status": 100 });
  }

  inform(status: number, headers: readonly string[]): void {
    if (status === 100 || this.#stream.headersSent || this.closed) return;
    this.#stream.additionalHeaders({ ...asObject(headers), ":status": status });
  }

  writeHead(status: number, headers: readonly string[], _more: boolean): void {
    if (this.closed) return;
    this.#trailed = true;
    this.#stream.respond(fieldsOf(status, headers), { waitForTrailers: true });
  }

  write(chunk: Buffer): boolean {
    if (this.closed) return true;
    return this.#stream.write(chunk);
  }

  /** Opens the tunnel. The stream belongs to the caller until it closes. */
  open(headers: readonly string[]): void {
    this.#opened = true;
    if (!this.closed) this.#stream.respond(fieldsOf(200, headers), { waitForTrailers: true });
  }

  end(trailers: WholeEnd, last: Buffer | undefined): void {
    this.#ended = true;
    if (this.#tunnel) this.discard();
    this.#trailers = trailers;
    if (this.closed) return;
    if (last) this.#stream.end(last);
    else this.#stream.end();
  }

  whole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    this.#ended = true;
    if (this.closed) return;
    const bodiless = body === undefined || this.head.method === "HEAD";
    this.#stream.respond(fieldsOf(status, headers), { endStream: bodiless });
    if (!bodiless) this.#stream.end(body);
    if (this.#tunnel) this.discard();
  }

  cut(status?: readonly string[]): boolean {
    if (status && this.#trailed && !this.closed) {
      this.end(ownEnd(status), undefined);
      return true;
    }
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return false;
  }

  /**
   * Discards the rest of the body, for as long as a lingering close would: many clients write all of it before they
   * read, and treat a reset as a failure. After that, a reset without an error says that the answer is complete and the
   * rest is not wanted.
   */
  discard(): void {
    const stream = this.#stream;
    if (this.#bodiless || this.#unwanted || cameToEndStream(stream)) return;
    this.#unwanted = true;
    const limits = new LingerLimits(this.#clock, () => {
      if (!stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR);
    });
    this.#onAnswered = () => {
      limits.start();
      // The exchange is over, whatever the client still sends.
      this.#over(true);
    };
    stream.on("data", (chunk: Buffer) => limits.note(chunk.length));
    stream.once("close", () => limits.close());
    stream.resume();
    if (this.#trailed) return;
    if (stream.writableFinished) setImmediate(this.#onAnswered);
    else stream.once("finish", this.#onAnswered);
  }

  #over(complete: boolean): void {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.onClose(complete);
  }
}

/** Node passes names on in any case, and HTTP/2 requires lower case. */
function fieldsOf(status: number, headers: readonly string[]): string[] {
  const fields = [":status", String(status)];
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    if (!NOT_IN_HTTP2.has(name)) fields.push(name, headers[i + 1] as string);
  }
  return fields;
}

/**
 * The head of a stream in the form of an HTTP/1.1 head: `:authority` becomes the host, and the parts of a cookie are
 * joined. Two different hosts stay two, and are refused later.
 */
export function http2Head(raw: readonly string[], given: Pick<RawHead, "scheme" | "peer" | "port" | "tls">): RawHead {
  const rawHeaders: string[] = [];
  let method = "";
  let target = "";
  let authority: string | undefined;
  let cookie: string | undefined;
  let padded: string | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = raw[i + 1] as string;
    if (isPadded(value)) padded = name;
    if (name === ":method") method = value;
    else if (name === ":path") target = value;
    else if (name === ":authority") authority = value;
    else if (name === "cookie") cookie = cookie === undefined ? value : `${cookie}; ${value}`;
    else if (name === "host" && value === authority) continue;
    else if (!name.startsWith(":")) rawHeaders.push(name, value);
  }
  if (authority !== undefined) rawHeaders.unshift("host", authority);
  if (cookie !== undefined) rawHeaders.push("cookie", cookie);
  return { method, target, version: "2", ...given, rawHeaders, padded };
}
