/** The interface between a lane and its call to the upstream. */
import type { Span } from "#base";
import type { GatewayErrorName } from "../api.ts";
import type { Endpoint } from "../core/balancing/endpoints.ts";
import { type Forward, type Refuse } from "../core/decision/pipeline.ts";
import type { RequestBody } from "./body.ts";
import type { AnswerSink, OutgoingRequest } from "./transfer.ts";

/** A lane's input to a call. */
export interface CallPlan {
  readonly forward: Forward;
  readonly method: string;
  readonly body: RequestBody | undefined;
  /** Called once per try, because host, trace, remaining time and the number of the try (from 1) differ. */
  request(endpoint: Endpoint, span: Span | undefined, attempt: number): OutgoingRequest;
  /** Opens the span of one try; undefined: no spans are recorded. */
  startSpan(): Span | undefined;
}

export interface CallFailure {
  readonly error: GatewayErrorName;
  readonly detail: string;
  /** A filter's own refusal, in place of one made from `error` and `detail`. */
  readonly refusal?: Refuse;
}

export interface CallSink extends Omit<AnswerSink, "onError"> {
  /**
   * The endpoint that answers, which after a retry differs from the chosen one. Called before onHead or onWhole, with
   * the headers as they arrived.
   */
  onEndpoint(endpoint: Endpoint, headers: readonly string[]): void;
  /** The answer will not be complete, and no further try follows. */
  onFailure(failure: CallFailure): void;
}
