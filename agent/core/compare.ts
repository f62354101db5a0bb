/**
 * One claim against the same instance at the server. The host owns what it claims, with one exception: an operator may
 * drain an instance at the server, and the host then takes that over instead of undoing it.
 */
import { canonicalJson } from "#base";
import type { Instance, LocalRegistration } from "../api.ts";
import { unsynced, type ClaimState } from "./local-state.ts";

/** Takes over whether the instance is draining at the server, when all we have to say had been said. */
export function drainedElsewhere(claim: ClaimState, instance: Instance | undefined): ClaimState {
  if (!instance || instance.draining === (claim.registration.draining ?? false)) return claim;
  return { ...claim, registration: { ...claim.registration, draining: instance.draining } };
}

/** The claim as it is, or marked to be told again where the server has something else. */
export function compare(claim: ClaimState, instance: Instance | undefined, session: string | undefined): ClaimState {
  if (!instance || instance.session !== session || !sameFacts(claim.registration, instance)) return unsynced(claim);
  // A view does not show how checks are run, so any write but our own is a reason to tell it again; it costs nothing
  // when nothing differs.
  if (claim.seenRevision !== undefined && claim.seenRevision !== instance.modRevision) return unsynced(claim);
  const statuses = new Map(instance.checks.map(({ id, status }) => [id, status]));
  const verdicts = [...claim.verdicts].map(([id, verdict]): [string, typeof verdict] => [
    id,
    statuses.get(id) === verdict.status ? verdict : { ...verdict, reportedVersion: 0 },
  ]);
  return { ...claim, seenRevision: instance.modRevision, verdicts: new Map(verdicts) };
}

function sameFacts(ours: LocalRegistration, theirs: Instance): boolean {
  const { address, port, protocol = "http", tags = [], metadata = {}, weight = 100, zone, checks = [] } = ours;
  const mine = { address, port, protocol, tags, metadata, weight, zone, checks: checks.map(kindOf) };
  const { address: at, port: on, protocol: by, tags: t, metadata: m, weight: w, zone: z } = theirs;
  const seen = { address: at, port: on, protocol: by, tags: t, metadata: m, weight: w, zone: z };
  return canonicalJson(mine) === canonicalJson({ ...seen, checks: theirs.checks.map(kindOf) });
}

function kindOf({ id, type }: { id: string; type: string }): { id: string; type: string } {
  return { id, type };
}
