/**
 * The headers of every answer that the gateway gives itself: a refusal, a redirect, a fixed answer, a preflight's. All
 * of them pass `ownHeaders`, whatever step made them, so a page of an allowed origin can read each one: a browser hides
 * a 401 without CORS headers from the page that would renew its token.
 */
import { corsHeaders, preflightHeaders } from "../rewriting/cors.ts";
import { seenBy } from "../request/client-address.ts";
import { isBadHead, type BadHead, type RequestHead } from "../request/head.ts";
import type { HeaderPair } from "../request/header-list.ts";
import { matchRoute, type CompiledRoute, type RouteTable } from "../routing/table.ts";

export interface OwnAnswer {
  /** The route that it was made on; undefined: none was chosen, or not yet. */
  readonly route: CompiledRoute | undefined;
  readonly headers: readonly HeaderPair[];
  /** It answers a preflight. */
  readonly preflight?: boolean;
}

/** The answer's headers together with what its route says to pages of other origins. */
export function ownHeaders(
  table: RouteTable,
  head: RequestHead | BadHead,
  { route, headers, preflight }: OwnAnswer,
): readonly HeaderPair[] {
  if (isBadHead(head)) return headers;
  const cors = route ? route.cors : nearestCors(table, head);
  if (!cors) return headers;
  // The route's word is the only one, as it is on a service's answers.
  const others = headers.filter(([name]) => !name.startsWith("access-control-"));
  return [...others, ...(preflight ? preflightHeaders(cors, head) : corsHeaders(cors, head))];
}

/** Of the route that the request is for, or would be for by another method. Only a page of some origin needs to know. */
function nearestCors(table: RouteTable, head: RequestHead) {
  if (head.header("origin").length === 0) return undefined;
  const match = matchRoute(table, seenBy(table, head));
  return (match.route ?? match.near)?.cors;
}
