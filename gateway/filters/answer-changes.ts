/** What happens to the head of an answer on its way down: filters, the route's edits, CORS, and the cookie of a sticky session. */
import type { Duplex } from "node:stream";
import { applyCors } from "../core/cors.ts";
import type { Endpoint } from "../core/endpoints.ts";
import { addHeader, editAnswer } from "../core/header-edits.ts";
import { answerHeaders, headerList, headerRecord } from "../core/headers.ts";
import type { Forward, StickyCookies } from "../core/pipeline.ts";
import type { CallSink } from "../upstream/call.ts";
import { Relay } from "./relay.ts";

const NOTHING_SET = [] as const;

/** Whether an answer to it is changed at all; most pass as they are, and as bytes that nobody looks into. */
export function changesAnswer({ filters, answerEdits, cors, sticky }: Forward): boolean {
  return answerEdits !== undefined || cors !== undefined || sticky !== undefined || filters.some(answers);
}

function answers({ built }: Forward["filters"][number]): boolean {
  return built.answer !== undefined;
}

export class AnswerChanges extends Relay {
  readonly #forward: Forward;
  readonly #cookies: StickyCookies;
  #endpoint: Endpoint | undefined;

  constructor(forward: Forward, cookies: StickyCookies, to: CallSink) {
    super(to);
    this.#forward = forward;
    this.#cookies = cookies;
  }

  override onEndpoint(endpoint: Endpoint): void {
    this.#endpoint = endpoint;
    this.to.onEndpoint(endpoint);
  }

  override onHead(status: number, headers: readonly string[], more: boolean): void {
    this.to.onHead(status, this.#changed(status, headers), more);
  }

  override onWhole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    this.to.onWhole(status, this.#changed(status, headers), body);
  }

  override onSwitch(status: number, headers: readonly string[], socket: Duplex, rest: Buffer): void {
    // The one field of the connection that the lane still looks at.
    this.to.onSwitch(status, ["upgrade", "websocket", ...this.#changed(status, headers)], socket, rest);
  }

  #changed(status: number, list: readonly string[]): string[] {
    const { filters, request, answerEdits, cors } = this.#forward;
    const headers = headerRecord(answerHeaders(list, NOTHING_SET));
    for (const { built } of filters) built.answer?.({ status, headers }, request);
    if (answerEdits) editAnswer(headers, answerEdits);
    if (cors) applyCors(headers, cors);
    this.#stick(headers);
    return headerList(headers);
  }

  #stick(headers: ReturnType<typeof headerRecord>): void {
    const { sticky, route, request } = this.#forward;
    const endpoint = this.#endpoint;
    // The endpoint that answered, which after a retry is another than the one that was chosen.
    if (!sticky || !endpoint || sticky.pinned === endpoint.id) return;
    const secure = request.head.scheme === "https" && !sticky.attributes.includes("Secure") ? "; Secure" : "";
    const value = this.#cookies.write(endpoint.id, route.cluster.key);
    addHeader(headers, "set-cookie", `${sticky.cookie}=${value}; ${sticky.attributes}${secure}`);
  }
}
