/**
 * One decision for every lane and for explanations: match → preflight → connection filters → authenticate → authorize →
 * limit → request filters → redirect, answer, or choose an endpoint. Pure: the inputs are a snapshot, a head and the
 * moment, and the result is plain data. When a step would have to wait, the result says so, and the lane decides again
 * with the outcome: `verify` for a token that is not verified yet, `wait` for a shared limit whose answer is pending.
 */
import { allows, entryNames, type Claims } from "../callers/claims.ts";
import { seenBy } from "../request/client-address.ts";
import type { CompiledConsumer } from "../callers/consumers.ts";
import { isForeignWebSocket, preflightMethod } from "../rewriting/cors.ts";
import { tokenOf } from "./credentials.ts";
import type { Answer, Caller, Decision, GatewaySnapshot, Moment, Verify, Wait } from "./decision.ts";
import { verdictOf, VERDICTS, type FilterPhase, type FilterRequest } from "../request/filter.ts";
import { contextOf, forward } from "./forwarding.ts";
import type { RequestHead } from "../request/head.ts";
import { renderEdits } from "../rewriting/header-edits.ts";
import { limit } from "./limit.ts";
import { pathVerdict } from "./path-rules.ts";
import { refuse, type Refuse } from "./refusal.ts";
import type { HeaderPair } from "../request/header-list.ts";
import { redirectLocation } from "../rewriting/rewrite.ts";
import { matchRoute, type CompiledRoute } from "../routing/table.ts";

export { refuseToken, type TokenRefusal } from "./credentials.ts";
export type * from "./decision.ts";
export { refuseDead } from "./forwarding.ts";
export { ownHeaders } from "./own-answer.ts";
export { refuse, type Refuse } from "./refusal.ts";
export type { HeaderPair } from "../request/header-list.ts";

const NO_HEADERS: readonly HeaderPair[] = [];

export function decide(snapshot: GatewaySnapshot, raw: RequestHead, moment: Moment): Decision {
  const { table } = snapshot;
  const head = seenBy(table, raw);
  const asked = preflightMethod(head);
  if (asked !== undefined) {
    const { route } = matchRoute(table, { ...head, method: asked });
    if (route?.cors) {
      moment.trace?.({ step: "preflight", verdict: "answer", detail: "answered before a token is required" });
      return { kind: "answer", route, status: 204, headers: NO_HEADERS, body: "", preflight: true };
    }
  }
  const match = matchRoute(table, head);
  const reports = pathVerdict(table, head, match.route);
  if ("kind" in reports) return reports;
  if (match.route === undefined) return refuseUnmatched(match.allow, head);
  const { route } = match;
  const decision = decideOn(route, snapshot, head, moment);
  return reports.length > 0 && decision.kind === "forward" ? { ...decision, pathReports: reports } : decision;
}

/** Whether the lane has to decide again with the outcome of a verification or a wait. */
export function isUnsettled(decision: Decision): decision is Verify | Wait {
  return decision.kind === "verify" || decision.kind === "wait";
}

function decideOn(route: CompiledRoute, snapshot: GatewaySnapshot, head: RequestHead, moment: Moment): Decision {
  // Before any step that costs more than a refusal.
  if (moment.pressure && route.importance < moment.pressure) {
    return refuse("SHED", "The gateway is overloaded and rejects less important requests. Try again later.", {
      route,
      headers: [["retry-after", "1"]],
    });
  }
  if (route.cors && isForeignWebSocket(route.cors, head)) {
    const detail = `Route "${route.name}" allows WebSockets only for pages of its allowed origins.`;
    moment.trace?.({ step: "origin", verdict: "refuse", detail });
    return refuse("ORIGIN_DENIED", detail, { route });
  }
  const filters = new FilterRun(route, snapshot, head, moment.trace);
  const refused = filters.run("connection", UNIDENTIFIED) ?? undefined;
  if (refused) return refused;
  const caller = authenticate(route, filters, snapshot, head, moment);
  if ("kind" in caller) return caller;
  const denied = authorise(route, caller, moment.trace) ?? filters.run("authorise", caller);
  if (denied) return denied;
  let answerHeaders = NO_HEADERS;
  if (route.rateLimit || route.quota) {
    const limited = limit(route, snapshot, head, moment, caller);
    if ("kind" in limited && limited.kind === "wait") return limited;
    const allowed = !("kind" in limited);
    const detail = [route.rateLimit?.header, route.quota?.header].filter((header) => header !== undefined).join(", ");
    moment.trace?.({ step: "rateLimit", verdict: allowed ? "pass" : "refuse", detail });
    if (!allowed) return limited;
    answerHeaders = limited.headers;
  }
  const late = filters.run("request", caller);
  if (late) return late;
  if (route.redirect || route.respond) return answer(route, head, answerHeaders, caller, moment.trace);
  return forward(route, snapshot, head, moment, { ...caller, filters, answerHeaders });
}

const UNIDENTIFIED: Caller = { claims: undefined, consumer: undefined };

