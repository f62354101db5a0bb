/**
 * A refusal in the form that its client understands: an RFC 9457 problem document, or a gRPC status. A header carries
 * the flag.
 */
import { GATEWAY_FLAGS } from "../api.ts";
import { grpcMessage, grpcStatusOf, webContentType, type GrpcKind } from "../core/request/grpc.ts";
import type { HeaderPair, Refuse } from "../core/decision/pipeline.ts";

export const PROBLEM_TYPE = "application/problem+json";
export const FLAG_HEADER = "x-posthouse-flag";

export function problemText(refusal: Pick<Refuse, "code" | "title" | "status" | "detail">, path: string): string {
  return JSON.stringify({
    // A name, not an address: all paths of a gateway belong to the services behind it.
    type: `urn:posthouse:error:${refusal.code}`,
    title: refusal.title,
    status: refusal.status,
    detail: refusal.detail,
    ...(path === "" ? {} : { instance: path }),
    code: refusal.code,
  });
}

/** For the trailers, or for a head without a body. */
export function grpcFields(refusal: Refuse): string[] {
  const status = String(grpcStatusOf(refusal.status));
  return ["grpc-status", status, "grpc-message", grpcMessage(refusal.detail), FLAG_HEADER, refusal.flag];
}

export interface RefusalAnswer {
  readonly status: number;
  /** Name, value, name, value. */
  readonly headers: readonly string[];
  readonly body: Buffer | undefined;
}

/** `headers`: as core/decision/own-answer.ts makes them. */
export function refusalAnswer(
  refusal: Refuse,
  options: { grpc: GrpcKind | undefined; path: string; headers: readonly HeaderPair[] },
): RefusalAnswer {
  const headers = options.headers.flat();
  const { grpc } = options;
  if (grpc) {
    const type = grpc === "grpc" ? "application/grpc" : webContentType("application/grpc", grpc);
    headers.push("content-type", type, ...grpcFields(refusal));
    if (grpc !== "grpc") headers.push("content-length", "0");
    return { status: 200, headers, body: undefined };
  }
  const body = Buffer.from(problemText(refusal, options.path));
  headers.push("content-type", PROBLEM_TYPE, "cache-control", "no-store", FLAG_HEADER, refusal.flag);
  headers.push("content-length", String(body.length));
  return { status: refusal.status, headers, body };
}

/** Whether the connection closes: after a malformed request, the start of the next one is unknown. */
export function closesAfter(refusal: Refuse): boolean {
  return refusal.flag === GATEWAY_FLAGS.REQUEST_INVALID || refusal.flag === GATEWAY_FLAGS.UPGRADE_UNSUPPORTED;
}
