/**
 * What this host claims to run, and what of it the server is known to have. Every edit takes the next version, so the
 * answer to an older write never passes for the answer to a newer one.
 */
import { canonicalJson } from "#base";
import type { HealthResult } from "#health/core";
import type { ClaimName, LocalRegistration, SyncMark } from "../api.ts";

export interface VerdictState {
  readonly status: HealthResult;
  readonly output: string;
  readonly version: number;
  /** The version that the server took; 0: none. */
  readonly reportedVersion: number;
  readonly reportedAtMs: number;
}

export interface ClaimState {
  readonly name: ClaimName;
  readonly registration: LocalRegistration;
  /** Which claim of ours on it this is; grows with each new one. */
  readonly incarnation: number;
  /** Not yet taken by the server; a refusal as outdated then only means that our clock went back. */
  readonly fresh: boolean;
  /** Taken back by the servers, for being critical too long: it is claimed anew when it is well. */
  readonly evicted: boolean;
  /** False: to be removed at the server, then forgotten. */
  readonly wanted: boolean;
  readonly version: number;
  /** The version that the server took; 0: none. */
  readonly syncedVersion: number;
  /** The server's revision of it when last seen whole; another one means that somebody wrote it. */
  readonly seenRevision: number | undefined;
  readonly verdicts: ReadonlyMap<string, VerdictState>;
  /** Tries that the server refused in a row, and when the next one may be. */
  readonly attempt: number;
  readonly notBeforeMs: number;
  readonly error: string | undefined;
}

/** Of a claim that no refusal holds up. */
export const CALM = { attempt: 0, notBeforeMs: 0, error: undefined } as const;

export type Claims = ReadonlyMap<string, ClaimState>;

export function keyOf({ namespace, service, id }: ClaimName): string {
  return `${namespace}/${service}/${id}`;
}

export function markOf(claim: ClaimState): SyncMark {
  return !claim.wanted ? "deleted" : claim.version === claim.syncedVersion ? "inSync" : "changed";
}

/** Whether somebody deregistered it at the server after the server had taken it: it is not told again. */
export function takenBack({ notBeforeMs }: ClaimState): boolean {
  return notBeforeMs === Number.POSITIVE_INFINITY;
}

/** Whether nothing is left to do: the server has this claim and all its verdicts, or somebody deregistered it there. */
export function settled(claim: ClaimState): boolean {
  if (takenBack(claim) && !claim.evicted) return true;
  if (markOf(claim) !== "inSync") return false;
  for (const verdict of claim.verdicts.values()) if (verdict.version !== verdict.reportedVersion) return false;
  return true;
}

export function withClaim(claims: Claims, claim: ClaimState): Claims {
  return new Map(claims).set(keyOf(claim.name), claim);
}

export function without(claims: Claims, key: string): Claims {
  const copy = new Map(claims);
  copy.delete(key);
  return copy;
}

/** Claims a service, or what it is now. Saying the same again changes nothing. */
export function claim(
  claims: Claims,
  name: ClaimName,
  {
    registration,
    incarnation,
    taken = false,
  }: { registration: LocalRegistration; incarnation: number; taken?: boolean },
): Claims {
  const known = claims.get(keyOf(name));
  const anew = known?.incarnation !== incarnation;
  if (known?.wanted && !anew && canonicalJson(known.registration) === canonicalJson(registration)) return claims;
  const checks = new Set((registration.checks ?? []).map(({ id }) => id));
  // The server forgets the verdict on a check whose target moved, so verdicts are told again; the same one costs nothing.
  const verdicts = [...(known?.verdicts ?? [])]
    .filter(([id]) => checks.has(id))
    .map(([id, verdict]): [string, VerdictState] => [id, { ...verdict, reportedVersion: 0 }]);
  return withClaim(claims, {
    name,
    registration,
    incarnation,
    fresh: anew ? !taken : known.fresh,
    evicted: false,
    wanted: true,
    version: (known?.version ?? 0) + 1,
    syncedVersion: known?.wanted ? known.syncedVersion : 0,
    seenRevision: undefined,
    verdicts: new Map(verdicts),
    ...CALM,
  });
}

/** Takes a claim back. It stays as a tombstone until the server has let go of it. */
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

/** Takes the verdict on a check. The same verdict again is no news, whatever its output. */
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
  const well = known.registration.checks.every(({ id }) => (verdicts.get(id)?.status ?? "critical") !== "critical");
  if (!known.evicted || !well) return withClaim(claims, { ...known, verdicts });
  const anew = { incarnation: known.incarnation + 1, fresh: true, evicted: false, ...CALM };
  return withClaim(claims, unsynced({ ...known, ...anew, verdicts }));
}

/** Everything must be told again: the session is gone, and with it all that lived by it. What was to go is gone, too. */
export function forgetServer(claims: Claims): Claims {
  const kept = [...claims].filter(([, claim]) => claim.wanted);
  return new Map(kept.map(([key, claim]) => [key, unsynced(claim)]));
}

/** One claim must be told again, with its verdicts. */
export function unsynced(claim: ClaimState): ClaimState {
  const verdicts = [...claim.verdicts].map(([id, verdict]): [string, VerdictState] => [
    id,
    { ...verdict, reportedVersion: 0 },
  ]);
  return { ...claim, version: claim.version + 1, seenRevision: undefined, verdicts: new Map(verdicts) };
}
