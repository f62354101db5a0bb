/**
 * One request to one endpoint and its answer, in any protocol. It uses calls instead of promises and streams: most
 * answers are one small chunk, and a stream for each would cost more than the rest of the work.
 */
import type { Duplex } from "node:stream";
import type { GatewayErrorName } from "../api.ts";
import type { RequestBody } from "./body.ts";
import type { WholeEnd } from "./end.ts";

export interface OutgoingRequest {
  readonly method: string;
  readonly scheme: "http" | "https";
  /** The Host, or `:authority`, for the upstream. */
  readonly authority: string;
  /** Path and query. */
  readonly path: string;
  /** Name, value, name, value; without Host and without the fields of a connection. */
  readonly headers: readonly string[];
  readonly contentLength: string | undefined;
  readonly body: RequestBody | undefined;
  /** The protocol to switch to, such as `websocket`. */
  readonly upgrade: string | undefined;
  /** The client reads trailers. gRPC servers require this announcement. */
  readonly trailers: boolean;
  /** The body is followed by trailers, which HTTP/1.1 cannot send after a body with a length. */
  readonly trailersFollow: boolean;
  /** Milliseconds to establish a connection, if one is needed. */
  readonly connectMs: number;
  /** Milliseconds from the request sent to the head of its answer. */
  readonly headersMs: number;
  /** Milliseconds of silence inside a body, either way. */
  readonly idleMs: number;
}

/**
 * The events of a request: any number of onInform, then either onWhole, or onHead, onData and onEnd, or onSwitch.
 * onError replaces the events still to come. Nothing follows an abort.
 */
export interface AnswerSink {
  onInform(status: number, headers: readonly string[]): void;
  /** `more`: the first bytes of the body follow at once, so the head need not be sent alone. */
  onHead(status: number, headers: readonly string[], more: boolean): void;
  /** False: send no further data until `resume`. */
  onData(chunk: Buffer): boolean;
  onEnd(end: WholeEnd): void;
  onWhole(status: number, headers: readonly string[], body: Buffer | undefined): void;
  /** 101: the socket belongs to the sink from now on. `rest`: the bytes already received from it. */
  onSwitch(status: number, headers: readonly string[], socket: Duplex, rest: Buffer): void;
  onError(error: UpstreamError): void;
}

/** A request in progress. */
export interface Transfer {
  /** The sink can take more. */
  resume(): void;
  /** Ends the request. `late`: because the upstream did not answer within the route's time. */
  abort(late?: boolean): void;
}

/** For a request that has already ended. */
export const NO_TRANSFER: Transfer = { resume() {}, abort() {} };

/** Why the answer is missing or incomplete. */
export class UpstreamError extends Error {
  readonly error: GatewayErrorName;
  /** No connection was established, so the upstream received nothing of the request. */
  readonly connecting: boolean;
  /** The upstream says, or it is certain, that it did not process the request. */
  readonly unsent: boolean;
  /** The connection was used before and ended without a byte of the answer: it was probably closing already. */
  readonly reused: boolean;
  /** The request was not sent completely. Which side closed first, and why, is not known. */
  readonly sending: boolean;
  /** Part of the answer was received. */
  readonly begun: boolean;

  constructor(
    error: GatewayErrorName,
    message: string,
    facts: Partial<Pick<UpstreamError, "connecting" | "unsent" | "reused" | "sending" | "begun">> = {},
  ) {
    super(message);
    this.error = error;
    this.connecting = facts.connecting ?? false;
    this.unsent = facts.unsent ?? false;
    this.reused = facts.reused ?? false;
    this.sending = facts.sending ?? false;
    this.begun = facts.begun ?? false;
  }
}
