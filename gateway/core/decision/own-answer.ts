/**
 * The headers of every answer by the gateway itself: a refusal, a redirect, a fixed answer, a preflight's. All of them pass
 * through `ownHeaders`, so a page of an allowed origin can read them. Without CORS headers, a browser would hide a 401
 * from the page that should renew its token.
 */
import { corsHeaders, preflightHeaders } from "../rewriting/cors.ts";
import { seenBy } from "../request/client-address.ts";
import { isBadHead, type BadHead, type RequestHead } from "../request/head.ts";
import type { HeaderPair } from "../request/header-list.ts";
import { matchRoute, type CompiledRoute, type RouteTable } from "../routing/table.ts";

export interface OwnAnswer {
  /** The route of the answer; undefined: none was chosen, or not yet. */
  readonly route: CompiledRoute | undefined;
  readonly headers: readonly HeaderPair[];
  /** Whether it answers a preflight. */
  readonly preflight?: boolean;
}

/** The answer's headers with the CORS headers of its route. */
export function ownHeaders(
  table: RouteTable,
  head: RequestHead | BadHead,
  { route, headers, preflight }: OwnAnswer,
): readonly HeaderPair[] {
  if (isBadHead(head)) return headers;
  const cors = route ? route.cors : nearestCors(table, head);
  if (!cors) return headers;
  // Only the route's CORS headers count, as with the answers of a service.
  const others = headers.filter(([name]) => !name.startsWith("access-control-"));
  return [...others, ...(preflight ? preflightHeaders(cors, head) : corsHeaders(cors, head))];
}

/** The CORS settings of the route that matches the request, or would match another method. Only cross-origin requests need them. */
function nearestCors(table: RouteTable, head: RequestHead) {
  if (head.header("origin").length === 0) return undefined;
  const match = matchRoute(table, seenBy(table, head));
  return (match.route ?? match.near)?.cors;
}
