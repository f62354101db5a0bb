/** Certificates as their lists show them: what is left of a life, and the order of attention. Pure. */
import type { CertificateSummary, ImportRequest } from "#identity/api";

/** `service orders in prod`: the parts of a SPIFFE id that people look for. */
export interface Workload {
  readonly kind: "service" | "agent" | "gateway" | "member" | "other";
  readonly namespace: string | undefined;
  readonly name: string;
}

const SERVICE = /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/service\/([^/]+)$/;
const HOST = /^spiffe:\/\/[^/]+\/(agent|gateway|member)\/([^/]+)$/;

export function workloadOf(spiffeId: string): Workload {
  const service = SERVICE.exec(spiffeId);
  if (service) return { kind: "service", namespace: service[1], name: service[2] ?? "" };
  const host = HOST.exec(spiffeId);
  if (host) return { kind: host[1] as "agent" | "gateway" | "member", namespace: undefined, name: host[2] ?? "" };
  return { kind: "other", namespace: undefined, name: spiffeId };
}

/** Share of a life below which a certificate should have been renewed: renewal begins at one half, and tries again until the end. */
const LATE_SHARE = 0.25;

export type LifeState = "valid" | "late" | "expired" | "revoked";

export interface Life {
  readonly state: LifeState;
  /** The share that is left, from 1 to 0. */
  readonly share: number;
}

export function lifeOf({ issuedAt, expiresAt, revoked }: CertificateSummary, nowMs: number): Life {
  const end = Date.parse(expiresAt);
  const share = Math.min(1, Math.max(0, (end - nowMs) / Math.max(1, end - Date.parse(issuedAt))));
  if (revoked) return { state: "revoked", share };
  if (share === 0) return { state: "expired", share };
  return { state: share < LATE_SHARE ? "late" : "valid", share };
}

/** Certificates that a newer one of the same workload replaced. They end by themselves, and need no attention. */
export function replacedSerials(certificates: readonly CertificateSummary[]): ReadonlySet<string> {
  const newest = new Map<string, CertificateSummary>();
  for (const one of certificates) {
    const known = newest.get(one.spiffeId);
    if (!known || Date.parse(known.expiresAt) < Date.parse(one.expiresAt)) newest.set(one.spiffeId, one);
  }
  return new Set(
    certificates.filter(({ spiffeId, serial }) => newest.get(spiffeId)?.serial !== serial).map(({ serial }) => serial),
  );
}

export function matchesCertificate({ spiffeId, serial, by, dns = [], ips = [] }: CertificateSummary, words: string) {
  const wanted = words.trim().toLowerCase();
  return [spiffeId, serial, by, ...dns, ...ips].some((text) => text.toLowerCase().includes(wanted));
}

/** A fingerprint in groups, which people can compare. */
export function groupedFingerprint(fingerprint: string): string {
  return fingerprint.replaceAll(/(.{8})(?=.)/g, "$1 ");
}

export const ROTATION_PHASES = ["announced", "issuing", "retiring"] as const;

/** A text of the form that an import takes: the server reads it in full. */
export function looksImportable({ certificate, key }: Pick<ImportRequest, "certificate" | "key">): boolean {
  return certificate.includes("-----BEGIN CERTIFICATE-----") && /-----BEGIN ((RSA|EC) )?PRIVATE KEY-----/.test(key);
}
