/**
 * Anti-entropy: what this host claims against what the server has. An event and the time go in, the next state comes
 * out; `decide` says what to send now, or when to look again. Partial on each change, in full now and then, with
 * back-off while the server is away. Whatever is lost, repeated or late, both ends agree after a quiet spell.
 */
import type { HealthResult } from "#health/core";
import type { ClaimName, Instance, KnownVerdict, LocalRegistration } from "../api.ts";
import {
  CALM,
  claim,
  forgetServer,
  judge,
  keyOf,
  markOf,
  settled,
  unsynced,
  withClaim,
  withdraw,
  without,
  type Claims,
  type ClaimState,
} from "./local-state.ts";
import { compare, drainedElsewhere } from "./compare.ts";

/** Calls under way at once: enough to fill a group commit of the server, few enough not to be a burden. */
const CALLS_MAX = 16;
/**
 * Back-off while the server is away, but never longer than until a heartbeat is due: the server gives sessions their whole time again
 * when it comes back. And back-off for a claim that it refuses. Milliseconds.
 */
const AWAY = { baseMs: 200, capMs: 5_000 };
const REFUSED = { baseMs: 1_000, capMs: 60_000 };
/** Share of a session's time after which it is renewed: two may be lost and it still stands. */
const HEARTBEAT_SHARE = 1 / 3;
/** Share of a TTL after which the server is told again that its check passes. */
const RENEW_SHARE = 1 / 2;

export interface SyncLimits {
  readonly sessionTtlMs: number;
  readonly fullSyncMs: number;
}

export interface SyncState {
  readonly limits: SyncLimits;
  readonly session: string | undefined;
  readonly claims: Claims;
  /** Keys of effects under way. Two for one key are never under way together, so their order is ours. */
  readonly busy: ReadonlySet<string>;
  readonly heartbeatAtMs: number;
  readonly fullSyncAtMs: number;
  /**
   * Services in which something was registered under this session: a registration may arrive after its claim was taken
   * back, so they are looked at for as long as the session stands.
   */
  readonly served: ReadonlySet<string>;
  /** Services whose instances are still to be looked at in this full sync. */
  readonly toInspect: ReadonlySet<string>;
  /** Calls without an answer in a row, and when the next may be tried. */
  readonly attempt: number;
  readonly notBeforeMs: number;
  /** Whether the latest call was answered; undefined before the first. */
  readonly connected: boolean | undefined;
  /** Why the server gives us no session, or renews it no more: a token that may not, most likely. */
  readonly refusal: string | undefined;
}

export type Effect =
  | { readonly type: "openSession"; readonly key: string }
  | { readonly type: "heartbeat"; readonly key: string; readonly session: string }
  | {
      readonly type: "register";
      readonly key: string;
      readonly name: ClaimName;
      readonly registration: LocalRegistration;
      readonly incarnation: number;
      readonly session: string;
      readonly version: number;
      /** What was found of its checks so far, so that it is healthy at once; reports with their output follow. */
      readonly verdicts: readonly KnownVerdict[];
    }
  | {
      readonly type: "report";
      readonly key: string;
      readonly name: ClaimName;
      readonly check: string;
      readonly status: HealthResult;
      readonly output: string;
      readonly version: number;
    }
  | { readonly type: "deregister"; readonly key: string; readonly name: ClaimName; readonly incarnation: number }
  | {
      readonly type: "inspect";
      readonly key: string;
      readonly namespace: string;
      readonly service: string;
      /** Versions of the claims when asked: one that changed meanwhile is not judged by an answer from before. */
      readonly asOf: ReadonlyMap<string, number>;
    };

/** Why a call failed: no answer · the session is gone · the instance or check is not there · taken back · a refusal. */
export type Failure = "away" | "session" | "missing" | "outdated" | "refused";

export type SyncEvent =
  | {
      readonly type: "claim";
      readonly name: ClaimName;
      readonly registration: LocalRegistration;
      readonly incarnation: number;
      /** The server had this very claim before a restart. */
      readonly taken?: boolean;
    }
  | { readonly type: "withdraw"; readonly key: string }
  /** Known to be at the server, from before a restart, and not claimed (yet). */
  | { readonly type: "leftover"; readonly name: ClaimName }
  | {
      readonly type: "verdict";
      readonly key: string;
      readonly check: string;
      readonly status: HealthResult;
      readonly output: string;
    }
  | { readonly type: "fullSync" }
  | {
      readonly type: "done";
      readonly effect: Effect;
      /** Of openSession. */
      readonly session?: string;
      /** Of inspect. */
      readonly instances?: readonly Instance[];
    }
  | {
      readonly type: "failed";
      readonly effect: Effect;
      readonly failure: Failure;
      readonly detail: string;
      readonly incarnation?: number;
      readonly evicted?: boolean;
    };

