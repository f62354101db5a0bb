/** Answers over UDP: what records say, and what a client receives when there is nothing. `names.test.ts` has all names. */
import { expect, test } from "vitest";
import { ask, catalogOfNames, instance, testCatalog, testDns } from "./kit.ts";

test.each([
  ["orders.service.posthouse", "A", "NOERROR", 1],
  ["orders.service.posthouse", "MX", "NOERROR", 0],
  ["nobody.service.posthouse", "A", "NXDOMAIN", 0],
  ["example.com", "A", "REFUSED", 0],
  ["9.9.9.9.in-addr.arpa", "PTR", "REFUSED", 0],
  ["orders.service.elsewhere.ns.posthouse", "A", "REFUSED", 0],
  ["posthouse", "AXFR", "REFUSED", 0],
] as const)("%s %s: %s, %i records", async (name, type, rcode, count) => {
  await using dns = await testDns(catalogOfNames());
  const found = await ask(dns.port, name, type);
  expect([found.rcode, found.packet.answers?.length]).toEqual([rcode, count]);
  const ours = rcode !== "REFUSED";
  expect([found.packet.flag_aa, found.packet.flag_ra, found.packet.flag_rd]).toEqual([ours, false, true]);
  // A negative answer says how long it is valid.
  const soa = (found.packet.authorities ?? []).map(({ name, type }) => `${name} ${type}`);
  expect(soa).toEqual(ours && count === 0 ? ["posthouse SOA"] : []);
});

test("records say what the instances are", async () => {
  await using dns = await testDns(catalogOfNames());
  expect((await ask(dns.port, "orders.service.posthouse", "AAAA")).data).toEqual(["fd00::2"]);
  expect((await ask(dns.port, "cloud.service.posthouse", "SRV")).data).toEqual([
    { priority: 1, weight: 100, port: 443, target: "cloud.example.com" },
  ]);
  const [srv] = (await ask(dns.port, "orders.service.eu-2.zone.posthouse", "SRV")).data as { target: string }[];
  // An id that is not a valid label is converted to one, and that name leads back to the instance.
  expect(srv?.target).toMatch(/^two-b--[0-9a-z]{11}\.orders\.instance\.posthouse$/);
  const back = await ask(dns.port, srv?.target ?? "", "AAAA");
  expect([back.rcode, back.data]).toEqual(["NOERROR", ["fd00::2"]]);
  const text = await ask(dns.port, "one.orders.instance.posthouse", "TXT");
  expect((text.data[0] as Buffer[]).map(String)).toEqual(["id=one", "version=2"]);
  const any = await ask(dns.port, "orders.service.posthouse", "ANY");
  expect(any.data).toEqual([{ cpu: "RFC8482", os: "" }]);
});

test("two ids never share a name", async () => {
  const ids = ["a.b", "a_b", "A-b", "a-b", "a--b", "A.B"];
  const catalog = testCatalog(...ids.map((id, i) => instance(id, { port: 4000 + i })));
  await using dns = await testDns(catalog);
  const srv = (await ask(dns.port, "orders.service.posthouse", "SRV", {})).data as { target: string; port: number }[];
  expect(new Set(srv.map(({ target }) => target)).size).toBe(ids.length);
  for (const { target, port } of srv) {
    expect((await ask(dns.port, target, "SRV")).data).toMatchObject([{ port, target }]);
  }
});

