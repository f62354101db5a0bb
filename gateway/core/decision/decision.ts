/** What a decision rests on and what comes out of it: shapes alone, plain data all of them. */
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

/** Tokens whose signature and times were found good. */
export interface VerifiedTokens {
  /** The claims of a token known to be good at this moment. */
  get(provider: string, token: string, wallMs: number): Claims | undefined;
}

/** Cookies that name an instance, signed so that no client picks one by himself. */
export interface StickyCookies {
  /** The instance that a cookie names for a cluster; undefined when it was not signed here for it. */
  read(value: string, cluster: string): string | undefined;
  write(instance: string, cluster: string): string;
}

/** All that decisions rest on. Immutable but for the counts; the next one is built beside it and swapped in. */
export interface GatewaySnapshot {
  readonly table: RouteTable;
  /** By cluster key. */
  readonly endpoints: ReadonlyMap<string, EndpointSet>;
  readonly tokens: VerifiedTokens;
  readonly limiter: Pick<RateLimiter, "take">;
  /** Limits that gateways share; undefined: whoever explains a decision uses up nothing. */
  readonly leases?: Pick<LeasedLimits, "take">;
  /** The same for those who have so many requests under way. */
  readonly concurrency?: ConcurrencyLimiter;
  /** undefined: nobody is sent back to where he was. */
  readonly sticky?: StickyCookies;
}

export interface Moment {
  /** Monotonic milliseconds, for limits. */
  readonly nowMs: number;
  /** Milliseconds since 1970, for tokens. */
  readonly wallMs: number;
  readonly random: () => number;
  /** How much this process has to do; routes of less importance are refused. Absent: not too much. */
  readonly pressure?: Pressure;
  /** Of the token that the last answer asked to have checked. */
  readonly claims?: Claims;
  /** The last answer, when that was to wait for a lease. */
  readonly waited?: Wait;
  /** Told of every step, for whoever has the decision explained. */
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
  /** To choose another from, should this one fail. */
  readonly endpoints: EndpointSet;
  /** Path and query for the upstream. */
  readonly target: string;
  /** The Host for the upstream; undefined: the endpoint's own. */
  readonly authority: string | undefined;
  /** Headers for the upstream beside the client's. */
  readonly setHeaders: readonly HeaderPair[];
  /** What the route does to the client's headers. */
  readonly edits: RenderedEdits | undefined;
  /** Headers for the client beside the upstream's, also on refusals. */
  readonly answerHeaders: readonly HeaderPair[];
  readonly answerEdits: RenderedEdits | undefined;
  /** In the place of what the upstream says of other origins; undefined when it may. */
  readonly cors: readonly HeaderPair[] | undefined;
  /** The cookie that sends the caller back here, and the instance that it named; undefined: none is used. */
  readonly sticky:
    | { readonly cookie: string; readonly attributes: string; readonly pinned: string | undefined }
    | undefined;
  /** Copies to send beside it. */
  readonly mirrors: readonly Forward[];
  readonly filters: readonly CompiledFilter[];
  /** To be given back to the snapshot's concurrency limits once the exchange has ended. */
  readonly held: string | undefined;
  /** What the route's `paths` would refuse, were it not set to `report`; absent: nothing. */
  readonly pathReports?: readonly PathDoubt[];
  /** What filters were told of the request. */
  readonly request: FilterRequest;
}

/** The gateway's own answer: a redirect, a fixed one, a preflight's. */
export interface Answer {
  readonly kind: "answer";
  readonly route: CompiledRoute;
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly body: string;
  /** Its headers are those of a preflight; see own-answer.ts. */
  readonly preflight?: boolean;
}

export interface Verify {
  readonly kind: "verify";
  readonly route: CompiledRoute;
  readonly provider: string;
  readonly token: string;
}

/** What a limit said. */
export interface LimitSaid {
  readonly name: "default" | "quota";
  readonly header: string;
  readonly verdict: RateVerdict;
}

/** A shared limit about which the control plane has been asked; it is decided again when that has answered. */
export interface Wait {
  readonly kind: "wait";
  readonly route: CompiledRoute;
  readonly lease: LeaseWait;
  /** Of the limits before it, which have counted the request. */
  readonly said: readonly LimitSaid[];
}

export type Decision = Forward | Answer | Verify | Wait | Refuse;

/** Who asks, as far as it is known. */
export interface Caller {
  readonly claims: Claims | undefined;
  readonly consumer: CompiledConsumer | undefined;
}
