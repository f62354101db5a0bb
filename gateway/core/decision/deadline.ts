/**
 * How long a call may take in all: what the route gives it, or what the caller does, whichever is sooner. So a caller
 * can only shorten its own time, which anybody may, and each hop of a chain waits no longer than the one before it.
 * Where the caller says so, and where the service is told, is gRPC's `grpc-timeout` and the route's `deadlineHeader`.
 */
import { formatGrpcTimeout, grpcTimeoutMs, type GrpcKind } from "../request/grpc.ts";
import type { RequestHead } from "../request/head.ts";
import { refuse, type Refuse } from "./refusal.ts";
import type { HeaderPair } from "../request/header-list.ts";
import type { CompiledRoute } from "../routing/route.ts";

/** Milliseconds that a caller may give; the longest of a timer, 24 days. Who gives more gives no limit. */
export const CALLER_MS_MAX = 2 ** 31 - 1;

type Route = Pick<CompiledRoute, "deadlineHeader" | "totalMs">;

/** Milliseconds that the caller gives the call; Infinity: it says nothing that can be read. */
export function callerMs({ deadlineHeader }: Route, head: RequestHead, grpc: GrpcKind | undefined): number {
  const plain = deadlineHeader === undefined ? Infinity : bounded(plainMs(only(head.header(deadlineHeader))));
  return grpc === undefined ? plain : Math.min(plain, bounded(grpcTimeoutMs(only(head.header("grpc-timeout")))));
}

/** Of two nobody knows which is meant. */
function only(values: readonly string[]): string | undefined {
  return values.length === 1 ? values[0] : undefined;
}

function plainMs(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,10}$/.test(value) ? Number(value) : undefined;
}

function bounded(ms = Infinity): number {
  return ms <= CALLER_MS_MAX ? ms : Infinity;
}

const GRPC_TIMEOUT = ["grpc-timeout"] as const;

/** Headers, in lower case, that say how much time is left. What the client said by them stops here: the gateway says it anew. */
export function deadlineNames({ deadlineHeader }: Route, grpc: GrpcKind | undefined): readonly string[] | undefined {
  if (deadlineHeader === undefined) return grpc && GRPC_TIMEOUT;
  return grpc ? [deadlineHeader, ...GRPC_TIMEOUT] : [deadlineHeader];
}

/** Milliseconds that are left; Infinity: there is no limit. */
export interface TimeLeft {
  readonly callerMs: number;
  /** Of the route's limit and the caller's, the sooner. */
  readonly totalMs: number;
}

/**
 * By which the service is told how much time is left. By `grpc-timeout` only what the caller gave, for a service ends the
 * call by it: the route's limit does not hold for streams, and nobody knows yet whether it is one.
 */
export function deadlineHeaders(
  { deadlineHeader }: Route,
  { totalMs, callerMs }: TimeLeft,
  grpc: GrpcKind | undefined,
): HeaderPair[] {
  const headers: HeaderPair[] = [];
  if (deadlineHeader !== undefined && totalMs !== Infinity) {
    headers.push([deadlineHeader, String(Math.max(0, Math.floor(totalMs)))]);
  }
  if (grpc && callerMs !== Infinity) headers.push(["grpc-timeout", formatGrpcTimeout(callerMs)]);
  return headers;
}

/** For a call whose time is up before it begins: work that nobody waits for is not begun. */
export function refuseLate(route: CompiledRoute): Refuse {
  return refuse("UPSTREAM_TIMEOUT", "The caller's time was up before the request could be sent.", { route });
}