test("critical, draining and idle instances are not named; unknown ones are named only without any other", async () => {
  const catalog = testCatalog(
    instance("good", { address: "10.0.0.1" }),
    instance("slow", { address: "10.0.0.2", status: "warning" }),
    instance("bad", { address: "10.0.0.3", status: "critical" }),
    instance("leaving", { address: "10.0.0.4", lifecycle: "draining" }),
    instance("new", { address: "10.0.0.5", status: "unknown" }),
    instance("idle", { address: "10.0.0.6", weight: 0 }),
  );
  await using dns = await testDns(catalog);
  const named = async () => (await ask(dns.port, "orders.service.posthouse")).data.map(String).toSorted();
  expect(await named()).toEqual(["10.0.0.1", "10.0.0.2"]);
  catalog.put(instance("good", { address: "10.0.0.1", status: "critical" }));
  expect(await named()).toEqual(["10.0.0.2"]);
  catalog.put(instance("slow", { address: "10.0.0.2", lifecycle: "draining" }));
  expect(await named()).toEqual(["10.0.0.5"]);
  catalog.put(instance("new", { address: "10.0.0.5", status: "critical" }));
  expect(await named()).toEqual([]);
  catalog.put(instance("good", { address: "10.0.0.1" }));
  expect(await named()).toEqual(["10.0.0.1"]);
  for (const id of ["good", "slow", "bad", "leaving", "new", "idle"]) catalog.remove(id);
  expect((await ask(dns.port, "orders.service.posthouse")).rcode).toBe("NXDOMAIN");
});

test("names that span services follow changes, too", async () => {
  const catalog = testCatalog(instance("one", { zone: "eu-1" }));
  await using dns = await testDns(catalog);
  const rcodes = async () =>
    Promise.all(
      ["1.0.0.10.in-addr.arpa", "eu-1.zone.posthouse"].map(async (name) => (await ask(dns.port, name, "PTR")).rcode),
    );
  expect(await rcodes()).toEqual(["NOERROR", "NOERROR"]);
  catalog.put(instance("one", { zone: "eu-2", address: "10.0.0.2" }));
  expect(await rcodes()).toEqual(["REFUSED", "NXDOMAIN"]);
  catalog.put(instance("b", { service: "billing", zone: "eu-1" }));
  expect(await rcodes()).toEqual(["NOERROR", "NOERROR"]);
});

test("before the catalog was read nothing is said to be missing", async () => {
  const catalog = testCatalog();
  catalog.isReady = false;
  await using dns = await testDns(catalog);
  expect((await ask(dns.port, "orders.service.posthouse")).rcode).toBe("SERVFAIL");
  catalog.isReady = true;
  catalog.put(instance("one"));
  expect((await ask(dns.port, "orders.service.posthouse")).rcode).toBe("NOERROR");
});

test("the first is drawn by weight, also from answers kept ready; a zone that is near comes first (seed 7)", async () => {
  const catalog = testCatalog(
    instance("a", { address: "10.0.0.1", weight: 100, zone: "eu-1" }),
    instance("b", { address: "10.0.0.2", weight: 200, zone: "eu-1" }),
    instance("c", { address: "10.0.0.3", weight: 700, zone: "eu-2" }),
  );
  const firsts = async (port: number) => {
    const counts = new Map<unknown, number>();
    for (let i = 0; i < 4_000; i++) {
      const { data } = await ask(port, "orders.service.posthouse");
      expect(data).toHaveLength(3);
      counts.set(data[0], (counts.get(data[0]) ?? 0) + 1 / 4_000);
    }
    return ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map((address) => counts.get(address) ?? 0);
  };
  await using dns = await testDns(catalog, { seed: 7 });
  const [a = 0, b = 0, c = 0] = await firsts(dns.port);
  // 4,000 answers are some 300 draws: 0.1 here may be 0.05 to 0.15.
  expect([Math.abs(a - 0.1), Math.abs(b - 0.2), Math.abs(c - 0.7)].every((off) => off < 0.06)).toBe(true);
  await using near = await testDns(catalog, { seed: 7, zone: { near: "eu-1" } });
  const [nearA = 0, nearB = 0, far = 0] = await firsts(near.port);
  expect([far, Math.abs(nearA - 1 / 3) < 0.1, Math.abs(nearB - 2 / 3) < 0.1]).toEqual([0, true, true]);
  const srv = (await ask(near.port, "orders.service.posthouse", "SRV")).data as { priority: number; weight: number }[];
  expect(srv.map(({ priority }) => priority)).toEqual([1, 1, 2]);
  expect(srv[2]?.weight).toBe(700);
});
