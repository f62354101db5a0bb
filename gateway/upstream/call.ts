/**
 * One request's way to an upstream and, where core/retry.ts allows, a second one. The answer comes back as its head and
 * a stream; a failure as a row of the error table, so that no code of undici's ever reaches a client.
 */
import type { Readable } from "node:stream";
import { messageOf, type Host, type Span } from "#base";
import type { GatewayErrorName } from "../api.ts";
import { pick } from "../core/balancer.ts";
import { noteAnswered, noteRefused, type Endpoint } from "../core/endpoints.ts";
import type { AnswerHeaders } from "../core/headers.ts";
import type { Forward, Refuse } from "../core/pipeline.ts";
import { chooseRetry, RetryBudget, type RetryChoice } from "../core/retry.ts";
import { RequestBody, type BodySource } from "./body.ts";
import { failedConnecting, failedReused } from "./connector.ts";
import type { UpstreamPools } from "./pools.ts";

export interface UpstreamCall {
  readonly forward: Forward;
  readonly method: string;
  /** Name, value, name, value; asked for once per try, since host and trace differ. */
  headers(endpoint: Endpoint, span: Span): string[];
  /** Where the body comes from, when there is one. */
  readonly body: BodySource | undefined;
  /** The upstream is about to be sent the body. */
  onBodyStart(): void;
  /** Opens the span of one try. */
  startSpan(endpoint: Endpoint): Span;
  readonly signal: AbortSignal;
}

export interface UpstreamAnswer {
  readonly ok: true;
  readonly status: number;
  readonly headers: AnswerHeaders;
  readonly stream: Readable;
  readonly endpoint: Endpoint;
  readonly span: Span;
  /** Must be called when the exchange has ended, however. */
  release(): void;
}

export interface UpstreamFailure {
  readonly ok: false;
  readonly error: GatewayErrorName;
  readonly detail: string;
  readonly endpoint: Endpoint;
  /** In the place of one made of the row, when a filter refused with words of its own. */
  readonly refusal?: Refuse;
}

export class UpstreamCaller {
  readonly #host: Host;
  readonly #pools: UpstreamPools;
  readonly #onRetry: (call: UpstreamCall, choice: RetryChoice) => void;
  readonly #budgets = new Map<string, RetryBudget>();

  constructor(host: Host, pools: UpstreamPools, onRetry: (call: UpstreamCall, choice: RetryChoice) => void) {
    this.#host = host;
    this.#pools = pools;
    this.#onRetry = onRetry;
  }

  /** Never throws. */
  async run(call: UpstreamCall): Promise<UpstreamAnswer | UpstreamFailure> {
    const { route, endpoints } = call.forward;
    const budget = this.#budgetOf(route.cluster.key);
    budget.deposit();
    const tried: Endpoint[] = [];
    let endpoint = call.forward.endpoint;
    let kind: "kept" | "fresh" = "kept";
    let refreshed = false;
    for (;;) {
      const attempt = await this.#try(call, endpoint, kind);
      if (attempt.ok || call.signal.aborted) return attempt;
      let choice = chooseRetry(attempt.failed, {
        method: call.method,
        hasBody: call.body !== undefined,
        bodyStarted: attempt.bodyStarted,
        retries: tried.length,
        retriesMax: route.retriesMax,
        refreshed,
      });
      if (choice === "fresh") {
        refreshed = true;
        kind = "fresh";
      } else if (choice !== "none") {
        tried.push(endpoint);
        const nowMs = this.#host.clock.monotonic();
        const other = pick(endpoints, () => this.#host.random.float(), {
          inFlightMax: route.cluster.inFlightMax,
          nowMs,
          excluded: tried,
        });
        if (!other || (choice === "again" && !budget.withdraw(nowMs))) choice = "none";
        else endpoint = other;
        kind = "kept";
        refreshed = false;
      }
      if (choice === "none") return attempt;
      this.#onRetry(call, choice);
    }
  }

  #budgetOf(cluster: string): RetryBudget {
    let budget = this.#budgets.get(cluster);
    if (!budget) this.#budgets.set(cluster, (budget = new RetryBudget()));
    return budget;
  }

  /** Forgets the budgets of clusters that are gone. */
  retain(clusters: ReadonlySet<string>): void {
    for (const key of this.#budgets.keys()) if (!clusters.has(key)) this.#budgets.delete(key);
  }

  async #try(call: UpstreamCall, endpoint: Endpoint, kind: "kept" | "fresh") {
    const { route, target } = call.forward;
    const body = call.body && new RequestBody(call.body, route.bodyBytesMax, () => call.onBodyStart());
    const span = call.startSpan(endpoint);
    const { load } = endpoint;
    load.inFlight += 1;
    let held = true;
    const release = () => {
      if (held) load.inFlight -= 1;
      held = false;
    };
    using late = tryDeadline(this.#host, route.perTryMs, call.signal);
    try {
      const answer = await this.#pools.of(endpoint, kind).request({
        method: call.method,
        path: target,
        headers: call.headers(endpoint, span),
        body: body ?? null,
        headersTimeout: route.headersMs,
        bodyTimeout: route.idleMs,
        signal: late.signal,
      });
      late.answered();
      noteAnswered(load);
      if (answer.headers["transfer-encoding"] !== undefined && answer.headers["content-length"] !== undefined) {
        // Two lengths for one answer: where the next one begins is anybody's guess, so the connection must go.
        answer.body.on("error", () => {}).destroy();
        throw new DoubleLength("the answer has both Content-Length and Transfer-Encoding");
      }
      return {
        ok: true as const,
        status: answer.statusCode,
        headers: answer.headers,
        stream: answer.body,
        endpoint,
        span,
        release,
      };
    } catch (error) {
      release();
      const connecting = failedConnecting(error) || codeOf(error) === "UND_ERR_CLOSED";
      if (connecting) noteRefused(load, this.#host.clock.monotonic());
      const name = body?.tooLarge
        ? "BODY_TOO_LARGE"
        : late.passed && !call.signal.aborted
          ? "UPSTREAM_TIMEOUT"
          : classify(error, connecting);
      span.fail(messageOf(error));
      span.end();
      body?.destroy();
      const failed = { error: name, connecting, reused: failedReused(error) };
      const bodyStarted = body?.started ?? false;
      return {
        ok: false as const,
        error: name,
        detail: detailOf(name, route.cluster.service, route.bodyBytesMax),
        endpoint,
        failed,
        bodyStarted,
      };
    }
  }
}

