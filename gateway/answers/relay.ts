/**
 * A link between the upstream's answer and the client that passes all of it on; what a link is for, it does in the place
 * of one of these.
 */
import type { Duplex } from "node:stream";
import { messageOf, type Log } from "#base";
import type { Endpoint } from "../core/balancing/endpoints.ts";
import type { CallFailure, CallPlan, CallSink } from "../upstream/call-plan.ts";
import type { WholeEnd } from "../upstream/end.ts";
import type { OutgoingRequest } from "../upstream/transfer.ts";

export class Relay implements CallSink {
  protected readonly to: CallSink;

  constructor(to: CallSink) {
    this.to = to;
  }

  onEndpoint(endpoint: Endpoint, headers: readonly string[]): void {
    this.to.onEndpoint(endpoint, headers);
  }

  onInform(status: number, headers: readonly string[]): void {
    this.to.onInform(status, headers);
  }

  onHead(status: number, headers: readonly string[], more: boolean): void {
    this.to.onHead(status, headers, more);
  }

  onData(chunk: Buffer): boolean {
    return this.to.onData(chunk);
  }

  onEnd(trailers: WholeEnd): void {
    this.to.onEnd(trailers);
  }

  onWhole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    this.to.onWhole(status, headers, body);
  }

  onSwitch(status: number, headers: readonly string[], socket: Duplex, rest: Buffer): void {
    this.to.onSwitch(status, headers, socket, rest);
  }

  onFailure(failure: CallFailure): void {
    this.to.onFailure(failure);
  }
}

/** A plan whose requests are changed on their way, and perhaps its body and where it goes. */
export function changedPlan(
  plan: CallPlan,
  changes: Partial<Pick<CallPlan, "forward" | "body">>,
  change: (request: OutgoingRequest) => OutgoingRequest,
): CallPlan {
  return {
    forward: changes.forward ?? plan.forward,
    method: plan.method,
    body: "body" in changes ? changes.body : plan.body,
    request: (endpoint, span, attempt) => change(plan.request(endpoint, span, attempt)),
    startSpan: (endpoint) => plan.startSpan(endpoint),
  };
}

/** A filter of somebody's own threw; that is this request's trouble and nobody else's. */
export function filterFailed(log: Log, route: string, error: unknown): CallFailure {
  log.error({ err: error, route }, `a filter failed: ${messageOf(error)}`);
  return { error: "INTERNAL", detail: "A filter failed." };
}
