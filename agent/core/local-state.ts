/**
 * The services that this host claims to run, and which of the claims the server is known to have. Every edit increments the
 * version, so the answer to an older write is never mistaken for the answer to a newer one.
 */
import { canonicalJson, costlyInvariant, invariant } from "#base";
import type { HealthResult } from "#health/core";
import type { ClaimName, LocalRegistration, SyncMark } from "../api.ts";

export interface VerdictState {
  readonly status: HealthResult;
  readonly output: string;
  readonly version: number;
  /** The version that the server has accepted; 0: none. */
  readonly reportedVersion: number;
  readonly reportedAtMs: number;
}

export interface ClaimState {
  readonly name: ClaimName;
  readonly registration: LocalRegistration;
  /** Identifies the claim: each new one has a higher number. */
  readonly incarnation: number;
  /** Not yet accepted by the server. A rejection as outdated then only means that this host's clock went back. */
  readonly fresh: boolean;
  /** Deregistered by a server for being critical too long: it is claimed again once its checks pass. */
  readonly evicted: boolean;
  /** False: it is removed at the server, then forgotten. */
  readonly wanted: boolean;
  readonly version: number;
  /** The version that the server has accepted; 0: none. */
  readonly syncedVersion: number;
  /** The server's revision of it at the last inspection. A different one means that another client wrote it. */
  readonly seenRevision: number | undefined;
  readonly verdicts: ReadonlyMap<string, VerdictState>;
  /** Consecutive tries that the server rejected, and the earliest time of the next one. */
  readonly attempt: number;
  readonly notBeforeMs: number;
  readonly error: string | undefined;
}

/** Of a claim that no rejection delays. */
export const CALM = { attempt: 0, notBeforeMs: 0, error: undefined } as const;

export type Claims = ReadonlyMap<string, ClaimState>;

export function claimKeyOf({ namespace, service, id }: ClaimName): string {
  return `${namespace}/${service}/${id}`;
}

export function syncMarkOf(claim: ClaimState): SyncMark {
  return !claim.wanted ? "deleted" : claim.version === claim.syncedVersion ? "inSync" : "changed";
}

/** Whether it was deregistered at the server after the server had accepted it: the agent does not register it again. */
export function takenBack({ notBeforeMs }: ClaimState): boolean {
  return notBeforeMs === Number.POSITIVE_INFINITY;
}

/** Whether nothing is left to do: the server has this claim and all its verdicts, or it was deregistered there. */
export function settled(claim: ClaimState): boolean {
  if (takenBack(claim) && !claim.evicted) return true;
  if (syncMarkOf(claim) !== "inSync") return false;
  for (const verdict of claim.verdicts.values()) if (verdict.version !== verdict.reportedVersion) return false;
  return true;
}

export function withClaim(claims: Claims, claim: ClaimState): Claims {
  const { version, syncedVersion, verdicts } = claim;
  invariant(version > 0 && syncedVersion <= version, "the server has no later version of a claim than this host");
  costlyInvariant(
    () => [...verdicts.values()].every((verdict) => verdict.reportedVersion <= verdict.version),
    "the server has no later version of a verdict than this host",
  );
  return new Map(claims).set(claimKeyOf(claim.name), claim);
}

export function without(claims: Claims, key: string): Claims {
  const copy = new Map(claims);
  copy.delete(key);
  return copy;
}

/** Claims a service, or changes its claim. The same claim again changes nothing. */
export function claim(
  claims: Claims,
  name: ClaimName,
  {
    registration,
    incarnation,
    taken = false,
  }: { registration: LocalRegistration; incarnation: number; taken?: boolean },
): Claims {
  const known = claims.get(claimKeyOf(name));
  const isNew = known?.incarnation !== incarnation;
  if (known?.wanted && !isNew && canonicalJson(known.registration) === canonicalJson(registration)) return claims;
  const checks = new Set((registration.checks ?? []).map(({ id }) => id));
  // The server forgets the verdict of a check whose target moved, so verdicts are reported again; an equal one costs nothing.
  const verdicts = [...(known?.verdicts ?? [])]
    .filter(([id]) => checks.has(id))
    .map(([id, verdict]): [string, VerdictState] => [id, { ...verdict, reportedVersion: 0 }]);
  return withClaim(claims, {
    name,
    registration,
    incarnation,
    fresh: isNew ? !taken : known.fresh,
    evicted: false,
    wanted: true,
    version: (known?.version ?? 0) + 1,
    syncedVersion: known?.wanted ? known.syncedVersion : 0,
    seenRevision: undefined,
    verdicts: new Map(verdicts),
    ...CALM,
  });
}

/** Withdraws a claim. It stays as a tombstone until the server has removed the instance. */
export function withdraw(claims: Claims, key: string): Claims {
  const known = claims.get(key);
  if (!known?.wanted) return claims;
  return withClaim(claims, {
    ...known,
    wanted: false,
    version: known.version + 1,
    verdicts: new Map(),
    ...CALM,
  });
}

/** Sets the verdict of a check. An equal status is not a change, whatever its output. */
export function judge(claims: Claims, key: string, check: string, status: HealthResult, output: string): Claims {
  const known = claims.get(key);
  if (!known?.wanted || !known.registration.checks?.some(({ id }) => id === check)) return claims;
  const before = known.verdicts.get(check);
  const verdict: VerdictState =
    before?.status === status
      ? { ...before, output }
      : {
          status,
          output,
          version: (before?.version ?? 0) + 1,
          reportedVersion: before?.reportedVersion ?? 0,
          reportedAtMs: before?.reportedAtMs ?? 0,
        };
  const verdicts = new Map(known.verdicts).set(check, verdict);
  const isWell = known.registration.checks.every(({ id }) => (verdicts.get(id)?.status ?? "critical") !== "critical");
  if (!known.evicted || !isWell) return withClaim(claims, { ...known, verdicts });
  const newClaim = { incarnation: known.incarnation + 1, fresh: true, evicted: false, ...CALM };
  return withClaim(claims, unsynced({ ...known, ...newClaim, verdicts }));
}

/** Everything must be sent again: the session is gone, and all its instances with it, among them those to be removed. */
export function forgetServer(claims: Claims): Claims {
  const kept = [...claims].filter(([, claim]) => claim.wanted);
  return new Map(kept.map(([key, claim]) => [key, unsynced(claim)]));
}

/** The claim must be sent again, with its verdicts. */
export function unsynced(claim: ClaimState): ClaimState {
  const verdicts = [...claim.verdicts].map(([id, verdict]): [string, VerdictState] => [
    id,
    { ...verdict, reportedVersion: 0 },
  ]);
  return { ...claim, version: claim.version + 1, seenRevision: undefined, verdicts: new Map(verdicts) };
}
