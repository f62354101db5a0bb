/**
 * Passes an upstream's answer to the next sink unchanged. Each step of the chain overrides the calls that it changes.
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

/** A copy of the plan with changed requests, and optionally another body or target. */
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
    startSpan: () => plan.startSpan(),
  };
}

/** A filter threw an error. It fails this request only. */
export function filterFailed(log: Log, route: string, error: unknown): CallFailure {
  log.error({ err: error, route }, `a filter failed: ${messageOf(error)}`);
  return { error: "INTERNAL", detail: "A filter failed." };
}
