/**
 * One claim compared with the same instance at the server. The host owns its claims, with two exceptions: when an operator
 * drains an instance at the server, or changes its weight there, the host adopts that instead of undoing it.
 */
import { canonicalJson } from "#base";
import type { Instance, LocalRegistration } from "../api.ts";
import { unsynced, type ClaimState } from "./local-state.ts";

/** Adopts the instance's lifecycle and weight at the server. Only for a claim that is in sync. */
export function steeredElsewhere(claim: ClaimState, instance: Instance | undefined): ClaimState {
  if (!instance) return claim;
  const { lifecycle, weight } = instance;
  const { lifecycle: ours = "serving", weight: ourWeight = 100 } = claim.registration;
  if (lifecycle === ours && weight === ourWeight) return claim;
  return { ...claim, registration: { ...claim.registration, lifecycle, weight } };
}

/** The claim as it is, or marked to be sent again where the server differs. */
export function compare(claim: ClaimState, instance: Instance | undefined, session: string | undefined): ClaimState {
  if (!instance || instance.session !== session || !sameFacts(claim.registration, instance)) return unsynced(claim);
  // A view does not show how checks are run, so any write by another client is a reason to send the claim again. That costs
  // nothing when nothing differs.
  if (claim.seenRevision !== undefined && claim.seenRevision !== instance.modRevision) return unsynced(claim);
  const statuses = new Map(instance.checks.map(({ id, status }) => [id, status]));
  const verdicts = [...claim.verdicts].map(([id, verdict]): [string, typeof verdict] => [
    id,
    statuses.get(id) === verdict.status ? verdict : { ...verdict, reportedVersion: 0 },
  ]);
  return { ...claim, seenRevision: instance.modRevision, verdicts: new Map(verdicts) };
}

function sameFacts(ours: LocalRegistration, theirs: Instance): boolean {
  return canonicalJson(factsOf(ours)) === canonicalJson(factsOf(theirs));
}

function factsOf(stated: LocalRegistration | Instance) {
  const { address, port, protocol = "http", ports = [], tags = [], metadata = {}, weight = 100 } = stated;
  const { version, zone, ingress, checks = [] } = stated;
  const named = ports.map(({ name, port, protocol = "http" }) => ({ name, port, protocol }));
  const kinds = checks.map(({ id, type }) => ({ id, type }));
  return { address, port, protocol, ports: named, tags, metadata, weight, version, zone, ingress, checks: kinds };
}
