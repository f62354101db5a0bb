/** The inputs and the results of a decision. All of them are plain data. */
import type { Claims } from "../callers/claims.ts";
import type { ConcurrencyLimiter } from "../limits/concurrency.ts";
import type { CompiledConsumer } from "../callers/consumers.ts";
import type { Endpoint, EndpointSet } from "../balancing/endpoints.ts";
import type { CompiledFilter, FilterRequest } from "../request/filter.ts";
import type { RenderedEdits } from "../rewriting/header-edits.ts";
import type { LeasedLimits, LeaseWait } from "../limits/leased-limits.ts";
import type { Pressure } from "../limits/overload.ts";
import type { PathDoubt } from "../paths/path.ts";
import type { RateLimiter, RateVerdict } from "../limits/rate-limit.ts";
import type { Refuse } from "./refusal.ts";
import type { HeaderPair } from "../request/header-list.ts";
import type { CompiledRoute, ForwardRoute, RouteTable } from "../routing/table.ts";

/** Tokens whose signature and times were verified. */
export interface VerifiedTokens {
  /** The claims of a token that is known to be valid at this time. */
  get(provider: string, token: string, wallMs: number): Claims | undefined;
}

/** Cookies that name an instance. They are signed, so that clients cannot choose an instance. */
export interface StickyCookies {
  /** The instance that a cookie names for a cluster; undefined when its signature is not valid for the cluster. */
  read(value: string, cluster: string): string | undefined;
  write(instance: string, cluster: string): string;
}

/** All data that decisions use. Immutable except for counts; the next snapshot replaces it as a whole. */
export interface GatewaySnapshot {
  readonly table: RouteTable;
  /** By cluster key. */
  readonly endpoints: ReadonlyMap<string, EndpointSet>;
  readonly tokens: VerifiedTokens;
  readonly limiter: Pick<RateLimiter, "take">;
  /** Limits that gateways share; undefined: an explanation, which uses up nothing. */
  readonly leases?: Pick<LeasedLimits, "take">;
  /** Limits of requests in flight. */
  readonly concurrency?: ConcurrencyLimiter;
  /** undefined: without sticky sessions. */
  readonly sticky?: StickyCookies;
}

export interface Moment {
  /** Monotonic milliseconds, for limits. */
  readonly nowMs: number;
  /** Milliseconds since 1970, for tokens. */
  readonly wallMs: number;
  readonly random: () => number;
  /** The overload of this process: routes of less importance are rejected. Absent: none. */
  readonly pressure?: Pressure;
  /** The claims of the token that the last decision required to be verified. */
  readonly claims?: Claims;
  /** The last decision, when that was to wait for a lease. */
  readonly waited?: Wait;
  /** Called with every step, for explanations. */
  readonly trace?: (step: Step) => void;
}

export interface Step {
  readonly step:
    | "preflight"
    | "origin"
    | "filter"
    | "jwt"
    | "acl"
    | "rateLimit"
    | "redirect"
    | "respond"
    | "split"
    | "sticky"
    | "endpoint";
  readonly verdict: "pass" | "refuse" | "answer";
  readonly detail: string;
}

export interface Forward {
  readonly kind: "forward";
  readonly route: ForwardRoute;
  readonly endpoint: Endpoint;
  /** The set for choosing another endpoint when this one fails. */
  readonly endpoints: EndpointSet;
  /** Path and query for the upstream. */
  readonly target: string;
  /** The Host for the upstream; undefined: the endpoint's own. */
  readonly authority: string | undefined;
  /** Headers for the upstream besides the client's. */
  readonly setHeaders: readonly HeaderPair[];
  /** The route's changes of the client's headers. */
  readonly edits: RenderedEdits | undefined;
  /** Headers for the client besides the upstream's, also on refusals. */
  readonly answerHeaders: readonly HeaderPair[];
  readonly answerEdits: RenderedEdits | undefined;
  /** Replace the upstream's CORS headers; undefined: those are kept. */
  readonly cors: readonly HeaderPair[] | undefined;
  /** The cookie for sticky sessions, and the instance that it named; undefined: the route has none. */
  readonly sticky:
    | { readonly cookie: string; readonly attributes: string; readonly pinned: string | undefined }
    | undefined;
  /** Copies that are sent as well. */
  readonly mirrors: readonly Forward[];
  readonly filters: readonly CompiledFilter[];
  /** The key to release in the snapshot's concurrency limits when the exchange ends. */
  readonly held: string | undefined;
  /** Parts of the path that the route's `paths` reports instead of rejecting; absent: none. */
  readonly pathReports?: readonly PathDoubt[];
  /** The request as filters saw it. */
  readonly request: FilterRequest;
}

/** The gateway's own answer: a redirect, a fixed answer, or the answer to a preflight. */
export interface Answer {
  readonly kind: "answer";
  readonly route: CompiledRoute;
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly body: string;
  /** The answer needs the headers of a preflight; see own-answer.ts. */
  readonly preflight?: boolean;
}

export interface Verify {
  readonly kind: "verify";
  readonly route: CompiledRoute;
  readonly provider: string;
  readonly token: string;
}

/** The verdict of one limit. */
export interface LimitVerdict {
  readonly name: "default" | "quota";
  readonly header: string;
  readonly verdict: RateVerdict;
}

/** The request waits for the control plane's answer about a shared limit, and is then decided again. */
export interface Wait {
  readonly kind: "wait";
  readonly route: CompiledRoute;
  readonly lease: LeaseWait;
  /** Verdicts of earlier limits, which have counted the request already. */
  readonly verdicts: readonly LimitVerdict[];
}

export type Decision = Forward | Answer | Verify | Wait | Refuse;

/** The caller, as far as it is identified. */
export interface Caller {
  readonly claims: Claims | undefined;
  readonly consumer: CompiledConsumer | undefined;
}
