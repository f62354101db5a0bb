/**
 * One HTTP/1.1 connection to an endpoint: one request at a time, its answer read strictly, its silence bounded, and its
 * place among the idle ones only when nothing about the last exchange is in doubt.
 */
import type { Socket } from "node:net";
import type { Clock } from "#base";
import { AnswerParser, BadAnswer, type AnswerParts } from "./answer-parser.ts";
import type { BodyCut, BodyWriter } from "./body.ts";
import { Deadline } from "./deadline.ts";
import type { WholeEnd } from "./end.ts";
import { guardWrites } from "./write-guard.ts";
import { UpstreamError, type AnswerSink, type OutgoingRequest, type Transfer } from "./transfer.ts";

export interface ConnectionOwner {
  /** The exchange has ended well and the connection may serve another. */
  onFree(connection: Http1Connection): void;
  /** It is gone, whether it was idle or busy; or the sink has it now. Once. */
  onGone(connection: Http1Connection): void;
}

/** What ends a field or a line. Node's parsers let none through; a filter that made one must not split a request. */
const FORBIDDEN = /[\r\n\0]/;

/** Methods that are expected to have a body. @see RFC 9110 §8.6 */
const WITH_BODY = new Set(["POST", "PUT", "PATCH"]);

export class Http1Connection implements Transfer, AnswerParts, BodyWriter {
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #parser: AnswerParser = new AnswerParser(this);
  readonly #deadline: Deadline;
  #sink: AnswerSink | undefined;
  #request: OutgoingRequest | undefined;
  /** The request has been written to its end. */
  #sent = false;
  /** The answer's head has been handed on. */
  #answering = false;
  #paused = false;
  #gone = false;
  #ended = false;
  #guarded = false;
  #failure: Error | undefined;
  /** Answers that came by it. */
  served = 0;
  /** Monotonic milliseconds at which it became idle. */
  idleSinceMs = 0;

