/**
 * What lies between a decision and the upstream, on the way up and on the way down: body filters, the cache, mirrors;
 * then the cookie of a sticky session, what filters and the route change in the answer, and compression. Lanes call
 * `run` where they would call the upstream, and know of none of it.
 */
import { messageOf, type Log } from "#base";
import type { GatewayErrorName } from "../api.ts";
import type { AnswerHeaders } from "../core/headers.ts";
import { addHeader, editAnswer } from "../core/header-edits.ts";
import { applyCors } from "../core/cors.ts";
import { refuse, type Forward, type Refuse, type StickyCookies } from "../core/pipeline.ts";
import type { UpstreamAnswer, UpstreamCall, UpstreamFailure } from "../upstream/call.ts";
import { BodyBudget, BufferedBody, readBody, type ReadBody } from "./buffered-body.ts";
import type { ResponseCache } from "./cache.ts";
import { compressAnswer } from "./compress.ts";
import type { Mirrors } from "./mirrors.ts";

export interface ChainParts {
  readonly log: Log;
  readonly caller: { run(call: UpstreamCall): Promise<UpstreamAnswer | UpstreamFailure> };
  readonly cache: ResponseCache;
  readonly mirrors: Mirrors;
  readonly sticky: StickyCookies;
}

/** Bytes that are gathered of one request's body, whatever its filters would take. */
export const BUFFERED_BYTES_MAX = 8 * 1024 * 1024;

export class Chain {
  readonly #parts: ChainParts;
  readonly #budget = new BodyBudget();

  constructor(parts: ChainParts) {
    this.#parts = parts;
  }

  /** Never throws, as the caller does not. */
  async run(call: UpstreamCall): Promise<UpstreamAnswer | UpstreamFailure> {
    const { forward } = call;
    if (isPlain(forward)) return this.#parts.caller.run(call);
    const { cache, mirrors } = this.#parts;
    let answer: UpstreamAnswer | UpstreamFailure | undefined;
    let held = 0;
    try {
      const checked = await this.#checkBody(call, (bytes) => (held = bytes));
      if ("ok" in checked) return checked;
      answer = await cache.serve(checked, (one) => this.#parts.caller.run(mirrors.beside(one)));
      if (!answer.ok) return answer;
      const headers = { ...answer.headers };
      this.#change(forward, answer, headers);
      return compressAnswer(forward, call.method, { ...answer, headers });
    } catch (error) {
      // A filter of somebody's own threw; that is this request's trouble and nobody else's.
      if (answer?.ok) {
        answer.stream.on("error", () => {}).destroy();
        answer.span.end();
        answer.release();
      }
      this.#parts.log.error({ err: error, route: forward.route.name }, `a filter failed: ${messageOf(error)}`);
      return failure(call, "INTERNAL", "A filter failed.");
    } finally {
      this.#budget.give(held);
    }
  }

  /** The call with a body that its filters have seen, or its refusal. */
  async #checkBody(call: UpstreamCall, hold: (bytes: number) => void): Promise<UpstreamCall | UpstreamFailure> {
    const { forward } = call;
    const filters = forward.filters.flatMap(({ built }) => built.body ?? []);
    if (filters.length === 0) return call;
    const bytesMax = Math.min(
      BUFFERED_BYTES_MAX,
      forward.route.bodyBytesMax,
      ...filters.map((filter) => filter.bytesMax),
    );
    let bytes: ReadBody = Buffer.alloc(0);
    if (call.body) {
      // A client that waits for leave to send gets it here: the body is wanted, whoever reads it.
      call.onBodyStart();
      bytes = await readBody(call.body, { bytesMax, budget: this.#budget, signal: call.signal });
    }
    if (bytes === "gone") return failure(call, "CLIENT_CLOSED", "The client went away while it sent its body.");
    if (bytes === "too large")
      return failure(call, "BODY_TOO_LARGE", `The body is larger than the ${bytesMax} bytes that this route looks at.`);
    if (bytes === "too many") return failure(call, "OVERLOADED", "The gateway holds as many bodies as it may.");
    hold(bytes.length);
    for (const filter of filters) {
      const refusal = filter.check(bytes, forward.request);
      if (!refusal) continue;
      const { error, detail, headers = [], status } = refusal;
      const refused = refuse(error, detail, {
        route: forward.route,
        headers,
        ...(status === undefined ? {} : { status }),
      });
      return failure(call, error, detail, refused);
    }
    return call.body ? { ...call, body: new BufferedBody(bytes), onBodyStart: () => {} } : call;
  }

  #change(forward: Forward, { status, endpoint }: UpstreamAnswer, headers: AnswerHeaders): void {
    for (const { built } of forward.filters) built.answer?.({ status, headers }, forward.request);
    if (forward.answerEdits) editAnswer(headers, forward.answerEdits);
    if (forward.cors) applyCors(headers, forward.cors);
    const { sticky, route, request } = forward;
    // The endpoint that answered, which after a retry is another than the one that was chosen.
    if (!sticky || sticky.pinned === endpoint.id) return;
    const secure = request.head.scheme === "https" && !sticky.attributes.includes("Secure") ? "; Secure" : "";
    const value = this.#parts.sticky.write(endpoint.id, route.cluster.key);
    addHeader(headers, "set-cookie", `${sticky.cookie}=${value}; ${sticky.attributes}${secure}`);
  }
}

/** Whether nothing of this file has anything to do with a request; most have not, and pay nothing. */
function isPlain({ route, filters, answerEdits, cors, sticky, mirrors }: Forward): boolean {
  const changed = answerEdits ?? cors ?? sticky ?? route.cache ?? route.compress;
  return changed === undefined && filters.length === 0 && mirrors.length === 0;
}

function failure(call: UpstreamCall, error: GatewayErrorName, detail: string, refusal?: Refuse): UpstreamFailure {
  return { ok: false, error, detail, endpoint: call.forward.endpoint, ...(refusal ? { refusal } : {}) };
}