export interface Moment {
  readonly nowMs: number;
  /** In [0, 1): for jitter. */
  readonly chance: number;
}

export function startSync(limits: SyncLimits, nowMs: number, session?: string): SyncState {
  return {
    limits,
    session,
    claims: new Map(),
    busy: new Set(),
    heartbeatAtMs: nowMs,
    fullSyncAtMs: nowMs,
    served: new Set(),
    toInspect: new Set(),
    attempt: 0,
    notBeforeMs: 0,
    connected: undefined,
    refusal: undefined,
  };
}

export function begin(state: SyncState, effect: Effect): SyncState {
  const busy = new Set(state.busy).add(effect.key);
  if (effect.type !== "register") return { ...state, busy };
  return { ...state, busy, served: new Set(state.served).add(serviceOf(effect.name)) };
}

export function step(state: SyncState, event: SyncEvent, moment: Moment): SyncState {
  switch (event.type) {
    case "claim":
      return { ...state, claims: claim(state.claims, event.name, event) };
    case "withdraw":
      return { ...state, claims: withdraw(state.claims, event.key) };
    case "leftover":
      return state.claims.has(keyOf(event.name)) ? state : { ...state, claims: removed(state.claims, event.name) };
    case "verdict":
      return { ...state, claims: judge(state.claims, event.key, event.check, event.status, event.output) };
    case "fullSync":
      return { ...state, fullSyncAtMs: moment.nowMs };
    case "done":
      return done(answered(release(state, event.effect)), event, moment);
    case "failed":
      return failed(release(state, event.effect), event, moment);
    default:
      return state;
  }
}

/** Whether the server has exactly what is claimed here, as far as is known. */
export function inSync(state: SyncState): boolean {
  return state.session !== undefined && [...state.claims.values()].every(settled);
}

/** What to send now, most urgent first; and, with nothing more to happen, when to look again. */
export function decide(state: SyncState, nowMs: number): { state: SyncState; effects: Effect[]; wakeAtMs: number } {
  if (state.notBeforeMs > nowMs) return { state, effects: [], wakeAtMs: state.notBeforeMs };
  const effects: Effect[] = [];
  let wakeAtMs = Number.POSITIVE_INFINITY;
  // After a call without an answer one at a time feels the way.
  const room = (state.attempt > 0 ? 1 : CALLS_MAX) - state.busy.size;
  const offer = (atMs: number, effect: Effect) => {
    if (state.busy.has(effect.key) || effects.some(({ key }) => key === effect.key)) return;
    if (atMs > nowMs) wakeAtMs = Math.min(wakeAtMs, atMs);
    else if (effects.length < room) effects.push(effect);
  };
  const { session } = state;
  if (session === undefined) {
    offer(0, { type: "openSession", key: "session" });
    return { state, effects, wakeAtMs };
  }
  offer(state.heartbeatAtMs, { type: "heartbeat", key: "session", session });
  for (const [key, claim] of state.claims) offerFor(claim, key, session, offer);
  const next = dueInspections(state, nowMs);
  for (const service of next.toInspect) {
    const [namespace = "", name = ""] = service.split("/");
    offer(0, { type: "inspect", key: `inspect ${service}`, namespace, service: name, asOf: versions(state) });
  }
  if (next.fullSyncAtMs > nowMs) wakeAtMs = Math.min(wakeAtMs, next.fullSyncAtMs);
  return { state: next, effects, wakeAtMs };
}

function offerFor(
  claim: ClaimState,
  key: string,
  session: string,
  offer: (atMs: number, effect: Effect) => void,
): void {
  const { name, registration, incarnation, version, notBeforeMs } = claim;
  const mark = markOf(claim);
  if (mark === "deleted") return offer(notBeforeMs, { type: "deregister", key, name, incarnation });
  if (mark === "changed") {
    const verdicts = knownVerdicts(claim);
    return offer(notBeforeMs, { type: "register", key, name, registration, incarnation, session, version, verdicts });
  }
  for (const [check, verdict] of claim.verdicts) {
    const effect: Effect = { type: "report", key, name, check, ...pick(verdict) };
    if (verdict.version !== verdict.reportedVersion) offer(notBeforeMs, effect);
    else if (verdict.status !== "critical") {
      const definition = registration.checks?.find(({ id }) => id === check);
      // At the server a TTL check passes by a lease of its own; here only its changes are heard, so we renew it.
      if (definition?.type === "ttl") {
        offer(verdict.reportedAtMs + definition.ttlSeconds * 1000 * RENEW_SHARE, effect);
      }
    }
  }
}

