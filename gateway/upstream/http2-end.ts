/**
 * Whether an HTTP/2 stream ended by END_STREAM. Node emits `end` for a reset without an error as well. They differ in
 * order: at END_STREAM Node pushes the end of the data before it closes the stream, at a reset after it.
 */
import type { Http2Stream, ServerHttp2Stream } from "node:http2";
import { Readable } from "node:stream";
import { isPadded } from "../core/request/head.ts";

const ENDED = Symbol("END_STREAM received");
const TRAILERS = Symbol("trailers");
const NO_TRAILERS: readonly string[] = [];

interface Watched {
  [ENDED]?: boolean;
  [TRAILERS]?: readonly string[];
}

/** Call it as soon as the stream exists. */
export function watchEndStream(stream: Http2Stream): void {
  stream.push = push;
}

/** The same for a request with a body: head and body may have arrived in one packet. */
export function watchRequest(stream: ServerHttp2Stream): void {
  watchEndStream(stream);
  if (stream.state.remoteClose === 1) (stream as Watched)[ENDED] = true;
  stream.once("trailers", keepTrailers);
}

export function cameToEndStream(stream: Http2Stream): boolean {
  return (stream as Watched)[ENDED] === true;
}

/** The trailers of a watched request. */
export function requestTrailers(stream: ServerHttp2Stream): readonly string[] {
  return (stream as Watched)[TRAILERS] ?? NO_TRAILERS;
}

function push(this: Http2Stream, chunk: unknown, encoding?: BufferEncoding): boolean {
  if (chunk === null && !this.closed) (this as Watched)[ENDED] = true;
  return Readable.prototype.push.call(this, chunk, encoding);
}

function keepTrailers(this: Http2Stream, _headers: object, _flags: number, raw = NO_TRAILERS): void {
  (this as Watched)[TRAILERS] = raw.some(isPadded) ? withoutPadded(raw) : raw;
}

/** Trailers are no longer refused, but a malformed field in them is dropped. */
function withoutPadded(raw: readonly string[]): readonly string[] {
  return raw.filter((_, i) => !isPadded(raw[i | 1] as string));
}