  constructor(clock: Clock, socket: Socket, owner: ConnectionOwner) {
    this.#socket = socket;
    this.#owner = owner;
    this.#deadline = new Deadline(clock, () => this.#late());
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
    socket.on("drain", this.#onDrain);
  }

  /** Whether a request may be sent: nothing has come since the last answer, least of all an end. */
  get usable(): boolean {
    return !this.#gone && !this.#ended && this.#sink === undefined && this.#socket.writable;
  }

  /** Seconds that the upstream said it keeps an idle connection. */
  get keepAliveSeconds(): number | undefined {
    return this.#parser.keepAliveSeconds;
  }

  send(request: OutgoingRequest, sink: AnswerSink): Transfer {
    this.#request = request;
    this.#sink = sink;
    this.#answering = false;
    this.#sent = request.body === undefined;
    this.#parser.expect({ method: request.method, upgrade: request.upgrade !== undefined });
    const socket = this.#socket;
    const head = headOf(request);
    if (head === undefined) {
      // Nothing was written, and the connection is as good as before; but a defect is better loud.
      this.#fail(new UpstreamError("INTERNAL", "a header has a line end in it"));
      return this;
    }
    if (!request.body) {
      socket.write(head, "latin1");
      this.#deadline.set(request.headersMs);
      return this;
    }
    if (!this.#guarded) {
      this.#guarded = true;
      guardWrites(socket, this.#onUnwritable);
    }
    // The first of the body is often there already; so both go in one write.
    socket.cork();
    socket.write(head, "latin1");
    this.#deadline.set(request.idleMs);
    request.body.start(this);
    process.nextTick(uncork, socket);
    return this;
  }

  writeBody(chunk: Buffer): boolean {
    const socket = this.#socket;
    this.#deadline.set((this.#request as OutgoingRequest).idleMs);
    if (lengthOf(this.#request as OutgoingRequest) !== undefined) return socket.write(chunk);
    socket.cork();
    socket.write(`${chunk.length.toString(16)}\r\n`, "latin1");
    socket.write(chunk);
    const more = socket.write("\r\n", "latin1");
    socket.uncork();
    return more;
  }

  endBody(trailers: WholeEnd): void {
    const request = this.#request as OutgoingRequest;
    if (lengthOf(request) === undefined) {
      let end = "0\r\n";
      for (let i = 0; i < trailers.length; i += 2) end += `${trailers[i]}: ${trailers[i + 1]}\r\n`;
      this.#socket.write(`${end}\r\n`, "latin1");
    }
    this.#sent = true;
    this.#deadline.set(this.#answering ? request.idleMs : request.headersMs);
  }

  cutBody(reason: BodyCut): void {
    if (reason === "size") this.#fail(new UpstreamError("BODY_TOO_LARGE", "the request body is too large"));
    else if (reason === "slow") this.#fail(new UpstreamError("REQUEST_TIMEOUT", "the request body came too slowly"));
    else if (reason === "content") this.#fail(new UpstreamError("REQUEST_INVALID", "the request body cannot be read"));
    else this.#fail(new UpstreamError("CLIENT_CLOSED", "the client went away while sending"));
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#request) this.#deadline.set(this.#request.idleMs);
    this.#socket.resume();
  }

  abort(): void {
    if (!this.#sink) return;
    this.#sink = undefined;
    this.destroy();
  }

  /** Ends it under whoever uses it, who hears of it. */
  cut(): void {
    this.#fail(new UpstreamError("UPSTREAM_RESET", "the connection was cut"));
  }

  destroy(): void {
    this.#request?.body?.stop();
    this.#socket.destroy();
    this.#leave();
  }

  readonly #onData = (chunk: Buffer): void => {
    // Bytes that nobody asked for would become the answer of whoever asks next.
    if (!this.#sink) return this.destroy();
    try {
      this.#parser.push(chunk);
    } catch (error) {
      if (!(error instanceof BadAnswer)) throw error;
      return this.#fail(new UpstreamError("UPSTREAM_BAD_ANSWER", error.message));
    }
    if (this.#parser.done) this.#settle();
    else if (this.#sink && !this.#paused) {
      // A head that is not whole yet does not put off the moment by which it must be.
      if (this.#answering) this.#deadline.set((this.#request as OutgoingRequest).idleMs);
    }
  };

  /** The answer is whole: free for another, or gone. */
  #settle(): void {
    if (this.#gone) return;
    const request = this.#request;
    const whole = this.#sent;
    this.#sink = undefined;
    this.#request = undefined;
    this.#deadline.clear();
    this.served += 1;
    if (whole && this.#parser.reusable && !this.#ended && this.#socket.writable) {
      if (this.#paused) {
        this.#paused = false;
        this.#socket.resume();
      }
      return this.#owner.onFree(this);
    }
    // Answered before the request was whole: what is still to come would be taken for another.
    request?.body?.stop();
    this.#socket.destroy();
    this.#leave();
  }

  /** The upstream takes no more of the body. Its answer may be on its way, or there already. */
  readonly #onUnwritable = (): void => {
    const request = this.#request;
    if (!request || this.#sent) return;
    request.body?.stop();
    this.#deadline.set(this.#answering ? request.idleMs : request.headersMs);
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    if (this.#sink && this.#parser.finish()) this.#settle();
    else this.#broken();
  };

  readonly #onError = (error: Error): void => {
    this.#failure = error;
  };

  readonly #onClose = (): void => {
    this.#broken();
  };

  #broken(): void {
    const reason = this.#failure?.message ?? "the upstream closed the connection";
    const begun = this.#parser.begun;
    const reused = this.served > 0 && !begun && !this.#gone;
    this.#fail(new UpstreamError("UPSTREAM_RESET", reason, { reused, sending: !this.#sent, begun }));
  }

  #late(): void {
    this.#fail(new UpstreamError("UPSTREAM_TIMEOUT", "the upstream was silent for too long"));
  }

  #fail(error: UpstreamError): void {
    const sink = this.#sink;
    this.#sink = undefined;
    this.destroy();
    sink?.onError(error);
  }

  #leave(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#request = undefined;
    this.#deadline.close();
    this.#owner.onGone(this);
  }

  readonly #onDrain = (): void => {
    this.#request?.body?.resume();
  };

  onInform(status: number, headers: string[]): void {
    this.#sink?.onInform(status, headers);
  }

  onHead(status: number, headers: string[], more: boolean): void {
    this.#answering = true;
    this.#sink?.onHead(status, headers, more);
  }

  onData(chunk: Buffer): void {
    if (this.#sink?.onData(chunk) !== false || this.#paused || !this.#sink) return;
    this.#paused = true;
    // It is the client that is slow now, and its own limit that counts.
    this.#deadline.clear();
    this.#socket.pause();
  }

  onEnd(end: WholeEnd): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onEnd(end);
  }

  onWhole(status: number, headers: string[], body: Buffer | undefined): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onWhole(status, headers, body);
  }

  onSwitch(status: number, headers: string[], rest: Buffer): void {
    const sink = this.#sink;
    this.#sink = undefined;
    const socket = this.#socket;
    socket.off("data", this.#onData);
    socket.off("end", this.#onEnd);
    socket.off("close", this.#onClose);
    socket.off("drain", this.#onDrain);
    socket.pause();
    this.#leave();
    sink?.onSwitch(status, headers, socket, rest);
  }
}

function uncork(socket: Socket): void {
  socket.uncork();
}

/** The length that frames the body; undefined: chunks do. */
function lengthOf({ contentLength, trailersFollow }: OutgoingRequest): string | undefined {
  return trailersFollow ? undefined : contentLength;
}

/** The request's head as it goes out; undefined when a field would end its line. */
function headOf(request: OutgoingRequest): string | undefined {
  const { headers } = request;
  let head = `${request.method} ${request.path} HTTP/1.1\r\nhost: ${request.authority}\r\n`;
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1] as string;
    if (FORBIDDEN.test(value)) return undefined;
    head += `${headers[i]}: ${value}\r\n`;
  }
  if (request.upgrade !== undefined) return `${head}connection: Upgrade\r\nupgrade: ${request.upgrade}\r\n\r\n`;
  const length = lengthOf(request);
  if (length !== undefined) head += `content-length: ${length}\r\n`;
  else if (request.body) head += "transfer-encoding: chunked\r\n";
  // A client of HTTP/2 need not say that nothing comes; a server of HTTP/1.1 may wait to be told.
  else if (WITH_BODY.has(request.method)) head += "content-length: 0\r\n";
  return `${head}connection: keep-alive\r\n\r\n`;
}