/** TTL checks pass by reports only. */
function knownVerdicts({ registration: { checks = [] }, verdicts }: ClaimState): KnownVerdict[] {
  return checks.flatMap(({ id, type }) => {
    const verdict = type === "ttl" ? undefined : verdicts.get(id);
    return verdict ? [{ check: id, status: verdict.status }] : [];
  });
}

function pick({ status, output, version }: { status: HealthResult; output: string; version: number }) {
  return { status, output, version };
}

/** A full sync looks at every service claimed or served here; the next is due a period later, from whenever this began. */
function dueInspections(state: SyncState, nowMs: number): SyncState {
  if (state.fullSyncAtMs > nowMs || state.toInspect.size > 0) return state;
  const services = [...state.claims.values()].map(({ name }) => serviceOf(name));
  return {
    ...state,
    toInspect: new Set([...services, ...state.served]),
    fullSyncAtMs: nowMs + state.limits.fullSyncMs,
  };
}

function serviceOf({ namespace, service }: ClaimName): string {
  return `${namespace}/${service}`;
}

function versions({ claims, busy }: SyncState): Map<string, number> {
  const idle = [...claims].filter(([key]) => !busy.has(key));
  return new Map(idle.map(([key, { version }]) => [key, version]));
}

function release(state: SyncState, effect: Effect): SyncState {
  const busy = new Set(state.busy);
  busy.delete(effect.key);
  return { ...state, busy };
}

function answered(state: SyncState): SyncState {
  return { ...state, attempt: 0, notBeforeMs: 0, connected: true };
}

/** Between nine tenths and eleven tenths of a period. */
function jittered(periodMs: number, chance: number): number {
  return periodMs * (0.9 + 0.2 * chance);
}

function backOff(limits: { baseMs: number; capMs: number }, attempt: number, chance: number): number {
  // At least half of it: with one call at a time a wait of nothing would be a busy loop.
  return Math.min(limits.capMs, limits.baseMs * 2 ** attempt) * (0.5 + 0.5 * chance);
}

function done(state: SyncState, event: SyncEvent & { type: "done" }, { nowMs, chance }: Moment): SyncState {
  const { effect } = event;
  const heartbeatAtMs = nowMs + jittered(state.limits.sessionTtlMs * HEARTBEAT_SHARE, chance);
  switch (effect.type) {
    case "openSession":
      return {
        ...state,
        session: event.session,
        heartbeatAtMs,
        claims: forgetServer(state.claims),
        served: new Set(),
        refusal: undefined,
      };
    case "heartbeat":
      return state.session === effect.session ? { ...state, heartbeatAtMs, refusal: undefined } : state;
    case "inspect":
      return inspected(state, effect, event.instances ?? [], { nowMs, chance });
    case "deregister":
      return state.claims.get(effect.key)?.wanted === false
        ? { ...state, claims: without(state.claims, effect.key) }
        : state;
    case "register": {
      const claim = state.claims.get(effect.key);
      // Taken under a session that is no longer ours, it is gone or about to be.
      if (!claim || effect.session !== state.session) return state;
      const syncedVersion = claim.wanted ? effect.version : claim.syncedVersion;
      // The server took the claim that was sent, which may not be the one made since.
      const fresh = claim.fresh && effect.incarnation !== claim.incarnation;
      return { ...state, claims: withClaim(state.claims, { ...claim, ...CALM, fresh, syncedVersion }) };
    }
    case "report": {
      const claim = state.claims.get(effect.key);
      const verdict = claim?.verdicts.get(effect.check);
      if (!claim || !verdict || markOf(claim) !== "inSync") return state;
      const verdicts = new Map(claim.verdicts).set(effect.check, {
        ...verdict,
        reportedVersion: effect.version,
        reportedAtMs: nowMs,
      });
      return { ...state, claims: withClaim(state.claims, { ...claim, ...CALM, verdicts }) };
    }
    default:
      return state;
  }
}

