/** Rotations, imports and lost keys of a real authority, with other members over the same store. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { keyLine } from "#config-server";
import { openMemoryStore } from "#store";
import { eventually, tempFolder, testHost } from "#test/kit";
import {
  certificatesIn,
  changingKeys,
  leafOf,
  openssl,
  opensslVerify,
  ORDERS,
  requestFor,
  startAuthority,
  type TestAuthority,
  WallClock,
} from "./kit.ts";

const DAY_MS = 86_400_000;
const issue = async (one: TestAuthority, folder: string) => {
  const { pem } = await requestFor(folder, []);
  return one.authority.issue({ csr: pem, workload: ORDERS, by: "test" });
};
const fingerprintOf = (pem: string, at: number) => certificatesIn(pem)[at]?.fingerprint256;

test("members that start at once share one authority, and see each other's certificates and revocations", async () => {
  await using folder = await tempFolder();
  const host = testHost();
  await using store = openMemoryStore(host);
  const keys = changingKeys(host).source;
  const members = await Promise.all(
    ["m1", "m2", "m3"].map((member) =>
      startAuthority({ host: testHost({ seed: member.charCodeAt(1) }), store, keys, member }),
    ),
  );
  const [a, b] = members as [TestAuthority, TestAuthority];
  await Promise.all(members.map(({ authority }) => authority.ensure()));
  expect(new Set(members.map(({ authority }) => authority.fingerprint)).size).toBe(1);
  const { certificate, serial } = await issue(a, folder.path);
  expect((await b.authority.verifyNewPeer(leafOf(certificate).raw)).serial).toBe(serial);
  await eventually("the other member has the record", () => b.authority.state.certificates.has(serial));
  await b.authority.revoke(serial, "test");
  await eventually("the first member rejects it", () => {
    try {
      return void a.authority.verifyPeer(leafOf(certificate).raw);
    } catch (error) {
      return (error as { code: string }).code === "IDENTITY_CERTIFICATE_REVOKED";
    }
  });
  for (const one of members) await one[Symbol.asyncDispose]();
});

test("a rotation of the root: announced, then issuing, then alone; what was issued stays valid throughout", async () => {
  await using folder = await tempFolder();
  const clock = new WallClock(Date.parse("2026-11-30T12:00:00Z"));
  await using one = await startAuthority({ clock });
  const before = await issue(one, folder.path);
  await one.rotations.rotate({ part: "root" }, "test");
  await expect(one.rotations.rotate({ part: "root" }, "test")).rejects.toMatchObject({
    code: "IDENTITY_ROTATION_UNDER_WAY",
  });
  expect(certificatesIn(one.authority.bundle().pem).length).toBe(2);
  const announced = await issue(one, folder.path);
  expect(fingerprintOf(announced.certificate, 1)).toBe(fingerprintOf(before.certificate, 1));
  clock.move(8 * DAY_MS + 1_000);
  await one.rotations.look();
  const after = await issue(one, folder.path);
  expect(fingerprintOf(after.certificate, 1)).not.toBe(fingerprintOf(before.certificate, 1));
  // Its certificate ended, and can still be exchanged; nothing about its issuer was lost.
  expect(one.authority.verifyPeer(leafOf(announced.certificate).raw, { graceMs: 8 * DAY_MS }).serial).toBe(
    announced.serial,
  );
  clock.move(10 * DAY_MS);
  await one.rotations.look();
  expect(certificatesIn(one.authority.bundle().pem).length).toBe(1);
  expect(() => one.authority.verifyPeer(leafOf(before.certificate).raw)).toThrow(
    expect.objectContaining({ code: "IDENTITY_CERTIFICATE_UNKNOWN_ISSUER" }),
  );
});

test("a new intermediate issues at once, and certificates of the old one stay valid", async () => {
  await using folder = await tempFolder();
  await using one = await startAuthority();
  const before = await issue(one, folder.path);
  await one.rotations.rotate({ part: "intermediate" }, "test");
  const after = await issue(one, folder.path);
  expect(fingerprintOf(after.certificate, 1)).not.toBe(fingerprintOf(before.certificate, 1));
  expect(after.bundle).toBe(before.bundle);
  for (const { certificate } of [before, after]) one.authority.verifyPeer(leafOf(certificate).raw);
});

test("before its end the intermediate is renewed, by whichever member looks", async () => {
  const clock = new WallClock(Date.parse("2026-11-30T12:00:00Z"));
  const host = testHost({ clock });
  await using store = openMemoryStore(host);
  const keys = changingKeys(host).source;
  await using a = await startAuthority({ host, store, keys });
  await using b = await startAuthority({ host: testHost({ clock, seed: 2 }), store, keys });
  await Promise.all([a.authority.ensure(), b.authority.ensure()]);
  clock.move(61 * DAY_MS);
  await Promise.all([a.rotations.look(), b.rotations.look()]);
  const record = await a.authority.ensure();
  expect(record.intermediates.length).toBe(2);
  expect(record.intermediates.find(({ id }) => id === record.issuing)?.expiresAtMs).toBeGreaterThan(
    clock.now() + 80 * DAY_MS,
  );
});

/** An authority of a company: a root, and an intermediate below it, by OpenSSL. */
async function outsideAuthority(folder: string) {
  const at = (name: string) => join(folder, name);
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes"];
  await openssl(
    "req",
    "-x509",
    ...curve,
    "-keyout",
    at("root.key"),
    "-out",
    at("root.pem"),
    "-subj",
    "/C=NL/O=Harbor/CN=Harbor root",
    "-days",
    "400",
    "-addext",
    "basicConstraints=critical,CA:TRUE",
    "-addext",
    "keyUsage=critical,keyCertSign,cRLSign",
  );
  await openssl(
    "req",
    ...curve,
    "-keyout",
    at("int.key"),
    "-out",
    at("int.csr"),
    "-subj",
    "/C=NL/O=Harbor/CN=Harbor services",
  );
  await writeFile(
    at("int.ext"),
    "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n",
  );
  await openssl(
    "x509",
    "-req",
    "-in",
    at("int.csr"),
    "-CA",
    at("root.pem"),
    "-CAkey",
    at("root.key"),
    "-out",
    at("int.pem"),
    "-days",
    "200",
    "-extfile",
    at("int.ext"),
  );
  const { readFile } = await import("node:fs/promises");
  const text = (name: string) => readFile(at(name), "utf8");
  return {
    root: await text("root.pem"),
    rootKey: await text("root.key"),
    intermediate: await text("int.pem"),
    key: await text("int.key"),
  };
}

