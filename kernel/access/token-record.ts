/** A token as the store keeps it: its principal, and how operators see it. */
import { EVERY_NAME, isLimited, type Principal } from "#http";
import type { TokenSummary } from "./api.ts";

export const ACCESS_PREFIX = "/access/";
export const TOKENS_PREFIX = `${ACCESS_PREFIX}tokens/`;

export interface TokenRecord {
  readonly name: string;
  readonly role: Principal["role"];
  readonly sha256: string;
  readonly createdAtMs: number;
  readonly expiresAtMs?: number;
  readonly namespaces?: readonly string[];
  readonly apps?: readonly string[];
  readonly services?: readonly string[];
  /** Absent: written by a version without limits, in which the role agent read the secrets of every app. */
  readonly format?: 2;
}

/** The principal of a token is its role and name, so a replacement token owns everything that the previous one owned. */
export function tokenPrincipal(tokenId: string, record: TokenRecord): Principal {
  const { name, role, apps, format, expiresAtMs } = record;
  const limits = tokenLimits(record);
  const secretApps = apps ?? (format === undefined ? [EVERY_NAME] : []);
  return {
    id: `${role}:${name}`,
    name,
    role,
    secretApps,
    tokenId,
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
    ...(isLimited(limits) ? { limits } : {}),
  };
}

export function tokenLimits({
  namespaces,
  apps,
  services,
}: Pick<TokenRecord, "namespaces" | "apps" | "services">): Pick<TokenSummary, "namespaces" | "apps" | "services"> {
  return {
    ...(namespaces === undefined ? {} : { namespaces: [...namespaces] }),
    ...(apps === undefined ? {} : { apps: [...apps] }),
    ...(services === undefined ? {} : { services: [...services] }),
  };
}

export function tokenSummary(id: string, record: TokenRecord): TokenSummary {
  const { name, role, createdAtMs, expiresAtMs } = record;
  return {
    id,
    name,
    role,
    ...tokenLimits(record),
    createdAt: new Date(createdAtMs).toISOString(),
    ...(expiresAtMs === undefined ? {} : { expiresAt: new Date(expiresAtMs).toISOString() }),
  };
}
