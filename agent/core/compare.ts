/**
 * One claim against the same instance at the server. The host owns what it claims, with one exception: an operator may
 * drain an instance at the server, and the host then takes that over instead of undoing it.
 */
import { canonicalJson } from "#base";
import type { Instance, LocalRegistration } from "../api.ts";
import { unsynced, type ClaimState } from "./local-state.ts";

/** Takes over where the instance stands in its life at the server, when all we have to say had been said. */
export function drainedElsewhere(claim: ClaimState, instance: Instance | undefined): ClaimState {
  if (!instance || instance.lifecycle === (claim.registration.lifecycle ?? "serving")) return claim;
  return { ...claim, registration: { ...claim.registration, lifecycle: instance.lifecycle } };
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
  return canonicalJson(factsOf(ours)) === canonicalJson(factsOf(theirs));
}

function factsOf(said: LocalRegistration | Instance) {
  const { address, port, protocol = "http", ports = [], tags = [], metadata = {}, weight = 100 } = said;
  const { version, zone, checks = [] } = said;
  const named = ports.map(({ name, port, protocol = "http" }) => ({ name, port, protocol }));
  const kinds = checks.map(({ id, type }) => ({ id, type }));
  return { address, port, protocol, ports: named, tags, metadata, weight, version, zone, checks: kinds };
}