function failed(state: SyncState, event: SyncEvent & { type: "failed" }, { nowMs, chance }: Moment): SyncState {
  const { effect, failure } = event;
  if (failure === "away") {
    const capMs = Math.min(AWAY.capMs, state.limits.sessionTtlMs * HEARTBEAT_SHARE);
    const notBeforeMs = nowMs + backOff({ ...AWAY, capMs }, state.attempt, chance);
    return { ...state, connected: false, attempt: state.attempt + 1, notBeforeMs };
  }
  const heard = answered(state);
  if (failure === "session") {
    const lost = "session" in effect ? effect.session : state.session;
    if (lost !== state.session) return heard;
    return { ...heard, session: undefined, claims: forgetServer(heard.claims) };
  }
  const claim = heard.claims.get(effect.key);
  if (failure === "missing" && effect.type === "deregister") {
    return claim?.wanted === false ? { ...heard, claims: without(heard.claims, effect.key) } : heard;
  }
  if (failure === "missing" && effect.type === "report") {
    return claim ? { ...heard, claims: withClaim(heard.claims, unsynced(claim)) } : heard;
  }
  if (failure === "missing" && effect.type === "inspect") return inspected(heard, effect, [], { nowMs, chance });
  if (claim && failure === "outdated") return { ...heard, claims: withClaim(heard.claims, outdated(claim, event)) };
  if (claim) {
    const notBeforeMs = nowMs + backOff(REFUSED, claim.attempt, chance);
    const refused = { ...claim, attempt: claim.attempt + 1, notBeforeMs, error: event.detail };
    return { ...heard, claims: withClaim(heard.claims, refused) };
  }
  if (effect.type === "inspect") return { ...heard, toInspect: drop(heard.toInspect, effect) };
  // No better than a server that is away, until somebody mends it.
  return {
    ...heard,
    attempt: state.attempt + 1,
    notBeforeMs: nowMs + backOff(REFUSED, state.attempt, chance),
    refusal: event.detail,
  };
}

/**
 * A claim that the server had taken was deregistered there: it stays away until it is made anew. One that it has never
 * taken is as new as can be, whatever our clock said, so it is made newer.
 */
function outdated(
  claim: ClaimState,
  { detail, incarnation = claim.incarnation, evicted = false }: SyncEvent & { type: "failed" },
): ClaimState {
  if (claim.fresh) return { ...claim, incarnation: Math.max(claim.incarnation, incarnation) + 1 };
  const error = evicted ? detail : waysBack(claim.name);
  return { ...claim, evicted, notBeforeMs: Number.POSITIVE_INFINITY, error };
}

/** How a claim that was taken back is made again: the agent picks the incarnation itself. */
function waysBack({ id }: ClaimName): string {
  return (
    "It was deregistered at the control plane, or a newer claim replaced it, so this agent leaves it as it is. " +
    `To register it again, send PUT /v1/agent/services/${id} with its registration, or change its definition file.`
  );
}

function drop(toInspect: ReadonlySet<string>, { namespace, service }: Effect & { type: "inspect" }): Set<string> {
  const rest = new Set(toInspect);
  rest.delete(`${namespace}/${service}`);
  return rest;
}

/** One service as the server has it. What differs is told again; what is ours there but not here is removed there. */
function inspected(
  state: SyncState,
  effect: Effect & { type: "inspect" },
  instances: readonly Instance[],
  { nowMs, chance }: Moment,
): SyncState {
  let { claims } = state;
  const found = new Map(instances.map((instance) => [keyOf(nameOf(instance)), instance]));
  for (const [key, claim] of claims) {
    const { namespace, service } = claim.name;
    if (namespace !== effect.namespace || service !== effect.service) continue;
    if (markOf(claim) !== "inSync" || state.busy.has(key) || effect.asOf.get(key) !== claim.version) continue;
    claims = withClaim(claims, compare(drainedElsewhere(claim, found.get(key)), found.get(key), state.session));
  }
  for (const [key, instance] of found) {
    if (instance.session !== state.session || claims.has(key) || state.busy.has(key)) continue;
    claims = removed(claims, nameOf(instance));
  }
  const toInspect = drop(state.toInspect, effect);
  const fullSyncAtMs = toInspect.size > 0 ? state.fullSyncAtMs : nowMs + jittered(state.limits.fullSyncMs, chance);
  return { ...state, claims, toInspect, fullSyncAtMs };
}

function nameOf({ namespace, service, id }: Instance): ClaimName {
  return { namespace, service, id };
}

/** With something to be removed at the server that is not claimed here (any more): as a claim that was withdrawn at once. */
function removed(claims: Claims, name: ClaimName): Claims {
  const registration = { address: "127.0.0.1", port: 1 };
  return withdraw(claim(claims, name, { registration, incarnation: 0, taken: true }), keyOf(name));
}
