/**
 * gRPC-Web, for browsers: the same calls, with the trailers as a last frame of the body, in base64 if requested. The
 * lane sees an ordinary gRPC client.
 */
import {
  Base64Reader,
  grpcContentType,
  MessageMeter,
  webContentType,
  webTrailerFrame,
  type GrpcKind,
} from "../../core/request/grpc.ts";
import type { RawHead } from "../../core/request/head.ts";
import type { BodySource } from "../../upstream/body.ts";
import { ownEnd, type WholeEnd } from "../../upstream/end.ts";
import type { Downstream, DownstreamListener } from "./downstream.ts";

export class GrpcWebDownstream implements Downstream {
  readonly head: RawHead;
  readonly body: BodySource | undefined;
  readonly contentLength: string | undefined;
  readonly #inner: Downstream;
  readonly #kind: Exclude<GrpcKind, "grpc">;
  /** Of the answer. */
  readonly #meter = new MessageMeter();

  constructor(inner: Downstream, kind: Exclude<GrpcKind, "grpc">) {
    this.#inner = inner;
    this.#kind = kind;
    this.head = { ...inner.head, rawHeaders: requestHeaders(inner.head.rawHeaders) };
    this.contentLength = kind === "web" ? inner.contentLength : undefined;
    this.body = inner.body && kind === "web-text" ? decoded(inner.body) : inner.body;
  }

  get headSent(): boolean {
    return this.#inner.headSent;
  }

  get closed(): boolean {
    return this.#inner.closed;
  }

  get flushed(): boolean {
    return this.#inner.flushed;
  }

  listen(listener: DownstreamListener): void {
    this.#inner.listen(listener);
  }

  closeBehind(): void {
    this.#inner.closeBehind();
  }

  continue(): void {
    this.#inner.continue();
  }

  inform(status: number, headers: readonly string[]): void {
    this.#inner.inform(status, headers);
  }

  writeHead(status: number, headers: readonly string[], more: boolean): void {
    this.#inner.writeHead(status, this.#answerHeaders(headers, true), more);
  }

  write(chunk: Buffer): boolean {
    this.#meter.exceeds(chunk, Infinity);
    return this.#send(chunk);
  }

  #send(chunk: Buffer): boolean {
    // Each chunk has its own padding, because a message must not wait for the first bytes of the next.
    return this.#inner.write(this.#kind === "web-text" ? Buffer.from(chunk.toString("base64"), "latin1") : chunk);
  }

  end(trailers: WholeEnd, last: Buffer | undefined): void {
    if (last) this.write(last);
    if (trailers.length > 0) this.#send(Buffer.from(webTrailerFrame(trailers)));
    this.#inner.end(ownEnd(), undefined);
  }

  /** The status is among the headers in this case, where a gRPC-Web client looks first. */
  whole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    this.#inner.whole(status, this.#answerHeaders(headers, false), body);
  }

  /** Within a message, a frame of trailers would be read as part of it. */
  cut(status?: readonly string[]): boolean {
    if (!status || !this.#meter.between) return this.#inner.cut();
    this.end(ownEnd(status), undefined);
    return true;
  }

  discard(): void {
    this.#inner.discard();
  }

  #answerHeaders(headers: readonly string[], framed: boolean): string[] {
    const kept: string[] = [];
    for (let i = 0; i < headers.length; i += 2) {
      const name = (headers[i] as string).toLowerCase();
      const value = headers[i + 1] as string;
      if (name === "content-length" && framed) continue;
      kept.push(name, name === "content-type" ? webContentType(value, this.#kind) : value);
    }
    return kept;
  }
}

function requestHeaders(rawHeaders: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const value = rawHeaders[i + 1] as string;
    kept.push(name, name.toLowerCase() === "content-type" ? grpcContentType(value) : value);
  }
  return kept;
}

const NOTHING = Buffer.alloc(0);

function decoded(source: BodySource): BodySource {
  const reader = new Base64Reader();
  return {
    ...source,
    translate: (chunk) => {
      if (chunk) return Buffer.from(reader.push(chunk.toString("latin1")));
      if (!reader.whole) throw new Error("the base64 ends inside a group");
      return NOTHING;
    },
  };
}
