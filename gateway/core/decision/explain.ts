/**
 * Explains a decision: every candidate route and why it lost, the result of each policy, the chosen endpoint, and the
 * request that would be sent. It runs the same `decide` as the lanes, and compares the same conditions one by one. It
 * makes no decision of its own.
 */
import { own, setOwn } from "#base";
import { COMMON, conditionText, mismatchOf, type Mismatch, type MatchHead } from "../routing/conditions.ts";
import { seenBy } from "../request/client-address.ts";
import { callerMs, deadlineHeaders, deadlineNames, refuseLate } from "./deadline.ts";
import type { Decision, Forward, GatewaySnapshot, Moment, Step } from "./decision.ts";
import { grpcKind } from "../request/grpc.ts";
import type { RequestHead } from "../request/head.ts";
import { isBadHead, type BadHead } from "../request/head.ts";
import { upstreamHeaders } from "./headers.ts";
import { decidedBy, hostMatches } from "../routing/route-order.ts";
import { pathMatches } from "../paths/path-pattern.ts";
import { ownHeaders } from "./own-answer.ts";
import { decide, isUnsettled } from "./pipeline.ts";
import type { CompiledRoute } from "../routing/route.ts";
import type { RouteEntry } from "../routing/route-index.ts";
import { servesHost } from "../routing/table.ts";

/** Most candidates in an explanation. A longer list would not help. */
export const CANDIDATES_MAX = 100;

export interface Candidate {
  readonly route: string;
  readonly host: string;
  readonly path: string;
  readonly priority: number;
  readonly verdict: "chosen" | "lost";
  /** Why it lost: the first condition that does not match, or the criterion that puts another route before it. */
  readonly reason: string;
}

export interface Explanation {
  readonly request: {
    readonly method: string;
    readonly host: string;
    readonly path: string;
    readonly client: string;
    readonly listener: string;
  };
  readonly candidates: readonly Candidate[];
  readonly steps: readonly Step[];
  readonly outcome:
    | {
        readonly kind: "forward";
        readonly route: string;
        readonly cluster: string;
        readonly endpoint: string;
        readonly target: string;
        readonly headers: Readonly<Record<string, string>>;
        readonly mirrors: readonly string[];
      }
    | {
        readonly kind: "answer";
        readonly route: string;
        readonly status: number;
        readonly headers: Readonly<Record<string, string>>;
      }
    | {
        readonly kind: "refuse";
        readonly route: string | undefined;
        readonly status: number;
        readonly code: string;
        readonly flag: string;
        readonly detail: string;
      };
}

/** Names whose values are never shown, since callers of an explanation must not see the credentials of a request. */
const SECRET =
  /^(authorization|proxy-authorization|cookie|set-cookie|x-api-key|.*(token|secret|password|api-?key|session).*)$/;
const SECRET_HEADERS = ["authorization", "proxy-authorization", "x-api-key"];
const HIDDEN = "(hidden)";

/** `rawHeaders` belong to the head. `decision`: given when it was made before, such as the refusal of a token. */
export function explain(
  snapshot: GatewaySnapshot,
  given: { readonly head: RequestHead | BadHead; readonly rawHeaders: readonly string[]; readonly decision?: Decision },
  moment: Moment,
): Explanation {
  const { head: raw } = given;
  if (isBadHead(raw)) throw new Error("a rejected head cannot be explained");
  const head = seenBy(snapshot.table, raw);
  const steps: Step[] = [];
  const traced = decide(snapshot, raw, { ...moment, trace: (step) => steps.push(step) });
  const decision = given.decision ?? traced;
  if (given.decision?.kind === "refuse") steps.push({ step: "jwt", verdict: "refuse", detail: given.decision.detail });
  return scrubbed(secretsOf(head, decision.route), {
    request: { method: head.method, host: head.host, path: head.path, client: head.client, listener: head.listener },
    candidates: candidatesOf(snapshot, head, chosenRoute(decision)),
    steps,
    outcome: outcomeOf(decision, snapshot, { head: raw, rawHeaders: given.rawHeaders }),
  });
}

/** Shorter values are not hidden: they are not secrets, and hiding them would hide parts of many words. */
const SECRET_CHARS_MIN = 4;

/** The secrets of a request: credentials in headers, cookies and the query. */
function secretsOf(head: RequestHead, route: CompiledRoute | undefined): readonly string[] {
  const own = new Set(route?.filters.flatMap(({ built }) => built.secrets ?? []));
  const values: string[] = [];
  for (const name of [...SECRET_HEADERS, ...own]) values.push(...head.header(name));
  for (const cookie of head.header("cookie"))
    values.push(...cookie.split(";").map((pair) => pair.split("=").slice(1).join("=").trim()));
  for (const pair of head.query.slice(1).split("&")) {
    const [name = "", value = ""] = pair.split("=", 2);
    if (!SECRET.test(name.toLowerCase())) continue;
    values.push(value, new URLSearchParams(pair).get(name) ?? "");
  }
  return [...new Set(values.flatMap((value) => [value, value.replace(/^\w+ +/, "")]))]
    .filter((value) => value.length >= SECRET_CHARS_MIN)
    .sort((a, b) => b.length - a.length);
}

