/** One service as the server has it, compared with the claims of this host. */
import type { ClaimName, Instance } from "../api.ts";
import { compare, steeredElsewhere } from "./compare.ts";
import { claim, claimKeyOf, syncMarkOf, withClaim, withdraw, type Claims } from "./local-state.ts";
import { jittered, serviceKeyOf, type Effect, type Moment, type SyncState } from "./sync-state.ts";

/** Marks each claim that differs to be sent again, and each instance of this session without a claim to be removed there. */
export function inspected(
  state: SyncState,
  effect: Effect & { type: "inspect" },
  instances: readonly Instance[],
  { nowMs, chance }: Moment,
): SyncState {
  let { claims } = state;
  const found = new Map(instances.map((instance) => [claimKeyOf(instance), instance]));
  for (const [key, claim] of claims) {
    const { namespace, service } = claim.name;
    if (namespace !== effect.namespace || service !== effect.service) continue;
    if (syncMarkOf(claim) !== "inSync" || state.busy.has(key) || effect.asOf.get(key) !== claim.version) continue;
    claims = withClaim(claims, compare(steeredElsewhere(claim, found.get(key)), found.get(key), state.session));
  }
  for (const [key, { namespace, service, id, session }] of found) {
    if (session !== state.session || claims.has(key) || state.busy.has(key)) continue;
    claims = withRemoval(claims, { namespace, service, id });
  }
  const toInspect = withoutInspection(state, effect);
  const fullSyncAtMs = toInspect.size > 0 ? state.fullSyncAtMs : nowMs + jittered(state.limits.fullSyncMs, chance);
  return { ...state, claims, toInspect, fullSyncAtMs };
}

export function withoutInspection({ toInspect }: SyncState, effect: Effect & { type: "inspect" }): Set<string> {
  const rest = new Set(toInspect);
  rest.delete(serviceKeyOf(effect));
  return rest;
}

/** Adds the removal of an instance that the server has and this host does not claim: a claim that was withdrawn at once. */
export function withRemoval(claims: Claims, name: ClaimName): Claims {
  const registration = { address: "127.0.0.1", port: 1 };
  return withdraw(claim(claims, name, { registration, incarnation: 0, taken: true }), claimKeyOf(name));
}
