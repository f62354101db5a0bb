/** Certificates as the console lists them. */
import { describe, expect, test } from "vitest";
import type { CertificateSummary } from "#identity/api";
import {
  groupedFingerprint,
  lifeOf,
  looksImportable,
  matchesCertificate,
  replacedSerials,
  workloadOf,
} from "../../../console/pages/certificates/core.ts";

const HOUR_MS = 3_600_000;
const NOW_MS = Date.parse("2026-06-01T12:00:00Z");
const at = (hours: number) => new Date(NOW_MS + hours * HOUR_MS).toISOString();
const certificate = (more: Partial<CertificateSummary> = {}): CertificateSummary => ({
  serial: "0a",
  spiffeId: "spiffe://posthouse/ns/prod/service/orders",
  issuedAt: at(-6),
  expiresAt: at(18),
  by: "agent:web-1",
  ...more,
});

test.each([
  ["spiffe://posthouse/ns/prod/service/orders", { kind: "service", namespace: "prod", name: "orders" }],
  ["spiffe://x.test/agent/web-1", { kind: "agent", namespace: undefined, name: "web-1" }],
  ["spiffe://x.test/member/n.1", { kind: "member", namespace: undefined, name: "n.1" }],
  ["spiffe://x.test/else", { kind: "other", namespace: undefined, name: "spiffe://x.test/else" }],
])("%s", (id, workload) => expect(workloadOf(id)).toEqual(workload));

describe("what is left of a life", () => {
  test.each([
    ["valid", 0.75, certificate()],
    ["valid", 0.25, certificate({ issuedAt: at(-18), expiresAt: at(6) })],
    ["late", 0.125, certificate({ issuedAt: at(-21), expiresAt: at(3) })],
    ["expired", 0, certificate({ issuedAt: at(-25), expiresAt: at(0) })],
    ["revoked", 0.75, certificate({ revoked: { at: at(-1), by: "operator" } })],
    // A clock that is behind.
    ["valid", 1, certificate({ issuedAt: at(1), expiresAt: at(25) })],
  ])("%s, %f", (state, share, one) => expect(lifeOf(one, NOW_MS)).toEqual({ state, share }));
});

test("a certificate is replaced by a later one of the same workload only", () => {
  const old = certificate({ serial: "old", expiresAt: at(2) });
  const other = certificate({ serial: "other", spiffeId: "spiffe://posthouse/agent/web-1", expiresAt: at(1) });
  expect([...replacedSerials([certificate(), old, other])]).toEqual(["old"]);
});

test("a filter finds workloads, serials, names and requesters", () => {
  const one = certificate({ dns: ["orders.internal"], ips: ["10.0.0.7"] });
  for (const words of ["ORDERS", "0a", "internal", "10.0", "web-1", ""])
    expect(matchesCertificate(one, words)).toBe(true);
  expect(matchesCertificate(one, "stock")).toBe(false);
});

test("a fingerprint is grouped without losing a digit", () => {
  const print = "0123456789abcdef".repeat(4);
  expect(groupedFingerprint(print).replaceAll(" ", "")).toBe(print);
  expect(groupedFingerprint(print).split(" ")).toHaveLength(8);
});

test("an import has certificates and a key without a passphrase", () => {
  const certificate = "-----BEGIN CERTIFICATE-----\n";
  expect(looksImportable({ certificate, key: "-----BEGIN PRIVATE KEY-----\n" })).toBe(true);
  expect(looksImportable({ certificate, key: "-----BEGIN EC PRIVATE KEY-----\n" })).toBe(true);
  expect(looksImportable({ certificate, key: "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" })).toBe(false);
  expect(looksImportable({ certificate: "", key: "-----BEGIN PRIVATE KEY-----\n" })).toBe(false);
});