test("an outside intermediate is imported: OpenSSL verifies its certificates against the outside root", async () => {
  await using folder = await tempFolder();
  await using one = await startAuthority();
  const before = await issue(one, folder.path);
  const outside = await outsideAuthority(folder.path);
  await one.rotations.import(
    { certificate: outside.intermediate + outside.root, key: outside.key, overlapSeconds: 0 },
    "test",
  );
  const issued = await issue(one, folder.path);
  await writeFile(join(folder.path, "leaf.pem"), String(leafOf(issued.certificate)));
  const verified = await opensslVerify(folder.path, { roots: "root.pem", between: "int.pem", leaf: "leaf.pem" });
  expect(verified).toMatch(/OK/);
  for (const { certificate } of [before, issued]) one.authority.verifyPeer(leafOf(certificate).raw);
  await expect(one.rotations.rotate({ part: "intermediate" }, "test")).rejects.toMatchObject({
    code: "IDENTITY_ROTATION_NOT_POSSIBLE",
  });
});

test("an outside root is imported with an intermediate of ours below it", async () => {
  await using folder = await tempFolder();
  await using one = await startAuthority();
  const outside = await outsideAuthority(folder.path);
  await one.rotations.import({ certificate: outside.root, key: outside.rootKey, overlapSeconds: 0 }, "test");
  const issued = await issue(one, folder.path);
  await writeFile(join(folder.path, "leaf.pem"), String(leafOf(issued.certificate)));
  await writeFile(join(folder.path, "ours.pem"), String(certificatesIn(issued.certificate)[1]));
  const verified = await opensslVerify(folder.path, { roots: "root.pem", between: "ours.pem", leaf: "leaf.pem" });
  expect(verified).toMatch(/OK/);
});

