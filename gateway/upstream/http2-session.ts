/**
 * One HTTP/2 connection to an endpoint and the requests that share it. A stream that the upstream refused, or did not
 * process before its GOAWAY, had no effect and is reported as unsent. A connection that is silent while requests wait
 * is pinged.
 */
import { own, setOwn } from "#base";
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "#base";
import { ANSWER_FIELDS_MAX, ANSWER_HEAD_BYTES_MAX, INFORMATIONAL_MAX } from "./answer-parser.ts";
import type { BodyCut, BodyWriter } from "./body.ts";
import { Deadline } from "./deadline.ts";
import { announcedBytes, endOf, hasBody, ownEnd, type WholeEnd } from "./end.ts";
import { cameToEndStream, watchEndStream } from "./http2-end.ts";
import { UpstreamError, type AnswerSink, type OutgoingRequest, type Transfer } from "./transfer.ts";

/**
 * Concurrent requests on one connection, even if the upstream allows more: they share one TCP window and its losses.
 */
export const STREAMS_MAX = 100;
/**
 * Milliseconds for which a connection without requests is kept. One per endpoint is cheap, and a new one costs two
 * round trips.
 */
const SESSION_IDLE_MS = 60_000;
/** Milliseconds of silence during requests after which the upstream is pinged. */
const PING_AFTER_MS = 20_000;
/** Milliseconds for the answer to the ping. */
const PING_TIMEOUT_MS = 5_000;
/** Bytes in transit of one answer, and of all answers of a connection together. */
const STREAM_WINDOW_BYTES = 256 * 1024;
const SESSION_WINDOW_BYTES = 4 * 1024 * 1024;

export interface SessionOwner {
  /** A stream has ended, so another may start. */
  onRoom(session: Http2Session): void;
  onGone(session: Http2Session): void;
}

export class Http2Session {
  readonly #clock: Clock;
  readonly #session: ClientHttp2Session;
  readonly #idle: Deadline;
  readonly #silence: Deadline;
  readonly #transfers = new Set<Http2Transfer>();
  #closing = false;
  #gone = false;
  served = 0;

  constructor(clock: Clock, socket: Socket, origin: string, owner: SessionOwner) {
    this.#clock = clock;
    this.#idle = new Deadline(clock, () => this.close());
    this.#silence = new Deadline(clock, () => this.#ping());
    this.#session = connect(origin, {
      createConnection: () => socket,
      settings: {
        enablePush: false,
        initialWindowSize: STREAM_WINDOW_BYTES,
        maxHeaderListSize: ANSWER_HEAD_BYTES_MAX,
      },
      maxHeaderListPairs: ANSWER_FIELDS_MAX,
      maxReservedRemoteStreams: 0,
      // A repeated field is for the upstream to judge. Node has this option, but its types do not yet.
      ...({ strictSingleValueFields: false } as object),
    });
    const session = this.#session;
    const gone = () => {
      if (this.#gone) return;
      this.#gone = true;
      this.#closing = true;
      this.#idle.close();
      this.#silence.close();
      owner.onGone(this);
    };
    session.on("connect", () => session.setLocalWindowSize(SESSION_WINDOW_BYTES));
    session.on("goaway", () => (this.#closing = true));
    session.on("error", () => {});
    session.on("close", gone);
    this.#onRoom = () => owner.onRoom(this);
    this.#idle.set(SESSION_IDLE_MS);
  }

  readonly #onRoom: () => void;

  get streams(): number {
    return this.#transfers.size;
  }

  /** Whether it can take another request. */
  get roomy(): boolean {
    if (this.#closing || this.#session.closed || this.#session.destroyed) return false;
    const theirs = this.#session.remoteSettings?.maxConcurrentStreams ?? STREAMS_MAX;
    return this.#transfers.size < Math.min(STREAMS_MAX, theirs);
  }

  send(request: OutgoingRequest, sink: AnswerSink): Transfer {
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session.request(pseudo(request), {
        endStream: request.body === undefined,
        // Also without trailers: otherwise Node ends a stream that it resets, so that a cut request looks complete.
        waitForTrailers: request.body !== undefined,
      });
    } catch (error) {
      const unsent = { unsent: true };
      sink.onError(new UpstreamError("UPSTREAM_RESET", error instanceof Error ? error.message : "no stream", unsent));
      return { resume() {}, abort() {} };
    }
    this.#idle.clear();
    this.#silence.set(PING_AFTER_MS);
    const transfer = new Http2Transfer(this.#clock, stream, request, sink, {
      reused: this.served > 0,
      onActive: () => this.#silence.set(PING_AFTER_MS),
      onClose: () => {
        this.#transfers.delete(transfer);
        this.served += 1;
        if (this.#transfers.size === 0) {
          this.#silence.clear();
          if (!this.#gone) this.#idle.set(SESSION_IDLE_MS);
        }
        this.#onRoom();
      },
    });
    this.#transfers.add(transfer);
    transfer.start();
    return transfer;
  }

  #ping(): void {
    if (this.#gone || this.#transfers.size === 0) return;
    const cancel = this.#clock.after(PING_TIMEOUT_MS, () => this.destroy());
    const sent = this.#session.ping((error) => {
      cancel();
      if (!error && this.#transfers.size > 0) this.#silence.set(PING_AFTER_MS);
    });
    if (!sent) cancel();
  }

  /** Takes no further requests, and ends with the last of its current ones. */
  close(): void {
    this.#closing = true;
    this.#session.close();
  }

  destroy(): void {
    this.#closing = true;
    this.#session.destroy();
  }
}

