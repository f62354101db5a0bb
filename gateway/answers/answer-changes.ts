/**
 * Changes to the head of an answer on its way to the client: by filters, the route's edits, CORS, and the cookie of a
 * sticky session.
 */
import type { Duplex } from "node:stream";
import type { Log } from "#base";
import { applyCors } from "../core/rewriting/cors.ts";
import type { Endpoint } from "../core/balancing/endpoints.ts";
import { notLater } from "../core/request/filter.ts";
import { addHeader, editAnswer } from "../core/rewriting/header-edits.ts";
import { answerHeaders } from "../core/decision/headers.ts";
import { headerList, headerRecord } from "../core/request/header-list.ts";
import type { Forward, StickyCookies } from "../core/decision/pipeline.ts";
import type { CallFailure, CallSink } from "../upstream/call-plan.ts";
import type { WholeEnd } from "../upstream/end.ts";
import { filterFailed, Relay } from "./relay.ts";

const NOTHING_SET = [] as const;

/** Whether the answer is changed at all. Most are not, and pass as bytes that are never parsed. */
export function changesAnswer({ filters, answerEdits, cors, sticky }: Forward): boolean {
  return answerEdits !== undefined || cors !== undefined || sticky !== undefined || filters.some(answers);
}

function answers({ built }: Forward["filters"][number]): boolean {
  return built.answer !== undefined;
}

export class AnswerChanges extends Relay {
  readonly #forward: Forward;
  readonly #parts: { readonly sticky: StickyCookies; readonly log: Log };
  /** A filter failed, and the client has received an error. */
  #failed = false;
  #endpoint: Endpoint | undefined;

  constructor(forward: Forward, parts: { readonly sticky: StickyCookies; readonly log: Log }, to: CallSink) {
    super(to);
    this.#forward = forward;
    this.#parts = parts;
  }

  override onEndpoint(endpoint: Endpoint, headers: readonly string[]): void {
    this.#endpoint = endpoint;
    this.to.onEndpoint(endpoint, headers);
  }

  override onHead(status: number, headers: readonly string[], more: boolean): void {
    const changed = this.#changed(status, headers);
    if (changed) this.to.onHead(status, changed, more);
  }

  override onWhole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    const changed = this.#changed(status, headers);
    if (changed) this.to.onWhole(status, changed, body);
  }

  override onSwitch(status: number, headers: readonly string[], socket: Duplex, rest: Buffer): void {
    const changed = this.#changed(status, headers);
    if (!changed) return void socket.destroy();
    // The only field of the connection that the lane still reads.
    this.to.onSwitch(status, ["upgrade", "websocket", ...changed], socket, rest);
  }

  override onData(chunk: Buffer): boolean {
    return this.#failed || this.to.onData(chunk);
  }

  override onEnd(trailers: WholeEnd): void {
    if (!this.#failed) this.to.onEnd(trailers);
  }

  override onFailure(failure: CallFailure): void {
    if (!this.#failed) this.to.onFailure(failure);
  }

  /** undefined: a filter failed. */
  #changed(status: number, list: readonly string[]): string[] | undefined {
    const { filters, request, answerEdits, cors, route } = this.#forward;
    const headers = headerRecord(answerHeaders(list, NOTHING_SET));
    try {
      for (const { name, built } of filters) notLater(name, built.answer?.({ status, headers }, request));
    } catch (error) {
      this.#failed = true;
      this.to.onFailure(filterFailed(this.#parts.log, route.name, error));
      return undefined;
    }
    if (answerEdits) editAnswer(headers, answerEdits);
    if (cors) applyCors(headers, cors);
    this.#stick(headers);
    return headerList(headers);
  }

  #stick(headers: ReturnType<typeof headerRecord>): void {
    const { sticky, route, request } = this.#forward;
    const endpoint = this.#endpoint;
    // The endpoint that answered. After a retry it differs from the chosen one.
    if (!sticky || !endpoint || sticky.pinned === endpoint.id) return;
    const secure = request.head.scheme === "https" && !sticky.attributes.includes("Secure") ? "; Secure" : "";
    const value = this.#parts.sticky.write(endpoint.id, route.cluster.key);
    addHeader(headers, "set-cookie", `${sticky.cookie}=${value}; ${sticky.attributes}${secure}`);
  }
}