/** Ends a try that has not come to an answer's head in time; without a limit it is the call's own signal. */
function tryDeadline(host: Host, ms: number | undefined, signal: AbortSignal) {
  const end = new AbortController();
  const cancel =
    ms === undefined ? () => {} : host.clock.after(ms, () => end.abort(new Error("the try took too long")));
  return {
    signal: ms === undefined ? signal : AbortSignal.any([signal, end.signal]),
    get passed() {
      return end.signal.aborted;
    },
    answered: cancel,
    [Symbol.dispose]: cancel,
  };
}

class DoubleLength extends Error {}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : "";
}

/** What OpenSSL and Node say of a certificate they do not trust. */
const UNTRUSTED = /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|ALTNAME|HOSTNAME_MISMATCH|ERR_SSL|ERR_TLS|EPROTO/;

/** One of undici's, Node's or OpenSSL's codes as a row of ours. */
function classify(error: unknown, connecting: boolean): GatewayErrorName {
  const code = codeOf(error);
  if (code === "UND_ERR_CONNECT_TIMEOUT" || code === "UND_ERR_HEADERS_TIMEOUT" || code === "ETIMEDOUT") {
    return "UPSTREAM_TIMEOUT";
  }
  if (connecting) return UNTRUSTED.test(code) ? "UPSTREAM_UNTRUSTED" : "UPSTREAM_UNREACHABLE";
  if (
    error instanceof DoubleLength ||
    (error as Error).name === "HTTPParserError" ||
    code.startsWith("HPE_") ||
    code === "UND_ERR_HEADERS_OVERFLOW" ||
    code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH"
  ) {
    return "UPSTREAM_BAD_ANSWER";
  }
  if (code === "UND_ERR_INVALID_ARG" || code === "UND_ERR_NOT_SUPPORTED" || code === "") return "INTERNAL";
  return "UPSTREAM_RESET";
}

function detailOf(error: GatewayErrorName, service: string, bodyBytesMax: number): string {
  const details: Partial<Record<GatewayErrorName, string>> = {
    UPSTREAM_TIMEOUT: `Service "${service}" did not answer in time.`,
    UPSTREAM_UNTRUSTED: `The certificate of service "${service}" is not trusted; give its cluster the CA and the name.`,
    UPSTREAM_BAD_ANSWER: `Service "${service}" sent an answer that is not valid HTTP.`,
    UPSTREAM_RESET: `Service "${service}" closed the connection before it answered.`,
    BODY_TOO_LARGE: `The body is larger than the ${bodyBytesMax} bytes that this route takes.`,
  };
  return details[error] ?? `No connection to service "${service}" could be made.`;
}