const NO_TRAILERS: readonly string[] = ownEnd();

class Http2Transfer implements Transfer, BodyWriter {
  readonly #stream: ClientHttp2Stream;
  readonly #request: OutgoingRequest;
  readonly #deadline: Deadline;
  readonly #reused: boolean;
  readonly #onActive: () => void;
  #sink: AnswerSink | undefined;
  #answered = false;
  #sent: boolean;
  #informed = 0;
  #announced: number | undefined;
  #received = 0;
  #trailers: readonly string[] = NO_TRAILERS;

  constructor(
    clock: Clock,
    stream: ClientHttp2Stream,
    request: OutgoingRequest,
    sink: AnswerSink,
    session: { reused: boolean; onActive: () => void; onClose: () => void },
  ) {
    this.#stream = stream;
    this.#request = request;
    this.#sink = sink;
    this.#reused = session.reused;
    this.#onActive = session.onActive;
    this.#sent = request.body === undefined;
    this.#deadline = new Deadline(clock, () =>
      this.#fail(new UpstreamError("UPSTREAM_TIMEOUT", "the upstream was silent for too long")),
    );
    watchEndStream(stream);
    stream.on("headers", (headers, _flags, raw) => this.#onInform(Number(headers[":status"]), fields(raw)));
    stream.on("response", (headers, flags, raw) => this.#onHead(Number(headers[":status"]), flags, fields(raw)));
    stream.on("data", (chunk: Buffer) => this.#onData(chunk));
    stream.on("trailers", (_headers, _flags, raw) => (this.#trailers = fields(raw)));
    stream.on("end", () => this.#onEnd());
    stream.on("drain", () => request.body?.resume());
    // The close reports the error. Without a listener it would end the process.
    stream.on("error", () => {});
    stream.on("close", () => {
      this.#broken();
      this.#deadline.close();
      session.onClose();
    });
  }

  start(): void {
    const { body, headersMs, idleMs } = this.#request;
    this.#deadline.set(body ? idleMs : headersMs);
    body?.start(this);
  }

  writeBody(chunk: Buffer): boolean {
    this.#onActive();
    this.#deadline.set(this.#request.idleMs);
    return this.#stream.write(chunk);
  }

  endBody(trailers: WholeEnd): void {
    this.#sent = true;
    this.#deadline.set(this.#answered ? this.#request.idleMs : this.#request.headersMs);
    this.#stream.once("wantTrailers", () => {
      if (!this.#stream.destroyed) this.#stream.sendTrailers(asObject(trailers));
    });
    this.#stream.end();
  }

  cutBody(reason: BodyCut): void {
    if (reason === "size") this.#fail(new UpstreamError("BODY_TOO_LARGE", "the request body is too large"));
    else if (reason === "slow") this.#fail(new UpstreamError("REQUEST_TIMEOUT", "the request body arrived too slowly"));
    else if (reason === "content") this.#fail(new UpstreamError("REQUEST_INVALID", "the request body cannot be read"));
    else this.#fail(new UpstreamError("CLIENT_CLOSED", "the client disconnected while sending"));
  }

  resume(): void {
    this.#deadline.set(this.#request.idleMs);
    this.#stream.resume();
  }

  abort(): void {
    this.#sink = undefined;
    this.#cut();
  }

  #cut(): void {
    this.#request.body?.stop();
    this.#deadline.close();
    if (!this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #onInform(status: number, headers: string[]): void {
    this.#onActive();
    if (status === 101 || ++this.#informed > INFORMATIONAL_MAX) {
      return this.#fail(new UpstreamError("UPSTREAM_BAD_ANSWER", "an informational answer that is not allowed here"));
    }
    this.#sink?.onInform(status, headers);
  }

  #onHead(status: number, flags: number, headers: string[]): void {
    this.#answered = true;
    this.#onActive();
    const sink = this.#sink;
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) {
      this.#sink = undefined;
      sink?.onWhole(status, headers, undefined);
      return this.#finish();
    }
    if (this.#sent) this.#deadline.set(this.#request.idleMs);
    if (hasBody(this.#request.method, status)) this.#announced = announcedBytes(headers);
    sink?.onHead(status, headers, false);
  }

  #onData(chunk: Buffer): void {
    this.#onActive();
    this.#received += chunk.length;
    if (this.#sink?.onData(chunk) !== false || !this.#sink) {
      this.#deadline.set(this.#request.idleMs);
      return;
    }
    // The client is the slow side now, and its own limit applies.
    this.#deadline.clear();
    this.#stream.pause();
  }

  #onEnd(): void {
    const marked = this.#answered && cameToEndStream(this.#stream);
    const end = endOf({ marked, announced: this.#announced, received: this.#received }, this.#trailers);
    if (!end) {
      // The close reports what broke the answer off.
      if (marked)
        this.#fail(new UpstreamError("UPSTREAM_BAD_ANSWER", "the answer does not have the length that it announces"));
      return;
    }
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onEnd(end);
    this.#finish();
  }

  /** The answer is complete, and the rest of the request is not needed. */
  #finish(): void {
    this.#deadline.close();
    if (this.#sent) return;
    this.#request.body?.stop();
    this.#stream.close(constants.NGHTTP2_NO_ERROR);
  }

  #broken(): void {
    const code = this.#stream.rstCode;
    if (code === constants.NGHTTP2_REFUSED_STREAM) {
      this.#fail(new UpstreamError("UPSTREAM_RESET", "the upstream refused the stream", { unsent: true }));
    } else if (code === constants.NGHTTP2_PROTOCOL_ERROR || code === constants.NGHTTP2_COMPRESSION_ERROR) {
      this.#fail(new UpstreamError("UPSTREAM_BAD_ANSWER", "the upstream broke the rules of HTTP/2"));
    } else {
      const facts = { reused: this.#reused && !this.#answered, sending: !this.#sent, begun: this.#answered };
      this.#fail(new UpstreamError("UPSTREAM_RESET", `the upstream ended the stream with code ${code}`, facts));
    }
  }

  #fail(error: UpstreamError): void {
    const sink = this.#sink;
    this.#sink = undefined;
    this.#cut();
    sink?.onError(error);
  }
}

/** The request's fields, the pseudo-headers first, all in lower case. */
function pseudo(request: OutgoingRequest): string[] {
  const all = [
    ":method",
    request.method,
    ":scheme",
    request.scheme,
    ":authority",
    request.authority,
    ":path",
    request.path,
  ];
  for (let i = 0; i < request.headers.length; i += 2) {
    all.push((request.headers[i] as string).toLowerCase(), request.headers[i + 1] as string);
  }
  if (request.contentLength !== undefined) all.push("content-length", request.contentLength);
  if (request.trailers) all.push("te", "trailers");
  return all;
}

/** Node accepts trailers only as an object. */
export function asObject(list: readonly string[]): Record<string, string[]> {
  const object: Record<string, string[]> = {};
  for (let i = 0; i < list.length; i += 2) {
    const name = (list[i] as string).toLowerCase();
    setOwn(object, name, [...(own(object, name) ?? []), list[i + 1] as string]);
  }
  return object;
}

/** Without the pseudo-headers. */
function fields(raw: readonly string[]): string[] {
  let at = 0;
  while (at < raw.length && (raw[at] as string).startsWith(":")) at += 2;
  return raw.slice(at);
}
