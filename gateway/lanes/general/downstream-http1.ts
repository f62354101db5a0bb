/** A client of HTTP/1.x, over Node's own parser: the strictest reader of requests that there is here. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "#base";
import type { RawHead } from "../../core/request/head.ts";
import { firstHeaderValue } from "../../core/request/header-list.ts";
import type { BodySource } from "../../upstream/body.ts";
import type { WholeEnd } from "../../upstream/end.ts";
import type { Downstream, DownstreamListener } from "./downstream.ts";
import { drainRequest, keptBehind } from "../edge.ts";
import { Lingering } from "../linger.ts";

/** Bytes of a body that are cheaper copied behind the head than handed to the system beside it. */
const JOINED_BYTES_MAX = 16 * 1024;

export class Http1Downstream implements Downstream {
  readonly head: RawHead;
  readonly body: BodySource | undefined;
  readonly contentLength: string | undefined;
  readonly #clock: Clock;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #continued = false;
  #closes = false;
  #lingering: Lingering | undefined;

  constructor(clock: Clock, request: IncomingMessage, response: ServerResponse, head: RawHead) {
    this.#clock = clock;
    this.head = head;
    this.#request = request;
    this.#response = response;
    const { "content-length": length, "transfer-encoding": encoding } = request.headers;
    this.contentLength = length;
    if (encoding !== undefined || (length !== undefined && Number(length) > 0)) this.body = sourceOf(request, length);
  }

  get headSent(): boolean {
    return this.#response.headersSent;
  }

  get closed(): boolean {
    return this.#response.destroyed || this.#response.closed;
  }

  get flushed(): boolean {
    return this.#response.writableLength === 0;
  }

  listen(listener: DownstreamListener): void {
    const response = this.#response;
    response.on("drain", () => listener.onDrain());
    response.once("close", () => listener.onClose(response.writableFinished));
  }

  closeBehind(): void {
    if (this.#closes) return;
    this.#closes = true;
    const { socket } = this.#request;
    // With it Node closes behind its last answer, both halves at once.
    socket.destroySoon = () => this.#linger(socket).halfClose();
  }

  #linger(socket: Socket): Lingering {
    return (this.#lingering ??= new Lingering(this.#clock, socket));
  }

  /** An answer that announces trailers goes out in chunks: behind a length there is no place for them. */
  #roomForTrailers(headers: readonly string[]): readonly string[] {
    if (this.head.version !== "1.1" || firstHeaderValue(headers, "trailer") === undefined) return headers;
    return headers.filter((_, at) => (headers[at - (at % 2)] as string).toLowerCase() !== "content-length");
  }

  /** Behind a whole request nothing that comes is one. */
  #lingerAtOnce(): void {
    const { socket, complete } = this.#request;
    if (this.#closes && (complete || !this.body) && !socket.destroyed) this.#linger(socket);
  }

  /** The fields of the head, and what they must say when the answer is earlier than the end of the request. */
  #headOf(headers: readonly string[]): string[] {
    if (this.body && !this.#request.complete && !keptBehind(this.contentLength)) this.closeBehind();
    return this.#closes ? [...headers, "connection", "close"] : (headers as string[]);
  }

  continue(): void {
    if (this.#continued || this.#response.headersSent) return;
    this.#continued = true;
    this.#response.writeContinue();
  }

  /** HTTP/1.0 knows no informational answers, and old clients of 1.1 stumble over all but 100 and 103. */
  inform(status: number, headers: readonly string[]): void {
    const { socket } = this.#response;
    // Behind the answer of an earlier request there is no place for it yet, and a hint that waits is none.
    if (status !== 103 || this.head.version === "1.0" || !socket || this.#response.headersSent) return;
    let text = "HTTP/1.1 103 Early Hints\r\n";
    for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
    socket.write(`${text}\r\n`, "latin1");
  }

  writeHead(status: number, headers: readonly string[], more: boolean): void {
    this.#response.writeHead(status, this.#headOf(this.#roomForTrailers(headers)));
    if (!more) this.#response.flushHeaders();
  }

  write(chunk: Buffer): boolean {
    return this.#response.write(chunk);
  }

  end(trailers: WholeEnd, last: Buffer | undefined): void {
    const response = this.#response;
    if (trailers.length > 0 && response.chunkedEncoding) {
      const pairs: [string, string][] = [];
      for (let i = 0; i < trailers.length; i += 2) pairs.push([trailers[i] as string, trailers[i + 1] as string]);
      response.addTrailers(pairs);
    }
    this.#lingerAtOnce();
    if (last) response.end(last);
    else response.end();
  }

  whole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    this.#response.writeHead(status, this.#headOf(headers));
    this.#lingerAtOnce();
    if (body === undefined) this.#response.end();
    else if (body.length > JOINED_BYTES_MAX) this.#response.end(body);
    // As text Node joins it to the head, byte for byte: one buffer to write instead of two.
    else this.#response.end(body.toString("latin1"), "latin1");
  }

  cut(): boolean {
    const { socket } = this.#response;
    // What was handed over before is true, and goes first.
    while (this.#response.writableCorked > 0) this.#response.uncork();
    // An end is how an answer without a length ends well; a reset is how it does not.
    if (socket && "resetAndDestroy" in socket && !("encrypted" in socket)) socket.resetAndDestroy();
    else this.#response.destroy();
    return false;
  }

  discard(): void {
    const { socket } = this.#request;
    if (!this.#closes) drainRequest(this.#clock, this.#request);
    else if (!socket.destroyed) this.#linger(socket);
  }
}

function sourceOf(request: IncomingMessage, length: string | undefined): BodySource {
  return {
    stream: request,
    marked: () => request.complete,
    announced: length === undefined ? undefined : Number(length),
    trailers: () => request.rawTrailers,
  };
}
