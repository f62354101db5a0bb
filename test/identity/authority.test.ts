/** The authority issues certificates that OpenSSL verifies, and verifies those of peers: each bad one has its own code. */
import { generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempFolder } from "#test/kit";
import {
  certificatesIn,
  leafOf,
  openssl,
  opensslVerify,
  ORDERS,
  requestFor,
  SPIFFE_ORDERS,
  startAuthority,
  WallClock,
} from "./kit.ts";

const NOW = Date.parse("2026-11-30T12:00:00Z");

test("OpenSSL verifies the chain of a certificate, and prints its names", async () => {
  await using folder = await tempFolder();
  await using one = await startAuthority();
  const request = await requestFor(folder.path, [`URI:${SPIFFE_ORDERS}`]);
  const issued = await one.authority.issue({
    csr: request.pem,
    workload: ORDERS,
    dns: ["orders", "orders.prod"],
    ips: ["10.0.0.7", "fd00::7"],
    by: "test",
  });
  const [leaf, intermediate] = certificatesIn(issued.certificate);
  await writeFile(join(folder.path, "leaf.pem"), String(leaf));
  await writeFile(join(folder.path, "chain.pem"), String(intermediate));
  await writeFile(join(folder.path, "bundle.pem"), issued.bundle);
  const verified = await opensslVerify(
    folder.path,
    { roots: "bundle.pem", between: "chain.pem", leaf: "leaf.pem" },
    "-purpose",
    "sslserver",
  );
  expect(verified).toMatch(/leaf\.pem: OK/);
  const text = await openssl("x509", "-in", join(folder.path, "leaf.pem"), "-noout", "-text");
  expect(text).toContain(
    `URI:${SPIFFE_ORDERS}, DNS:orders, DNS:orders.prod, IP Address:10.0.0.7, IP Address:FD00:0:0:0:0:0:0:7`,
  );
  expect(text).toContain("CA:FALSE");
  expect(text).toMatch(/Digital Signature\n/);
  expect(text).toContain("TLS Web Server Authentication, TLS Web Client Authentication");
  expect(leaf?.checkPrivateKey(request.key)).toBe(true);
  expect(leaf?.serialNumber.toLowerCase()).toBe(issued.serial);
  expect(one.authority.verifyPeer(leaf?.raw ?? Buffer.alloc(0))).toMatchObject({
    spiffeId: SPIFFE_ORDERS,
    workload: ORDERS,
    serial: issued.serial,
  });
});

test.for([
  ["P-384", generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey],
  ["Ed25519", generateKeyPairSync("ed25519").privateKey],
  ["RSA 2048", generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey],
] as const)("a request with a key of type %s gets a certificate", async ([, key]) => {
  await using folder = await tempFolder();
  await using one = await startAuthority();
  const { pem } = await requestFor(folder.path, [`URI:${SPIFFE_ORDERS}`], key);
  const issued = await one.authority.issue({ csr: pem, workload: ORDERS, by: "test" });
  expect(leafOf(issued.certificate).checkPrivateKey(key)).toBe(true);
});

test("a certificate lasts a day, begins five minutes early, and is accepted only in between", async () => {
  const clock = new WallClock(NOW);
  await using folder = await tempFolder();
  await using one = await startAuthority({ clock });
  const { pem } = await requestFor(folder.path, []);
  const issued = await one.authority.issue({ csr: pem, workload: ORDERS, by: "test" });
  const leaf = leafOf(issued.certificate);
  const [beginMs, endMs] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()];
  expect(endMs - beginMs).toBe(86_400_000 + 300_000);
  expect(endMs).toBe(issued.expiresAtMs);
  clock.move(86_340_000);
  one.authority.verifyPeer(leaf.raw);
  clock.move(60_000);
  expect(() => one.authority.verifyPeer(leaf.raw)).toThrow(
    expect.objectContaining({ code: "IDENTITY_CERTIFICATE_EXPIRED" }),
  );
});
