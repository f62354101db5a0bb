/** A token as the store keeps it: its principal, and how operators see it. */
import type { PolicyBook } from "#authorization";
import { canonicalJson } from "#base";
import { EVERY_NAME, isLimited, type Limits, type Principal, principalId } from "#http";
import type { TokenSummary } from "./api.ts";
import type { TokenSignIn } from "./core/token-sign-in.ts";

export const ACCESS_PREFIX = "/access/";
export const TOKENS_PREFIX = `${ACCESS_PREFIX}tokens/`;
/** The token behind the sign-in links that a start prints. It has a fixed id, so that starts share it. No caller knows its secret. */
export const CONSOLE_TOKEN_ID = "c0c0c0c0c0c0c0c0";

export interface TokenRecord {
  readonly name: string;
  readonly policies: readonly string[];
  readonly sha256: string;
  readonly createdAtMs: number;
  readonly expiresAtMs?: number;
  readonly namespaces?: readonly string[];
  readonly apps?: readonly string[];
  readonly services?: readonly string[];
  /** When its secret was last replaced, and the secret before. */
  readonly rotatedAtMs?: number;
  readonly previous?: { readonly sha256: string; readonly untilMs: number };
  /** Absent: written by a version without limits, in which the role agent read the secrets of every app. */
  readonly format?: 2;
  /** Present in a token that a sign-in made. */
  readonly signIn?: TokenSignIn;
}

/** As earlier versions wrote it: one role, which is a policy of the same name, except that a reader is now a viewer. */
type StoredRecord = Omit<TokenRecord, "policies"> & { readonly policies?: readonly string[]; readonly role?: string };

/** The apps of a token that names none. Agents and services read the configs of their own apps only, and gateways read their routes. */
const DEFAULT_APPS: ReadonlyMap<string, readonly string[]> = new Map([
  ["gateway", ["gateway"]],
  ["agent", []],
  ["service", []],
]);

/** The apps of a new token; undefined: every app. */
export function appsOf(
  policies: readonly string[],
  apps: readonly string[] | undefined,
): readonly string[] | undefined {
  if (apps !== undefined) return apps;
  const defaults = policies.flatMap((policy) => DEFAULT_APPS.get(policy) ?? []);
  return policies.some((policy) => DEFAULT_APPS.has(policy)) ? defaults : undefined;
}

export function tokenRecord({ role, policies, ...record }: StoredRecord): TokenRecord {
  return { ...record, policies: policies ?? [role === "reader" ? "viewer" : (role ?? "viewer")] };
}

/** The principal of a token is its first policy and name, so a replacement token owns everything that the previous one owned. */
export function tokenPrincipal(tokenId: string, record: TokenRecord, book: PolicyBook): Principal {
  const { name, policies, apps, format, expiresAtMs } = record;
  const limits = tokenLimits(record);
  const secretApps = apps ?? (format === undefined ? [EVERY_NAME] : []);
  const isPerson = record.signIn?.person !== undefined;
  return {
    // A person never owns what a token of the same name owns, whatever name the identity provider gives them.
    id: isPerson ? `user:${name}` : principalId(policies, name),
    name,
    kind: isPerson ? "person" : "token",
    policies,
    rights: book.rightsOf(policies),
    secretApps,
    tokenId,
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
    ...(isLimited(limits) ? { limits } : {}),
  };
}

/** Limits as records and answers have them: only those that exist, in lists of their own. */
export function tokenLimits({
  namespaces,
  apps,
  services,
}: Limits): Pick<TokenSummary, "namespaces" | "apps" | "services"> {
  return {
    ...(namespaces === undefined ? {} : { namespaces: [...namespaces] }),
    ...(apps === undefined ? {} : { apps: [...apps] }),
    ...(services === undefined ? {} : { services: [...services] }),
  };
}

/** `nowMs`: whether the previous secret is still valid depends on it. */
export function tokenSummary(id: string, record: TokenRecord, nowMs: number): TokenSummary {
  const { name, policies, createdAtMs, expiresAtMs, rotatedAtMs, previous } = record;
  return {
    id,
    name,
    policies: [...policies],
    ...tokenLimits(record),
    createdAt: new Date(createdAtMs).toISOString(),
    ...(record.signIn === undefined ? {} : { signIn: record.signIn.kind }),
    ...(expiresAtMs === undefined ? {} : { expiresAt: new Date(expiresAtMs).toISOString() }),
    ...(rotatedAtMs === undefined ? {} : { rotatedAt: new Date(rotatedAtMs).toISOString() }),
    ...(previous && nowMs < previous.untilMs ? { previousUntil: new Date(previous.untilMs).toISOString() } : {}),
  };
}

/** Whether a caller still has what it had: streams end when it does not, and their client opens them again. */
export function isSameGrant(now: Principal | undefined, then: Principal): boolean {
  return now !== undefined && now.rights === then.rights && canonicalJson(now.limits) === canonicalJson(then.limits);
}
