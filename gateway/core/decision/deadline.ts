/**
 * The total time of a call: the shorter of the route's limit and the caller's. So callers can only shorten their time, and
 * each hop of a chain waits at most as long as the one before it. Callers set the time, and services receive it, in gRPC's
 * `grpc-timeout` and in the route's `deadlineHeader`.
 */
import { formatGrpcTimeout, grpcTimeoutMs, type GrpcKind } from "../request/grpc.ts";
import type { RequestHead } from "../request/head.ts";
import { refuse, type Refuse } from "./refusal.ts";
import type { HeaderPair } from "../request/header-list.ts";
import type { CompiledRoute } from "../routing/route.ts";

/** Longest time that a caller may set, in milliseconds: 24 days, the longest timer. A longer time counts as unlimited. */
export const CALLER_MS_MAX = 2 ** 31 - 1;

type Route = Pick<CompiledRoute, "deadlineHeader" | "totalMs">;

/** The caller's time for the call in milliseconds; Infinity: it sets none, or the value is not valid. */
export function callerMs({ deadlineHeader }: Route, head: RequestHead, grpc: GrpcKind | undefined): number {
  const plain = deadlineHeader === undefined ? Infinity : bounded(plainMs(only(head.header(deadlineHeader))));
  return grpc === undefined ? plain : Math.min(plain, bounded(grpcTimeoutMs(only(head.header("grpc-timeout")))));
}

/** Undefined for several values, since it is unclear which one applies. */
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

/** Headers, in lower case, with the time that is left. The client's values are dropped, and the gateway sets its own. */
export function deadlineNames({ deadlineHeader }: Route, grpc: GrpcKind | undefined): readonly string[] | undefined {
  if (deadlineHeader === undefined) return grpc && GRPC_TIMEOUT;
  return grpc ? [deadlineHeader, ...GRPC_TIMEOUT] : [deadlineHeader];
}

/** Milliseconds that are left; Infinity: unlimited. */
export interface TimeLeft {
  readonly callerMs: number;
  /** The shorter of the route's limit and the caller's. */
  readonly totalMs: number;
}

/**
 * The headers in which the service receives the time that is left. `grpc-timeout` contains only the caller's time, since a
 * service ends the call after it: the route's limit does not apply to streams, and the call may turn out to be one.
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

/** The refusal of a call whose time is up before it starts. */
export function refuseLate(route: CompiledRoute): Refuse {
  return refuse("UPSTREAM_TIMEOUT", "The caller's time was up before the request could be sent.", { route });
}
