/** Each certificate that must not be accepted, with the code of its reason, and the clocks of both ends a day apart. */
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TempFolder, tempFolder } from "#test/kit";
import { leafOf, ORDERS, requestFor, SPIFFE_ORDERS, startAuthority, type TestAuthority, WallClock } from "./kit.ts";
import { openssl } from "./kit.ts";

const DAY_MS = 86_400_000;
const clock = new WallClock(Date.parse("2026-11-30T12:00:00Z"));
let folder: TempFolder;
let one: TestAuthority;

beforeAll(async () => {
  folder = await tempFolder();
  one = await startAuthority({ clock });
});
afterAll(async () => {
  await one[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const issued = async (authority = one) => {
  const { pem } = await requestFor(folder.path, []);
  return authority.authority.issue({ csr: pem, workload: ORDERS, by: "test" });
};

function codeOf(certificate: X509Certificate | Buffer): string | undefined {
  try {
    one.authority.verifyPeer(certificate instanceof X509Certificate ? certificate.raw : certificate);
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code;
  }
}

test("an expired certificate, and one of a clock that is a day behind", async () => {
  const leaf = leafOf((await issued()).certificate);
  expect(codeOf(leaf)).toBeUndefined();
  clock.move(DAY_MS);
  expect(codeOf(leaf)).toBe("IDENTITY_CERTIFICATE_EXPIRED");
  clock.move(-2 * DAY_MS);
  expect(codeOf(leaf)).toBe("IDENTITY_CERTIFICATE_NOT_YET_VALID");
  clock.move(DAY_MS);
  expect(codeOf(leaf)).toBeUndefined();
});

test("a certificate of another installation, and one that a workload made itself", async () => {
  await using other = await startAuthority({ clock });
  expect(codeOf(leafOf((await issued(other)).certificate))).toBe("IDENTITY_CERTIFICATE_UNKNOWN_ISSUER");
  const key = `${folder.path}/own.key`;
  const made = `${folder.path}/own.pem`;
  await openssl(
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    key,
    "-out",
    made,
    "-subj",
    "/CN=x",
    "-addext",
    `subjectAltName=URI:${SPIFFE_ORDERS}`,
    "-days",
    "1",
  );
  const own = new X509Certificate((await import("node:fs")).readFileSync(made));
  expect(codeOf(own)).toBe("IDENTITY_CERTIFICATE_UNKNOWN_ISSUER");
  expect(codeOf(Buffer.from("not a certificate"))).toBe("IDENTITY_CERTIFICATE_UNREADABLE");
});

test("a revoked certificate, from the moment of its revocation", async () => {
  const { certificate, serial } = await issued();
  const leaf = leafOf(certificate);
  expect(codeOf(leaf)).toBeUndefined();
  await one.authority.revoke(serial, "test");
  await expect.poll(() => codeOf(leaf)).toBe("IDENTITY_CERTIFICATE_REVOKED");
});

test("the authority's own certificates are not workloads", async () => {
  const { certificate, bundle } = await issued();
  const [, intermediate] = certificate.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  expect(codeOf(new X509Certificate(intermediate ?? ""))).toBe("IDENTITY_CERTIFICATE_UNKNOWN_ISSUER");
  expect(codeOf(new X509Certificate(bundle))).toBe("IDENTITY_CERTIFICATE_UNKNOWN_ISSUER");
});

test("no bit of a certificate can be changed", async () => {
  const { raw } = leafOf((await issued()).certificate);
  const accepted: number[] = [];
  for (let at = 0; at < raw.length; at++) {
    const changed = Buffer.from(raw);
    changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
    if (codeOf(changed) === undefined) accepted.push(at);
  }
  expect(accepted).toEqual([]);
});

test("a certificate of this authority for a name of another trust domain", async () => {
  const { keys, state } = one.authority;
  const issuer = await keys.issuer(state.authority?.record ?? (await one.authority.ensure()));
  const { makeLeaf } = await import("../../kernel/identity/x509/leaf.ts");
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  const nowMs = clock.now();
  const leaf = (spiffeId: string) =>
    leafOf(
      makeLeaf(issuer, {
        serial: `4${"0".repeat(31)}`,
        spki,
        spiffeId,
        dns: [],
        ips: [],
        notBeforeMs: nowMs - 1_000,
        notAfterMs: nowMs + 60_000,
      }),
    );
  expect(codeOf(leaf(SPIFFE_ORDERS))).toBeUndefined();
  expect(codeOf(leaf("spiffe://elsewhere/ns/prod/service/orders"))).toBe("IDENTITY_CERTIFICATE_WRONG_NAME");
  expect(codeOf(leaf("https://posthouse/"))).toBe("IDENTITY_CERTIFICATE_WRONG_NAME");
  expect(codeOf(leaf("spiffe://posthouse/agent/never-joined"))).toBe("IDENTITY_CERTIFICATE_REVOKED");
});
