/** Which calls to the control plane are due now, the most urgent first, and when the next one will be due. */
import { costlyInvariant } from "#base";
import type { HealthResult } from "#health/core";
import type { KnownVerdict } from "../api.ts";
import { syncMarkOf, type ClaimState } from "./local-state.ts";
import { serviceKeyOf, type Effect, type SyncState } from "./sync-state.ts";

/** Calls under way at once: enough to fill a group commit of the server, and few enough not to burden it. */
const CALLS_MAX = 16;
/** Share of a TTL after which the agent reports a passing check again. */
const RENEW_SHARE = 1 / 2;

/** The effects that are due now; and, when no event comes before, the time of the next decision. */
export function decide(state: SyncState, nowMs: number): { state: SyncState; effects: Effect[]; wakeAtMs: number } {
  if (state.notBeforeMs > nowMs) return { state, effects: [], wakeAtMs: state.notBeforeMs };
  const effects: Effect[] = [];
  let wakeAtMs = Number.POSITIVE_INFINITY;
  // After a call without an answer, one call at a time tests whether the server is back.
  const callsLeft = (state.attempt > 0 ? 1 : CALLS_MAX) - state.busy.size;
  const offer = (atMs: number, effect: Effect) => {
    if (state.busy.has(effect.key) || effects.some(({ key }) => key === effect.key)) return;
    if (atMs > nowMs) wakeAtMs = Math.min(wakeAtMs, atMs);
    else if (effects.length < callsLeft) effects.push(effect);
  };
  const { session } = state;
  if (session === undefined) {
    offer(0, { type: "openSession", key: "session" });
    return { state, effects, wakeAtMs };
  }
  offer(state.heartbeatAtMs, { type: "heartbeat", key: "session", session });
  for (const [key, claim] of state.claims) offerFor(claim, key, session, offer);
  const next = withDueInspections(state, nowMs);
  for (const service of next.toInspect) {
    const [namespace = "", name = ""] = service.split("/");
    offer(0, { type: "inspect", key: `inspect ${service}`, namespace, service: name, asOf: idleVersions(state) });
  }
  if (next.fullSyncAtMs > nowMs) wakeAtMs = Math.min(wakeAtMs, next.fullSyncAtMs);
  costlyInvariant(
    () => effects.every(({ key }, at) => !state.busy.has(key) && effects.findIndex((one) => one.key === key) === at),
    "no call is decided for a key with a call under way, or twice",
  );
  return { state: next, effects, wakeAtMs };
}

function offerFor(
  claim: ClaimState,
  key: string,
  session: string,
  offer: (atMs: number, effect: Effect) => void,
): void {
  const { name, registration, incarnation, version, notBeforeMs } = claim;
  const mark = syncMarkOf(claim);
  if (mark === "deleted") return offer(notBeforeMs, { type: "deregister", key, name, incarnation });
  if (mark === "changed") {
    const verdicts = knownVerdicts(claim);
    return offer(notBeforeMs, { type: "register", key, name, registration, incarnation, session, version, verdicts });
  }
  for (const [check, verdict] of claim.verdicts) {
    const effect: Effect = { type: "report", key, name, check, ...reportOf(verdict) };
    if (verdict.version !== verdict.reportedVersion) offer(notBeforeMs, effect);
    else if (verdict.status !== "critical") {
      const definition = registration.checks?.find(({ id }) => id === check);
      // At the server, a TTL check passes under its own lease. Services report changes only, so the agent renews the lease.
      if (definition?.type === "ttl") {
        offer(verdict.reportedAtMs + definition.ttlSeconds * 1000 * RENEW_SHARE, effect);
      }
    }
  }
}

/** Without TTL checks, which pass by reports only. */
function knownVerdicts({ registration: { checks = [] }, verdicts }: ClaimState): KnownVerdict[] {
  return checks.flatMap(({ id, type }) => {
    const verdict = type === "ttl" ? undefined : verdicts.get(id);
    return verdict ? [{ check: id, status: verdict.status }] : [];
  });
}

function reportOf({ status, output, version }: { status: HealthResult; output: string; version: number }) {
  return { status, output, version };
}

/** A full sync inspects every service that is claimed or served here. The next is due one period after this one began. */
function withDueInspections(state: SyncState, nowMs: number): SyncState {
  if (state.fullSyncAtMs > nowMs || state.toInspect.size > 0) return state;
  const services = [...state.claims.values()].map(({ name }) => serviceKeyOf(name));
  return {
    ...state,
    toInspect: new Set([...services, ...state.served]),
    fullSyncAtMs: nowMs + state.limits.fullSyncMs,
  };
}

function idleVersions({ claims, busy }: SyncState): Map<string, number> {
  const idle = [...claims].filter(([key]) => !busy.has(key));
  return new Map(idle.map(([key, { version }]) => [key, version]));
}
