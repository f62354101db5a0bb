/**
 * One HTTP/1.1 connection to an endpoint. It carries one request at a time, parses the answer strictly, limits silence,
 * and returns to the idle ones only when nothing about the last exchange is in doubt.
 */
import type { Socket } from "node:net";
import type { Clock } from "#base";
import { fieldLines } from "../core/request/field-lines.ts";
import { AnswerParser, BadAnswer, type AnswerParts } from "./answer-parser.ts";
import type { BodyCut, BodyWriter } from "./body.ts";
import { Deadline } from "./deadline.ts";
import type { WholeEnd } from "./end.ts";
import { guardWrites } from "./write-guard.ts";
import { UpstreamError, type AnswerSink, type OutgoingRequest, type Transfer } from "./transfer.ts";

export interface ConnectionOwner {
  /** The exchange is complete, and the connection may serve another. */
  onFree(connection: Http1Connection): void;
  /** The connection is closed, idle or not, or belongs to the sink now. Called once. */
  onGone(connection: Http1Connection): void;
}

/** Methods that are expected to have a body. @see RFC 9110 §8.6 */
const WITH_BODY = new Set(["POST", "PUT", "PATCH"]);

export class Http1Connection implements Transfer, AnswerParts, BodyWriter {
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #parser: AnswerParser = new AnswerParser(this);
  readonly #deadline: Deadline;
  #sink: AnswerSink | undefined;
  #request: OutgoingRequest | undefined;
  /** The request was written completely. */
  #sent = false;
  /** The answer's head was passed on. */
  #answering = false;
  #paused = false;
  #gone = false;
  #ended = false;
  #guarded = false;
  #failure: Error | undefined;
  /** Answers received on it. */
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

  /** Whether a request may be sent: nothing was received since the last answer, not even an end. */
  get usable(): boolean {
    return !this.#gone && !this.#ended && this.#sink === undefined && this.#socket.writable;
  }

  /** Seconds for which the upstream said it keeps an idle connection. */
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
      // Nothing was written, so the connection is still good. But a defect should be visible.
      this.#fail(new UpstreamError("INTERNAL", "a header contains a character that cannot be sent"));
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
    // The first bytes of the body are often there already, so that both go out in one write.
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
      // Trailers that cannot be written are left out: the body before them is whole.
      this.#socket.write(`0\r\n${fieldLines(trailers) ?? ""}\r\n`, "latin1");
    }
    this.#sent = true;
    this.#deadline.set(this.#answering ? request.idleMs : request.headersMs);
  }

  cutBody(reason: BodyCut): void {
    if (reason === "size") this.#fail(new UpstreamError("BODY_TOO_LARGE", "the request body is too large"));
    else if (reason === "slow") this.#fail(new UpstreamError("REQUEST_TIMEOUT", "the request body arrived too slowly"));
    else if (reason === "content") this.#fail(new UpstreamError("REQUEST_INVALID", "the request body cannot be read"));
    else this.#fail(new UpstreamError("CLIENT_CLOSED", "the client disconnected while sending"));
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

  /** Closes the connection. A request in progress fails. */
  cut(): void {
    this.#fail(new UpstreamError("UPSTREAM_RESET", "the connection was cut"));
  }

  destroy(): void {
    this.#request?.body?.stop();
    this.#socket.destroy();
    this.#leave();
  }

  readonly #onData = (chunk: Buffer): void => {
    // Bytes without a request would become the answer to the next request.
    if (!this.#sink) return this.destroy();
    try {
      this.#parser.push(chunk);
    } catch (error) {
      if (!(error instanceof BadAnswer)) throw error;
      return this.#fail(new UpstreamError("UPSTREAM_BAD_ANSWER", error.message));
    }
    if (this.#parser.done) this.#settle();
    else if (this.#sink && !this.#paused) {
      // An incomplete head does not extend its time limit.
      if (this.#answering) this.#deadline.set((this.#request as OutgoingRequest).idleMs);
    }
  };

  /** The answer is complete: the connection becomes free, or closes. */
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
    // The answer came before the end of the request, so the rest of the request would be read as a new one.
    request?.body?.stop();
    this.#socket.destroy();
    this.#leave();
  }

  /** The upstream no longer reads the body. Its answer may be on its way, or already here. */
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
    // The client is the slow side now, and its own limit applies.
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

/** The length of the body; undefined: it is sent in chunks. */
function lengthOf({ contentLength, trailersFollow }: OutgoingRequest): string | undefined {
  return trailersFollow ? undefined : contentLength;
}

/** The request's head as it is sent; undefined when a field cannot be written. */
function headOf(request: OutgoingRequest): string | undefined {
  const fields = fieldLines(request.headers);
  if (fields === undefined) return undefined;
  let head = `${request.method} ${request.path} HTTP/1.1\r\nhost: ${request.authority}\r\n${fields}`;
  if (request.upgrade !== undefined) return `${head}connection: Upgrade\r\nupgrade: ${request.upgrade}\r\n\r\n`;
  const length = lengthOf(request);
  if (length !== undefined) head += `content-length: ${length}\r\n`;
  else if (request.body) head += "transfer-encoding: chunked\r\n";
  // An HTTP/2 client need not announce an empty body, but an HTTP/1.1 server may wait for an announcement.
  else if (WITH_BODY.has(request.method)) head += "content-length: 0\r\n";
  return `${head}connection: keep-alive\r\n\r\n`;
}
