/** Which names exist, and which records each of them has: decided by the core, without a socket. */
import { expect, test } from "vitest";
import { answer, type Answer, type Zone } from "../../dns/core/answer.ts";
import { Directory } from "../../dns/core/directory.ts";
import { Rcode, Type } from "../../dns/core/message.ts";
import { parseReverse } from "../../dns/core/names.ts";
import { catalogOfNames, instance, testCatalog } from "./kit.ts";

const ZONE: Zone = {
  labels: ["posthouse"],
  namespace: "default",
  near: undefined,
  addresses: ["127.0.0.1", "::1"],
  ttlSeconds: 1,
};
/** Undefined: the name is outside of the zone. */
function ask(name: string, type: number, { catalog = catalogOfNames(), ready = true } = {}): Answer | undefined {
  const context = {
    directory: new Directory(catalog),
    zone: ZONE,
    ready,
    knows: (namespace: string) => namespace !== "elsewhere",
    serial: 7,
  };
  return answer({ labels: name.split("."), type }, context);
}

const TYPES: Readonly<Record<string, number>> = { ...Type, MX: 15 };

test.each([
  // There, with records.
  ["orders.service.posthouse", "A", "NOERROR", 1],
  ["orders.service.posthouse", "AAAA", "NOERROR", 1],
  ["v2.orders.service.posthouse", "A", "NOERROR", 1],
  ["orders.service.eu-1.zone.posthouse", "A", "NOERROR", 1],
  ["blue.orders.service.eu-1.zone.posthouse", "SRV", "NOERROR", 1],
  ["_orders._tcp.service.posthouse", "SRV", "NOERROR", 2],
  ["_orders._http.service.posthouse", "SRV", "NOERROR", 2],
  ["_orders._blue.service.posthouse", "SRV", "NOERROR", 1],
  ["billing.service.staging.ns.posthouse", "A", "NOERROR", 1],
  ["orders.service.default.ns.posthouse", "A", "NOERROR", 1],
  ["one.orders.instance.posthouse", "A", "NOERROR", 1],
  ["one.orders.instance.posthouse", "SRV", "NOERROR", 1],
  ["other.billing.instance.staging.ns.posthouse", "A", "NOERROR", 1],
  ["sick.broken.instance.posthouse", "A", "NOERROR", 1],
  ["far.cloud.instance.posthouse", "A", "NOERROR", 1],
  ["cloud.service.posthouse", "SRV", "NOERROR", 1],
  ["ns.posthouse", "A", "NOERROR", 1],
  // There, without such records.
  ["orders.service.posthouse", "MX", "NOERROR", 0],
  ["v2.orders.service.posthouse", "AAAA", "NOERROR", 0],
  ["_orders._tcp.service.posthouse", "A", "NOERROR", 0],
  ["cloud.service.posthouse", "A", "NOERROR", 0],
  ["broken.service.posthouse", "A", "NOERROR", 0],
  ["v9.broken.service.posthouse", "SRV", "NOERROR", 0],
  ["posthouse", "A", "NOERROR", 0],
  ["one.orders.instance.posthouse", "AAAA", "NOERROR", 0],
  // On the way to others.
  ["service.posthouse", "A", "NOERROR", 0],
  ["instance.posthouse", "A", "NOERROR", 0],
  ["zone.posthouse", "A", "NOERROR", 0],
  ["eu-1.zone.posthouse", "A", "NOERROR", 0],
  ["service.eu-1.zone.posthouse", "A", "NOERROR", 0],
  ["orders.instance.posthouse", "A", "NOERROR", 0],
  ["_tcp.service.posthouse", "SRV", "NOERROR", 0],
  ["_blue.service.posthouse", "SRV", "NOERROR", 0],
  ["staging.ns.posthouse", "A", "NOERROR", 0],
  ["service.staging.ns.posthouse", "A", "NOERROR", 0],
  // Not there.
  ["nobody.service.posthouse", "A", "NXDOMAIN", 0],
  ["red.orders.service.posthouse", "A", "NXDOMAIN", 0],
  ["a.v2.orders.service.posthouse", "A", "NXDOMAIN", 0],
  ["orders.service.eu-9.zone.posthouse", "A", "NXDOMAIN", 0],
  ["billing.service.posthouse", "A", "NXDOMAIN", 0],
  ["three.orders.instance.posthouse", "A", "NXDOMAIN", 0],
  ["x.one.orders.instance.posthouse", "A", "NXDOMAIN", 0],
  ["_orders._red.service.posthouse", "SRV", "NXDOMAIN", 0],
  ["_red.service.posthouse", "SRV", "NXDOMAIN", 0],
  ["eu-9.zone.posthouse", "A", "NXDOMAIN", 0],
  ["nowhere.ns.posthouse", "A", "NXDOMAIN", 0],
  ["orders.posthouse", "A", "NXDOMAIN", 0],
  ["eu-1.orders.instance.eu-1.zone.posthouse", "A", "NXDOMAIN", 0],
  // None of ours.
  ["example.com", "A", "outside", 0],
  ["notposthouse", "A", "outside", 0],
  ["9.9.9.9.in-addr.arpa", "PTR", "outside", 0],
  ["orders.service.elsewhere.ns.posthouse", "A", "REFUSED", 0],
  ["posthouse", "AXFR", "REFUSED", 0],
  ["posthouse", "IXFR", "REFUSED", 0],
  ["one.orders.instance.posthouse", "ANY", "NOERROR", 1],
  ["ns.posthouse", "AAAA", "NOERROR", 1],
  ["ns.posthouse", "TXT", "NOERROR", 0],
] as const)("%s %s: %s, %i records", (name, type, code, count) => {
  const found = ask(name, TYPES[type] as number);
  if (code === "outside") return expect(found).toBeUndefined();
  expect([found?.rcode, found?.candidates.length]).toEqual([Rcode[code], count]);
  // Whatever the zone knows is authoritative; a negative answer carries the SOA record.
  expect(found?.authoritative).toBe(code !== "REFUSED");
  const negative = code !== "REFUSED" && count === 0;
  expect(found?.soa).toEqual(negative ? { section: "authority", owner: "zone", serial: 7 } : undefined);
});

