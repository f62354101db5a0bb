/** Revocations in the trust bundle: how they get there, how they leave, and how many there may be. */
import { expect, test } from "vitest";
import { REVOKED_MAX } from "#identity/api";
import { listedRevocations } from "#identity/core";
import { tempFolder } from "#test/kit";
import { ORDERS, requestFor, SPIFFE_ORDERS, startAuthority, WallClock } from "./kit.ts";

const HOUR_MS = 3_600_000;

test("revoked certificates are in the bundle and in its watch until they end, also those of a removed node's services", async () => {
  await using folder = await tempFolder();
  const clock = new WallClock(Date.now());
  await using member = await startAuthority({ clock });
  const { authority, joins } = member;
  const csr = async (name: string) => (await requestFor(folder.path, [`URI:${name}`])).pem;
  const issue = async (by: string, ttlSeconds = 86_400) =>
    (await authority.issue({ csr: await csr(SPIFFE_ORDERS), workload: ORDERS, by, ttlSeconds })).serial;
  const [short, long, other] = [await issue("test", 3_600), await issue("test"), await issue("agent:web-2")];
  let changes = 0;
  authority.revocations.onChange(() => changes++);
  const before = authority.bundle();
  expect(before.revoked).toEqual([]);
  await authority.revoke(short, "test");
  await authority.revoke(long, "test");
  await expect.poll(() => authority.bundle().revoked).toEqual([long, short]);
  expect([...authority.revocations.serials]).toEqual([long, short]);
  expect(changes).toBe(2);
  // A watch that knew the bundle of before gets the new one.
  expect(authority.bundle().revision).toBeGreaterThan(before.revision);

  const { token } = await joins.createToken({ kind: "agent", name: "web-1" }, "test");
  const { serial } = await joins.join({ token, csr: await csr("spiffe://posthouse/agent/web-1") });
  const ofService = await issue("agent:web-1");
  await expect.poll(() => joins.nodes()).toHaveLength(1);
  await joins.removeNode("agent", "web-1", "test");
  await expect.poll(() => authority.bundle().revoked.toSorted()).toEqual([short, long, serial, ofService].toSorted());
  expect(authority.bundle().revoked).not.toContain(other);

  clock.move(2 * HOUR_MS);
  expect(authority.bundle().revoked.toSorted()).toEqual([long, serial, ofService].toSorted());
  expect(authority.isRevoked(short)).toBe(true);
});

test("beyond its limit the bundle has the certificates that end last, and counts the others", () => {
  const all = Array.from({ length: REVOKED_MAX + 3 }, (_, at) => ({ serial: String(at), expiresAtMs: 1_000 + at }));
  const { revoked, revokedMore } = listedRevocations(all, { nowMs: 1_000, max: REVOKED_MAX });
  expect([revoked.length, revokedMore]).toEqual([REVOKED_MAX, 2]);
  expect(revoked[0]).toBe(String(REVOKED_MAX + 2));
  expect(revoked).not.toContain("2");
});