/** Runs the filters of a route by phase, and collects their changes to the request. */
class FilterRun {
  readonly #route: CompiledRoute;
  readonly #snapshot: GatewaySnapshot;
  readonly #head: RequestHead;
  readonly #trace: Moment["trace"];
  consumer: CompiledConsumer | undefined;
  remove: string[] | undefined;
  set: HeaderPair[] | undefined;

  constructor(route: CompiledRoute, snapshot: GatewaySnapshot, head: RequestHead, trace: Moment["trace"]) {
    this.#route = route;
    this.#snapshot = snapshot;
    this.#head = head;
    this.#trace = trace;
  }

  request(caller: Caller): FilterRequest {
    return { head: this.#head, route: this.#route.name, consumers: this.#snapshot.table.consumers, ...caller };
  }

  run(phase: FilterPhase, caller: Caller): Refuse | undefined {
    for (const { name, phase: own, built } of this.#route.filters) {
      if (own !== phase || !built.request) continue;
      const request = this.request({ ...caller, consumer: this.consumer ?? caller.consumer });
      const verdict = verdictOf(name, built.request(request), VERDICTS);
      this.#trace?.({
        step: "filter",
        verdict: verdict?.kind === "refuse" ? "refuse" : "pass",
        detail: verdict?.kind === "refuse" ? `${name}: ${verdict.detail}` : name,
      });
      if (verdict?.kind === "refuse") {
        const { error, detail, headers = NO_HEADERS, status } = verdict;
        return refuse(error, detail, { route: this.#route, headers, ...(status === undefined ? {} : { status }) });
      }
      if (verdict?.consumer) this.consumer = verdict.consumer;
      if (verdict?.remove) (this.remove ??= []).push(...verdict.remove);
      if (verdict?.set) {
        (this.set ??= []).push(...verdict.set);
        // A client must not add a value of its own to a header that the service trusts.
        (this.remove ??= []).push(...verdict.set.map(([name]) => name.toLowerCase()));
      }
    }
    return undefined;
  }
}

function authenticate(
  route: CompiledRoute,
  filters: FilterRun,
  snapshot: GatewaySnapshot,
  head: RequestHead,
  moment: Moment,
): Caller | Verify | Refuse {
  let claims: Claims | undefined;
  let consumer: CompiledConsumer | undefined;
  if (route.jwt) {
    const { provider } = route.jwt;
    const token = tokenOf(route, head);
    if (typeof token !== "string") {
      moment.trace?.({ step: "jwt", verdict: "refuse", detail: token.detail });
      return token;
    }
    claims = moment.claims ?? snapshot.tokens.get(provider, token, moment.wallMs);
    if (!claims) return { kind: "verify", route, provider, token };
    consumer = snapshot.table.consumers.byClaims(provider, claims);
    moment.trace?.({ step: "jwt", verdict: "pass", detail: consumer ? `consumer ${consumer.name}` : "no consumer" });
  }
  const refused = filters.run("authenticate", { claims, consumer });
  return refused ?? { claims, consumer: filters.consumer ?? consumer };
}

function authorise(route: CompiledRoute, { claims }: Caller, trace: Moment["trace"]): Refuse | undefined {
  if (!route.acl) return undefined;
  if (claims && allows(route.acl, claims)) {
    trace?.({ step: "acl", verdict: "pass", detail: entryNames(route.acl) });
    return undefined;
  }
  const detail = `Route "${route.name}" allows access by ${entryNames(route.acl)} only.`;
  trace?.({ step: "acl", verdict: "refuse", detail });
  return refuse("ACCESS_DENIED", detail, {
    route,
    headers: [["www-authenticate", 'Bearer error="insufficient_scope"']],
  });
}

function answer(
  route: CompiledRoute,
  head: RequestHead,
  answerHeaders: readonly HeaderPair[],
  caller: Caller,
  trace: Moment["trace"],
): Answer | Refuse {
  const edits = renderEdits([route.responseHeaders], contextOf(route, head, caller));
  const more = [...answerHeaders, ...(edits?.put ?? [])];
  if (route.redirect) {
    const location = redirectLocation(route.redirect, route.path, head);
    if (location === undefined) return refuse("PATH_INVALID", "The path cannot be redirected.", { route });
    trace?.({ step: "redirect", verdict: "answer", detail: `${route.redirect.status} ${location}` });
    return {
      kind: "answer",
      route,
      status: route.redirect.status,
      headers: [["location", location], ...more],
      body: "",
    };
  }
  const { status = 200, body = "", contentType = "text/plain; charset=utf-8" } = route.respond ?? {};
  trace?.({ step: "respond", verdict: "answer", detail: String(status) });
  const type: readonly HeaderPair[] =
    body === "" || edits?.drop.has("content-type") ? [] : [["content-type", contentType]];
  return { kind: "answer", route, status, headers: [...type, ...more], body };
}

function refuseUnmatched(allow: readonly string[], head: RequestHead): Refuse {
  if (allow.length === 0) return refuse("ROUTE_NOT_FOUND", "No route matches this host and path.");
  return refuse("METHOD_NOT_ALLOWED", `${head.method} is not allowed for this path. See the header Allow.`, {
    headers: [["allow", allow.join(", ")]],
  });
}