test("the apex has its own records", () => {
  expect(ask("posthouse", Type.SOA)).toMatchObject({
    rcode: Rcode.NOERROR,
    authoritative: true,
    candidates: [],
    soa: { section: "answer", owner: "zone", serial: 7 },
  });
  expect(ask("posthouse", Type.NS)).toMatchObject({
    authoritative: true,
    candidates: [{ record: { type: "NS", data: "ns.posthouse" } }],
    additionals: [
      { owner: "ns.posthouse", record: { type: "A", data: "127.0.0.1" } },
      { owner: "ns.posthouse", record: { type: "AAAA", data: "0:0:0:0:0:0:0:1" } },
    ],
    soa: undefined,
  });
});

test("an instance has its addresses, its SRV record with the address beside it, and its text", () => {
  const records = (name: string, type: number) => ask(name, type)?.candidates.map(({ record }) => record);
  expect(records("one.orders.instance.posthouse", Type.A)).toEqual([{ type: "A", data: "10.0.0.1" }]);
  expect(records("one.orders.instance.posthouse", Type.TXT)).toEqual([{ type: "TXT", data: ["id=one", "version=2"] }]);
  const srv = ask("one.orders.instance.posthouse", Type.SRV)?.candidates;
  const target = "one.orders.instance.posthouse";
  expect(srv).toMatchObject([
    {
      record: { type: "SRV", data: { priority: 1, weight: 100, port: 4001, target } },
      glue: { owner: target, record: { type: "A", data: "10.0.0.1" } },
    },
  ]);
  expect(ask("one.orders.instance.posthouse", Type.A)?.candidates[0]).not.toHaveProperty("glue");
  // A host name is an alias, whatever was asked for.
  const alias = [{ type: "CNAME", data: "cloud.example.com" }];
  expect(records("far.cloud.instance.posthouse", Type.A)).toEqual(alias);
  expect(records("far.cloud.instance.posthouse", Type.SRV)).toEqual(alias);
  // RFC 8482: a question for everything is answered with HINFO alone.
  const minimal = [{ type: "HINFO", data: { cpu: "RFC8482", os: "" } }];
  for (const name of ["posthouse", "ns.posthouse", "service.posthouse", "orders.service.posthouse", target]) {
    expect([name, records(name, Type.ANY)]).toEqual([name, minimal]);
  }
});

test("an address leads back to the names of its instances, and has no other records", () => {
  const name = "1.0.0.10.in-addr.arpa";
  const catalog = testCatalog(
    instance("one"),
    instance("two", { service: "billing", namespace: "staging" }),
    instance("three", { address: "10.0.0.3" }),
  );
  const found = ask(name, Type.PTR, { catalog });
  expect(found).toMatchObject({ rcode: Rcode.NOERROR, authoritative: true, soa: undefined });
  expect(found?.candidates.map(({ record }) => record.data)).toEqual([
    "one.orders.instance.posthouse",
    "two.billing.instance.staging.ns.posthouse",
  ]);
  expect(ask(name, Type.A, { catalog })).toMatchObject({
    rcode: Rcode.NOERROR,
    candidates: [],
    soa: { section: "authority", owner: "question", serial: 7 },
  });
  expect(ask("2.0.0.10.in-addr.arpa", Type.PTR, { catalog })).toBeUndefined();
});

test.each([
  ["4.3.2.1.in-addr.arpa", "1.2.3.4"],
  ["0.0.0.10.in-addr.arpa", "10.0.0.0"],
  [`${"0.".repeat(22)}0.2.8.b.d.0.1.0.0.2.ip6.arpa`, "2001:db8:2000:0:0:0:0:0"],
  [`1.0.0.0.0.0.a.0.f.f.f.f.${"0.".repeat(20)}ip6.arpa`, "10.0.0.1"],
  ["3.2.1.in-addr.arpa", undefined],
  ["5.4.3.2.1.in-addr.arpa", undefined],
  ["256.3.2.1.in-addr.arpa", undefined],
  ["04.3.2.1.in-addr.arpa", undefined],
  ["x.3.2.1.in-addr.arpa", undefined],
  ["4.3.2.1.in-addr.example", undefined],
  ["4.3.2.1.ip6.arpa", undefined],
  [`${"0.".repeat(31)}ip6.arpa`, undefined],
  [`${"0.".repeat(33)}ip6.arpa`, undefined],
  [`g.${"0.".repeat(31)}ip6.arpa`, undefined],
  [`${"0.".repeat(32)}in-addr.arpa`, undefined],
  ["arpa", undefined],
])("%s is the name of %s", (name, address) => expect(parseReverse(name.split("."))).toBe(address));

test("before the catalog is read nothing is answered about instances, and the zone itself is", () => {
  const early = { ready: false };
  expect(ask("orders.service.posthouse", Type.A, early)).toMatchObject({ rcode: Rcode.SERVFAIL, authoritative: false });
  expect(ask("1.0.0.10.in-addr.arpa", Type.PTR, early)).toBeUndefined();
  expect(ask("posthouse", Type.SOA, early)?.rcode).toBe(Rcode.NOERROR);
  expect(ask("nowhere.posthouse", Type.A, early)?.rcode).toBe(Rcode.NXDOMAIN);
});