test("an import that cannot be used names what is wrong, and changes nothing", async () => {
  await using folder = await tempFolder();
  await using one = await startAuthority();
  const outside = await outsideAuthority(folder.path);
  const { certificate } = await issue(one, folder.path);
  const before = one.authority.bundle().pem;
  const bad: Record<string, { certificate: string; key: string; says: RegExp }> = {
    "another key": { certificate: outside.root, key: outside.key, says: /does not belong/ },
    "no root": { certificate: outside.intermediate, key: outside.key, says: /not a root/ },
    "wrong order": {
      certificate: outside.root + outside.intermediate,
      key: outside.rootKey,
      says: /not issued by the certificate after it/,
    },
    "a leaf": { certificate: String(leafOf(certificate)), key: outside.key, says: /does not belong/ },
    "no certificate": { certificate: "x", key: outside.key, says: /No certificate found/ },
    "no key": { certificate: outside.root, key: "x", says: /not a private key/ },
  };
  for (const [what, { says, ...request }] of Object.entries(bad)) {
    await expect(one.rotations.import(request, "test"), what).rejects.toMatchObject({
      code: "IDENTITY_IMPORT_INVALID",
      message: expect.stringMatching(says) as string,
    });
  }
  expect(one.authority.bundle().pem).toBe(before);
});

test("with its keys lost, the authority verifies and says so, and a new root is the way out", async () => {
  await using folder = await tempFolder();
  const host = testHost();
  const keys = changingKeys(host);
  await using one = await startAuthority({ host, keys: keys.source });
  const before = await issue(one, folder.path);
  const original = keys.text ?? "";
  keys.text = keyLine(host.random, host.clock.now());
  await one.secretKeys.reload();
  await expect(issue(one, folder.path)).rejects.toMatchObject({ code: "IDENTITY_KEYS_LOST", status: 503 });
  await one.authority.probe();
  expect(one.authority.problem?.message).toContain("authority rotate --part root");
  one.authority.verifyPeer(leafOf(before.certificate).raw);
  keys.text = original;
  await one.secretKeys.reload();
  await issue(one, folder.path);
  keys.text = keyLine(host.random, host.clock.now());
  await one.secretKeys.reload();
  await one.rotations.rotate({ part: "root" }, "test");
  const after = await issue(one, folder.path);
  expect(one.authority.problem).toBeUndefined();
  for (const { certificate } of [before, after]) one.authority.verifyPeer(leafOf(certificate).raw);
});

test("an authority needs a key for secrets", async () => {
  await using folder = await tempFolder();
  await using one = await startAuthority({ keys: { name: "none", reloadMs: 5_000, read: async () => undefined } });
  await expect(issue(one, folder.path)).rejects.toMatchObject({ code: "IDENTITY_NO_KEYS", status: 503 });
  expect(one.authority.bundle().pem).toBe("");
});

test("keys of the authority are sealed again with a new key, and the store never has one in the clear", async () => {
  const host = testHost();
  const keys = changingKeys(host);
  await using one = await startAuthority({ host, keys: keys.source });
  const record = await one.authority.ensure();
  keys.text = `${keyLine(host.random, host.clock.now())}\n${keys.text}`;
  await one.secretKeys.reload();
  const sealed = await one.authority.keys.resealed(record);
  expect(sealed.size).toBe(2);
  const id = one.secretKeys.active?.id ?? "";
  expect([...sealed.values()].every((text) => text.startsWith(`s1:${id}:`))).toBe(true);
  const { entries } = await one.store.range({ prefix: "/identity/" });
  const texts = entries.map(({ value }) => Buffer.from(value).toString()).join("");
  expect(texts).not.toMatch(/PRIVATE KEY|MIGHAgEA|MHcCAQEE/);
});
