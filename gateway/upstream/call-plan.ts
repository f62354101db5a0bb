/** What a call needs from its lane, and what the lane hears of it. */
import type { Span } from "#base";
import type { GatewayErrorName } from "../api.ts";
import type { Endpoint } from "../core/balancing/endpoints.ts";
import { type Forward, type Refuse } from "../core/decision/pipeline.ts";
import type { RequestBody } from "./body.ts";
import type { AnswerSink, OutgoingRequest } from "./transfer.ts";

/** What a lane gives for a call, and hears of it beside the answer. */
export interface CallPlan {
  readonly forward: Forward;
  readonly method: string;
  readonly body: RequestBody | undefined;
  /** Asked for once per try, since host, trace, time left and the number of the try (from 1) differ. */
  request(endpoint: Endpoint, span: Span | undefined, attempt: number): OutgoingRequest;
  /** Opens the span of one try; undefined: nobody reads it. */
  startSpan(endpoint: Endpoint): Span | undefined;
}

export interface CallFailure {
  readonly error: GatewayErrorName;
  readonly detail: string;
  /** In the place of one made of the row, when a filter refused with words of its own. */
  readonly refusal?: Refuse;
}

export interface CallSink extends Omit<AnswerSink, "onError"> {
  /** Who answers, which after a retry is another than was chosen; before its head, of which it tells the fields as they came. */
  onEndpoint(endpoint: Endpoint, headers: readonly string[]): void;
  /** There will be no whole answer, and no further try. */
  onFailure(failure: CallFailure): void;
}
