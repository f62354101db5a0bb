/**
 * The certificate authority as the store keeps it, and how it changes. A rotation has three moments, each one write: the new root is
 * announced; new certificates come from it; the old root leaves the bundle. Every member may take a step, and the store decides which
 * one does. Pure.
 */
import { CERTIFICATE_SECONDS } from "../api.ts";

const DAY_MS = 86_400_000;
/** Life of a root and of an intermediate. A root is replaced rarely, because each process must learn about it first. */
export const ROOT_MS = 3650 * DAY_MS;
export const INTERMEDIATE_MS = 90 * DAY_MS;
/** Time before the end of a life at which it is replaced: time enough for a person to notice that it was not. */
export const ROOT_RENEW_MS = 365 * DAY_MS;
export const INTERMEDIATE_RENEW_MS = 30 * DAY_MS;
/** How far clocks may differ: certificates begin that much earlier, and issuers are trusted a little beyond their last certificate. */
export const BACKDATE_MS = 300_000;
const SLACK_MS = 3_600_000;
/** After its end, for how long a node's certificate can still be exchanged for a new one: a machine that was off for a week. */
export const RENEWAL_GRACE_MS = 7 * DAY_MS;

/** A root of the bundle. */
export interface StoredRoot {
  /** SHA-256 of the certificate. */
  readonly id: string;
  readonly certificate: string;
  readonly expiresAtMs: number;
  /** Its key. Absent: kept outside, because only an intermediate of it was imported. */
  readonly sealed?: string;
  readonly imported: boolean;
  /** When it leaves the bundle. Absent: it stays. */
  readonly removeAtMs?: number;
}

export interface StoredIntermediate {
  readonly id: string;
  /** Id of its root. */
  readonly root: string;
  readonly certificate: string;
  /** Certificates between it and the root, in PEM: sent along with what it issues. */
  readonly chain: string;
  readonly expiresAtMs: number;
  readonly sealed: string;
  readonly imported: boolean;
  readonly removeAtMs?: number;
}

export interface AuthorityRecord {
  readonly v: 1;
  readonly trustDomain: string;
  readonly roots: readonly StoredRoot[];
  readonly intermediates: readonly StoredIntermediate[];
  /** Id of the intermediate that issues. */
  readonly issuing: string;
  /** A rotation whose root is announced. */
  readonly next?: { readonly intermediate: string; readonly atMs: number; readonly overlapMs: number };
}

/** The part of a rotation that is new. Without a root, the intermediate belongs to one that is trusted already. */
export interface NewIssuer {
  readonly root?: StoredRoot;
  readonly intermediate: StoredIntermediate;
}

export type AuthorityStep = "switch" | "remove" | "renew-intermediate" | "rotate-root";

export function firstAuthority(trustDomain: string, { root, intermediate }: Required<NewIssuer>): AuthorityRecord {
  return { v: 1, trustDomain, roots: [root], intermediates: [intermediate], issuing: intermediate.id };
}

export function issuingIntermediate(record: AuthorityRecord): StoredIntermediate | undefined {
  return record.intermediates.find(({ id }) => id === record.issuing);
}

/** The root of new certificates, which is the one that join tokens name. */
export function issuingRoot(record: AuthorityRecord): StoredRoot | undefined {
  const intermediate = issuingIntermediate(record);
  return record.roots.find(({ id }) => id === intermediate?.root);
}

/**
 * Begins a rotation. An intermediate of the root that issues takes over at once, because every process trusts it. A new root is
 * announced first, for as long as the overlap.
 */
export function withNewIssuer(
  record: AuthorityRecord,
  { root, intermediate }: NewIssuer,
  {
    nowMs,
    overlapMs,
    announceMs = overlapMs,
  }: { readonly nowMs: number; readonly overlapMs: number; readonly announceMs?: number },
): AuthorityRecord {
  const isKnown = record.roots.some(({ id }) => id === intermediate.root);
  const grown: AuthorityRecord = {
    ...record,
    roots: isKnown || !root ? record.roots : [...record.roots, root],
    intermediates: [...record.intermediates.filter(({ id }) => id !== intermediate.id), intermediate],
  };
  if (intermediate.root === issuingRoot(record)?.id) return issuingFrom(grown, intermediate, { nowMs, overlapMs });
  return { ...grown, next: { intermediate: intermediate.id, atMs: nowMs + announceMs, overlapMs } };
}

/** New certificates come from this intermediate. The old one, and its root, go once nothing of them is in use. */
function issuingFrom(
  record: AuthorityRecord,
  chosen: StoredIntermediate,
  { nowMs, overlapMs }: { readonly nowMs: number; readonly overlapMs: number },
): AuthorityRecord {
  const announced = record.intermediates.find(({ id }) => id === record.next?.intermediate);
  const removeAtMs = nowMs + CERTIFICATE_SECONDS * 1000 + SLACK_MS + overlapMs;
  return {
    ...record,
    issuing: chosen.id,
    roots: retired(record.roots, new Set([chosen.root, announced?.root]), removeAtMs),
    intermediates: retired(record.intermediates, new Set([chosen.id, announced?.id]), removeAtMs),
  };
}

/** All but those that stay are removed then, or earlier if they were to be. */
function retired<T extends { readonly id: string; readonly removeAtMs?: number }>(
  all: readonly T[],
  staying: ReadonlySet<string | undefined>,
  removeAtMs: number,
): T[] {
  return all.map((one) => {
    const { removeAtMs: before = removeAtMs, ...rest } = one;
    return (staying.has(one.id) ? rest : { ...one, removeAtMs: before }) as T;
  });
}

/** The step that is due; undefined when there is none. */
export function dueStep(record: AuthorityRecord, nowMs: number): AuthorityStep | undefined {
  const { next, roots, intermediates } = record;
  if (next && nowMs >= next.atMs) return "switch";
  if ([...roots, ...intermediates].some(({ removeAtMs = Infinity }) => nowMs >= removeAtMs)) return "remove";
  const intermediate = issuingIntermediate(record);
  const root = issuingRoot(record);
  if (root?.sealed === undefined || !intermediate) return undefined;
  if (!next && root.expiresAtMs - nowMs < ROOT_RENEW_MS) return "rotate-root";
  // A root that ends earlier cannot give a longer life.
  const endMs = Math.min(nowMs + INTERMEDIATE_MS, root.expiresAtMs);
  const isDue = intermediate.expiresAtMs - nowMs < INTERMEDIATE_RENEW_MS && endMs > intermediate.expiresAtMs;
  return isDue ? "renew-intermediate" : undefined;
}

/** The record after a step that needs no key. */
export function withStep(record: AuthorityRecord, step: "switch" | "remove", nowMs: number): AuthorityRecord {
  if (step === "switch") {
    const { next, ...rest } = record;
    const chosen = next && record.intermediates.find(({ id }) => id === next.intermediate);
    return chosen ? issuingFrom(rest, chosen, { nowMs, overlapMs: next.overlapMs }) : rest;
  }
  const stays = ({ removeAtMs = Infinity }: { readonly removeAtMs?: number }) => nowMs < removeAtMs;
  return { ...record, roots: record.roots.filter(stays), intermediates: record.intermediates.filter(stays) };
}
