/** An HTTP/1.x client, over Node's own parser: the strictest parser of requests available here. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "#base";
import { fieldLines } from "../../core/request/field-lines.ts";
import type { RawHead } from "../../core/request/head.ts";
import { firstHeaderValue } from "../../core/request/header-list.ts";
import type { BodySource } from "../../upstream/body.ts";
import type { WholeEnd } from "../../upstream/end.ts";
import type { Downstream, DownstreamListener } from "./downstream.ts";
import { drainRequest, keptBehind } from "../edge.ts";
import { Lingering } from "../linger.ts";

/** Bytes of a body up to which copying it behind the head is cheaper than a second write. */
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
    // Node calls this to close after its last answer, both halves at once.
    socket.destroySoon = () => this.#linger(socket).halfClose();
  }

  #linger(socket: Socket): Lingering {
    return (this.#lingering ??= new Lingering(this.#clock, socket));
  }

  /** An answer that announces trailers is sent in chunks, because trailers cannot follow a body with a length. */
  #roomForTrailers(headers: readonly string[]): readonly string[] {
    if (this.head.version !== "1.1" || firstHeaderValue(headers, "trailer") === undefined) return headers;
    return headers.filter((_, at) => (headers[at - (at % 2)] as string).toLowerCase() !== "content-length");
  }

  /** After a complete last request, further bytes are not requests. */
  #lingerAtOnce(): void {
    const { socket, complete } = this.#request;
    if (this.#closes && (complete || !this.body) && !socket.destroyed) this.#linger(socket);
  }

  /** The fields of the head. An answer before the end of the request may have to close the connection. */
  #headOf(headers: readonly string[]): string[] {
    if (this.body && !this.#request.complete && !keptBehind(this.contentLength)) this.closeBehind();
    return this.#closes ? [...headers, "connection", "close"] : (headers as string[]);
  }

  continue(): void {
    if (this.#continued || this.#response.headersSent) return;
    this.#continued = true;
    this.#response.writeContinue();
  }

  /** HTTP/1.0 has no informational answers, and old HTTP/1.1 clients fail on all but 100 and 103. */
  inform(status: number, headers: readonly string[]): void {
    const { socket } = this.#response;
    // It cannot overtake the answer to an earlier request, and a delayed hint is useless.
    if (status !== 103 || this.head.version === "1.0" || !socket || this.#response.headersSent) return;
    const fields = fieldLines(headers);
    if (fields !== undefined) socket.write(`HTTP/1.1 103 Early Hints\r\n${fields}\r\n`, "latin1");
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
    // Node joins text to the head, byte for byte: one buffer to write instead of two.
    else this.#response.end(body.toString("latin1"), "latin1");
  }

  cut(): boolean {
    const { socket } = this.#response;
    // Sends the bytes that were handed over before.
    while (this.#response.writableCorked > 0) this.#response.uncork();
    // An answer without a length ends with the connection, so only a reset shows a failure.
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