/** Hides the secrets everywhere, since a template or a rewrite may have copied them. */
function scrubbed(secrets: readonly string[], explanation: Explanation): Explanation {
  if (secrets.length === 0) return explanation;
  const clean = (value: unknown): unknown => {
    if (typeof value === "string") return secrets.reduce((text, secret) => text.replaceAll(secret, HIDDEN), value);
    if (Array.isArray(value)) return value.map(clean);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, clean(member)]));
  };
  return clean(explanation) as Explanation;
}

function chosenRoute(decision: Decision): CompiledRoute | undefined {
  return decision.route;
}

function candidatesOf(snapshot: GatewaySnapshot, head: MatchHead, chosen: CompiledRoute | undefined): Candidate[] {
  const listener = snapshot.table.listeners.get(head.listener);
  if (!listener || !servesHost(listener, head.host)) return [];
  const { entries } = listener.index;
  const winner = entries.find((entry) => entry.route.name === chosen?.name && mismatch(entry, head) === undefined);
  const compared = entries.map((entry) => ({ entry, reason: mismatch(entry, head) }));
  // The closest routes first, since most routes of a long table are unrelated to the request.
  const near = (reason: string | undefined) =>
    reason === undefined ? 0 : reason.startsWith("host") ? 3 : reason.startsWith("path") ? 2 : 1;
  return compared
    .sort((a, b) => near(a.reason) - near(b.reason) || a.entry.order - b.entry.order)
    .slice(0, CANDIDATES_MAX)
    .map(({ entry, reason }) => ({
      route: entry.route.name,
      host: entry.host === "" ? "*" : entry.host,
      path: `${entry.route.path.kind} ${entry.route.path.value}`,
      priority: entry.route.priority,
      verdict: entry === winner ? "chosen" : "lost",
      reason:
        entry === winner
          ? "the first match"
          : (reason ??
            (winner
              ? `"${winner.route.name}" comes before it by ${decidedBy(winner, entry)}`
              : "matches, but was not compared")),
    }));
}

/** The first condition that does not match, as text; undefined when the route matches. */
function mismatch({ route, host }: RouteEntry, head: MatchHead): string | undefined {
  if (!hostMatches(host, head.host)) return `host is not ${host}`;
  if (!pathMatches(route.path, head.path)) return `path is not ${route.path.kind} ${route.path.value}`;
  const found = mismatchOf(route.conditions, head);
  return found && words(found, route);
}

function words(found: Mismatch, { conditions }: CompiledRoute): string {
  if (found === "method") return `method is not ${[...(conditions.methods ?? COMMON)].join(" or ")}`;
  if (found === "scheme") return `the scheme is not ${conditions.scheme}`;
  if (found === "source") return `the client is not in ${conditions.source?.text}`;
  const list = { header: conditions.headers, cookie: conditions.cookies, query: conditions.query }[found];
  return `${found}: not ${list.map(conditionText).join(" and ")}`;
}

function outcomeOf(
  decision: Decision,
  snapshot: GatewaySnapshot,
  given: { head: RequestHead; rawHeaders: readonly string[] },
): Explanation["outcome"] {
  if (decision.kind === "refuse") {
    const { route, status, code, flag, detail } = decision;
    return { kind: "refuse", route: route?.name, status, code, flag, detail };
  }
  if (decision.kind === "answer") {
    return {
      kind: "answer",
      route: decision.route.name,
      status: decision.status,
      headers: hidden(ownHeaders(snapshot.table, given.head, decision).flat()),
    };
  }
  if (isUnsettled(decision)) throw new Error(`the decision is not final: ${decision.kind}`);
  const sent = sentHeaders(decision, snapshot, given);
  if (!sent) return outcomeOf(refuseLate(decision.route), snapshot, given);
  return {
    kind: "forward",
    route: decision.route.name,
    cluster: decision.route.cluster.key,
    endpoint: `${decision.endpoint.id} at ${decision.endpoint.authority}`,
    target: decision.target,
    headers: hidden(sent),
    mirrors: decision.mirrors.map(({ route }) => route.cluster.key),
  };
}

/** The headers that the lane would send, without those of a trace. undefined: the caller allows no time. */
function sentHeaders(
  forward: Forward,
  { table }: GatewaySnapshot,
  { head, rawHeaders }: { head: RequestHead; rawHeaders: readonly string[] },
): string[] | undefined {
  const { edits, setHeaders, route } = forward;
  const grpc = head.method === "POST" ? grpcKind(head.header("content-type")[0]) : undefined;
  const givenMs = callerMs(route, head, grpc);
  const left = { totalMs: Math.min(route.totalMs ?? Infinity, givenMs), callerMs: givenMs };
  if (left.totalMs <= 0) return undefined;
  const set = [...setHeaders, ...deadlineHeaders(route, left, grpc)];
  const deadline = deadlineNames(route, grpc);
  const sent = upstreamHeaders(head, rawHeaders, { table, version: "1.1", edits, deadline, set });
  return ["host", forward.authority ?? forward.endpoint.authority, ...sent];
}

function hidden(raw: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let at = 0; at < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    const value = SECRET.test(name) ? HIDDEN : (raw[at + 1] as string);
    const before = own(headers, name);
    setOwn(headers, name, before === undefined ? value : `${before}, ${value}`);
  }
  return headers;
}
