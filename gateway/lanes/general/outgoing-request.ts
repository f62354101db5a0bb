/** An exchange's request as one try sends it to an endpoint. */
import { formatTraceparent, type SpanContext } from "#base";
import type { Endpoint } from "../../core/balancing/endpoints.ts";
import { ATTEMPT_HEADER } from "../../core/balancing/retry.ts";
import { deadlineHeaders, deadlineNames, type TimeLeft } from "../../core/decision/deadline.ts";
import { refusedTrailer, trailersToPass, upstreamHeaders } from "../../core/decision/headers.ts";
import type { Forward, HeaderPair } from "../../core/decision/pipeline.ts";
import type { GrpcKind } from "../../core/request/grpc.ts";
import type { RequestHead } from "../../core/request/head.ts";
import type { RequestBody } from "../../upstream/body.ts";
import type { OutgoingRequest } from "../../upstream/transfer.ts";
import type { Exchange } from "./exchange.ts";

/** The parts of a request that do not change from try to try. */
interface RequestParts {
  readonly exchange: Exchange;
  readonly forward: Forward;
  readonly grpc: GrpcKind | undefined;
  readonly body: RequestBody | undefined;
  readonly contentLength: string | undefined;
  readonly isHandshake: boolean;
}

/** The parts that differ from try to try. */
interface Try {
  readonly endpoint: Endpoint;
  readonly context: SpanContext;
  /** Counted from 1. */
  readonly attempt: number;
  /** Undefined: no limit applies. */
  readonly timeLeft: TimeLeft | undefined;
}

export function outgoingRequest(parts: RequestParts, given: Try): OutgoingRequest {
  const { exchange, forward, grpc, body, contentLength } = parts;
  const { endpoint } = given;
  const { route } = forward;
  const head = exchange.head as RequestHead;
  return {
    method: exchange.raw.method,
    scheme: endpoint.secure ? "https" : "http",
    authority: forward.authority ?? endpoint.authority,
    path: forward.target,
    headers: upstreamHeaders(head, exchange.raw.rawHeaders, {
      table: exchange.snapshot.table,
      version: exchange.raw.version,
      hasBody: body !== undefined,
      edits: forward.edits,
      deadline: deadlineNames(route, grpc),
      set: [...forward.setHeaders, ...headersOfTry(parts, given)],
    }),
    contentLength: body || contentLength === "0" ? contentLength : undefined,
    body,
    upgrade: parts.isHandshake ? "websocket" : undefined,
    trailers: grpc !== undefined || readsTrailers(head),
    trailersFollow: body !== undefined && head.header("trailer").length > 0,
    connectMs: route.connectMs,
    // The head of a streamed answer may arrive with its first message; the call's own deadline limits it.
    headersMs: grpc ? route.idleMs : route.headersMs,
    idleMs: route.idleMs,
  };
}

/** Whether the client declares that it reads trailers. */
function readsTrailers(head: RequestHead): boolean {
  const [te] = head.header("te");
  return te !== undefined && /(?:^|,)\s*trailers\s*(?:,|;|$)/i.test(te);
}

function headersOfTry({ forward, grpc }: RequestParts, { context, attempt, timeLeft }: Try): HeaderPair[] {
  const headers: HeaderPair[] = [["traceparent", formatTraceparent(context)]];
  if (context.state) headers.push(["tracestate", context.state]);
  if (attempt > 1) headers.push([ATTEMPT_HEADER, String(attempt)]);
  if (timeLeft) headers.push(...deadlineHeaders(forward.route, timeLeft, grpc));
  return headers;
}

/** The request's trailers that the upstream receives. */
export function outgoingTrailers(
  { exchange, forward, grpc }: Pick<RequestParts, "exchange" | "forward" | "grpc">,
  trailers: readonly string[],
): readonly string[] {
  if (trailers.length === 0) return trailers;
  const { table } = exchange.snapshot;
  const deadline = deadlineNames(forward.route, grpc);
  const refused = refusedTrailer(exchange.head as RequestHead, { table, edits: forward.edits, deadline });
  return trailersToPass(trailers, refused);
}
