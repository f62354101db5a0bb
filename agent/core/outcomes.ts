/** How the outcome of a call changes the state: its answer, or its failure. */
import type { ClaimName } from "../api.ts";
import { inspected, withoutInspection } from "./inspection.ts";
import { CALM, forgetServer, syncMarkOf, unsynced, withClaim, without, type ClaimState } from "./local-state.ts";
import { answered, HEARTBEAT_SHARE, jittered, type Moment, type SyncEvent, type SyncState } from "./sync-state.ts";

/**
 * Back-off while the server is away, capped at the time of a heartbeat: a server that comes back gives sessions their whole time
 * to live again. And back-off for a claim that the server rejects. Milliseconds.
 */
const AWAY = { baseMs: 200, capMs: 5_000 };
const REFUSED = { baseMs: 1_000, capMs: 60_000 };

function backOff(limits: { baseMs: number; capMs: number }, attempt: number, chance: number): number {
  // At least half of it: with one call at a time, no wait at all would be a busy loop.
  return Math.min(limits.capMs, limits.baseMs * 2 ** attempt) * (0.5 + 0.5 * chance);
}

export function done(state: SyncState, event: SyncEvent & { type: "done" }, { nowMs, chance }: Moment): SyncState {
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
      // Registered under an earlier session, the instance is gone or about to be.
      if (!claim || effect.session !== state.session) return state;
      const syncedVersion = claim.wanted ? effect.version : claim.syncedVersion;
      // The server accepted the claim that was sent; a later one may have been made since.
      const fresh = claim.fresh && effect.incarnation !== claim.incarnation;
      return { ...state, claims: withClaim(state.claims, { ...claim, ...CALM, fresh, syncedVersion }) };
    }
    case "report": {
      const claim = state.claims.get(effect.key);
      const verdict = claim?.verdicts.get(effect.check);
      if (!claim || !verdict || syncMarkOf(claim) !== "inSync") return state;
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

export function failed(state: SyncState, event: SyncEvent & { type: "failed" }, { nowMs, chance }: Moment): SyncState {
  const { effect, failure } = event;
  if (failure === "away") {
    const capMs = Math.min(AWAY.capMs, state.limits.sessionTtlMs * HEARTBEAT_SHARE);
    const notBeforeMs = nowMs + backOff({ ...AWAY, capMs }, state.attempt, chance);
    return { ...state, connected: false, attempt: state.attempt + 1, notBeforeMs };
  }
  const next = answered(state);
  if (failure === "session") {
    const lost = "session" in effect ? effect.session : state.session;
    if (lost !== state.session) return next;
    return { ...next, session: undefined, claims: forgetServer(next.claims) };
  }
  const claim = next.claims.get(effect.key);
  if (failure === "missing" && effect.type === "deregister") {
    return claim?.wanted === false ? { ...next, claims: without(next.claims, effect.key) } : next;
  }
  if (failure === "missing" && effect.type === "report") {
    return claim ? { ...next, claims: withClaim(next.claims, unsynced(claim)) } : next;
  }
  if (failure === "missing" && effect.type === "inspect") return inspected(next, effect, [], { nowMs, chance });
  if (claim && failure === "outdated") return { ...next, claims: withClaim(next.claims, outdated(claim, event)) };
  if (claim) {
    const notBeforeMs = nowMs + backOff(REFUSED, claim.attempt, chance);
    const refused = { ...claim, attempt: claim.attempt + 1, notBeforeMs, error: event.detail };
    return { ...next, claims: withClaim(next.claims, refused) };
  }
  if (effect.type === "inspect") return { ...next, toInspect: withoutInspection(next, effect) };
  // Until an operator fixes the cause, such a server is as useless as one that is away.
  return {
    ...next,
    attempt: state.attempt + 1,
    notBeforeMs: nowMs + backOff(REFUSED, state.attempt, chance),
    refusal: event.detail,
  };
}

/**
 * A claim that the server had accepted was deregistered there: it waits until its source makes it again. A claim that the server has
 * never accepted cannot be outdated, whatever this host's clock says, so it receives a higher incarnation.
 */
function outdated(
  claim: ClaimState,
  { detail, incarnation = claim.incarnation, evicted = false }: SyncEvent & { type: "failed" },
): ClaimState {
  if (claim.fresh) return { ...claim, incarnation: Math.max(claim.incarnation, incarnation) + 1 };
  const error = evicted ? detail : deregisteredElsewhere(claim.name);
  return { ...claim, evicted, notBeforeMs: Number.POSITIVE_INFINITY, error };
}

/** The agent picks the incarnation of the next claim itself. */
function deregisteredElsewhere({ id }: ClaimName): string {
  return (
    "It was deregistered at the control plane, or a newer claim replaced it, so this agent leaves it as it is. " +
    `To register it again, send PUT /v1/agent/services/${id} with its registration, or change its definition file.`
  );
}
