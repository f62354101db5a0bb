/**
 * One request to one endpoint and what comes of it, whatever protocol carries it. Calls instead of promises and streams:
 * most answers are one small piece, and a stream for each of them costs more than the rest of the work.
 */
import type { Duplex } from "node:stream";
import type { GatewayErrorName } from "../api.ts";
import type { RequestBody } from "./body.ts";
import type { WholeEnd } from "./end.ts";

export interface OutgoingRequest {
  readonly method: string;
  readonly scheme: "http" | "https";
  /** What the upstream is told as its host. */
  readonly authority: string;
  /** Path and query. */
  readonly path: string;
  /** Name, value, name, value; without host, and without the fields of a connection. */
  readonly headers: readonly string[];
  readonly contentLength: string | undefined;
  readonly body: RequestBody | undefined;
  /** The protocol asked for instead of HTTP, as `websocket`. */
  readonly upgrade: string | undefined;
  /** The client reads trailers, which gRPC servers insist on being told. */
  readonly trailers: boolean;
  /** Its body announces trailers, for which HTTP/1.1 has no place behind a length. */
  readonly trailersFollow: boolean;
  /** Milliseconds for a connection to stand, where it needs one. */
  readonly connectMs: number;
  /** Milliseconds from the request sent to the head of its answer. */
  readonly headersMs: number;
  /** Milliseconds of silence inside a body, either way. */
  readonly idleMs: number;
}

/**
 * What becomes of a request: any number of onInform, then either onWhole, or onHead, onData and onEnd, or onSwitch; and
 * onError in place of whatever is still to come. Nothing comes after an abort.
 */
export interface AnswerSink {
  onInform(status: number, headers: readonly string[]): void;
  /** `more`: the first of the body comes at once, so the head need not go alone. */
  onHead(status: number, headers: readonly string[], more: boolean): void;
  /** False: no more, please, until `resume`. */
  onData(chunk: Buffer): boolean;
  onEnd(end: WholeEnd): void;
  onWhole(status: number, headers: readonly string[], body: Buffer | undefined): void;
  /** 101: the socket is the sink's from now on. `rest`: what it had sent already. */
  onSwitch(status: number, headers: readonly string[], socket: Duplex, rest: Buffer): void;
  onError(error: UpstreamError): void;
}

/** A request under way. */
export interface Transfer {
  /** The sink can take more. */
  resume(): void;
  /** Nobody waits for the answer any more. `late`: because the upstream did not give it within the route's time. */
  abort(late?: boolean): void;
}

/** Of what has ended already. */
export const NO_TRANSFER: Transfer = { resume() {}, abort() {} };

/** Why there is no whole answer. */
export class UpstreamError extends Error {
  readonly error: GatewayErrorName;
  /** No connection stood: the upstream saw nothing of the request. */
  readonly connecting: boolean;
  /** The upstream says, or it is certain, that it did nothing with the request. */
  readonly unsent: boolean;
  /** The connection had served before and died without a byte of an answer: most likely it was closing already. */
  readonly reused: boolean;
  /** The request was not sent to its end: who closed first, and why, is not known. */
  readonly sending: boolean;
  /** Of the answer something had come. */
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
