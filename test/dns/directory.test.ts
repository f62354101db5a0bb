/** A directory that follows the catalog's changes equals one made from scratch; and the instances that answers name. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { DnsInstance } from "#dns";
import { answer, usable, type Answer } from "../../dns/core/answer.ts";
import { Directory } from "../../dns/core/directory.ts";
import { Type } from "../../dns/core/message.ts";
import { instance, testCatalog } from "./kit.ts";

const anInstance: fc.Arbitrary<DnsInstance> = fc
  .record({
    namespace: fc.constantFrom("default", "staging"),
    service: fc.constantFrom("orders", "billing"),
    id: fc.constantFrom("one", "two", "Three"),
    address: fc.constantFrom("10.0.0.1", "10.0.0.2", "fd00::1", "FD00:0::1", "db.example"),
    protocol: fc.constantFrom("http", "grpc"),
    tags: fc.subarray(["blue", "V2", "http"]),
    place: fc.constantFrom("eu-1", "EU-1", "us-1", undefined),
  })
  .map(({ id, place, ...facts }) => instance(id, { ...facts, ...(place === undefined ? {} : { zone: place }) }));
const step = fc.record({ put: fc.boolean(), all: fc.boolean(), one: anInstance });

/** Everything that a directory can be asked, as one value. */
function told(directory: Directory): unknown {
  const zones = ["eu-1", "us-1", "xx-1"];
  return ["default", "staging", "other"].map((namespace) => [
    directory.hasNamespace(namespace),
    zones.map((zone) => directory.hasZone(namespace, zone)),
    [undefined, ...zones].map((zone) =>
      ["tcp", "http", "grpc", "blue", "v2", "V2"].map((word) => directory.hasProtocol(namespace, word, zone)),
    ),
    ["10.0.0.1", "10.0.0.2", "fd00:0:0:0:0:0:0:1"].map((address) =>
      directory
        .byAddress(address)
        .map(({ namespace, service, id }) => `${namespace}/${service}/${id}`)
        .sort(),
    ),
    ["orders", "billing"].map((service) => {
      const view = directory.service(namespace, service);
      const ids = (list: readonly DnsInstance[] | undefined) => list?.map(({ id }) => id).sort();
      return [
        ids(view?.all),
        ids(view?.tagged("v2")),
        ids(view?.tagged("V2")),
        ids(view?.inZone("eu-1")),
        view?.labelled("one")?.id,
      ];
    }),
  ]);
}

test("after any changes a directory tells what one made from scratch tells", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const known = new Map<string, DnsInstance>();
      const catalog = {
        ...testCatalog(),
        instances: (namespace: string, service: string) =>
          [...known.values()].filter((one) => one.namespace === namespace && one.service === service),
        services: () => [...known.values()],
      };
      const kept = new Directory(catalog);
      told(kept);
      for (const { put, all, one } of steps) {
        const key = `${one.namespace}/${one.service}/${one.id}`;
        if (put) known.set(key, one);
        else known.delete(key);
        kept.changed(all ? [] : [one]);
        expect(told(kept)).toEqual(told(new Directory(catalog)));
      }
    }),
  );
});

test("a service's instances are found by tag, zone, label and address, all that share one", () => {
  const directory = new Directory(
    testCatalog(
      instance("one", { tags: ["Blue", "v2"], zone: "EU-1" }),
      instance("Two", { tags: ["blue"], zone: "eu-1" }),
      instance("three", { tags: ["v2", "v2"], address: "10.0.0.3" }),
    ),
  );
  const view = directory.service("default", "orders");
  const ids = (list: readonly DnsInstance[] | undefined) => list?.map(({ id }) => id);
  expect([ids(view?.all), ids(view?.tagged("blue")), ids(view?.tagged("v2"))]).toEqual([
    ["one", "Two", "three"],
    ["one", "Two"],
    ["one", "three"],
  ]);
  expect([ids(view?.tagged("Blue")), ids(view?.inZone("eu-1")), ids(view?.inZone("us-1"))]).toEqual([
    [],
    ["one", "Two"],
    [],
  ]);
  expect([view?.labelled("one")?.id, view?.labelled("Two"), directory.service("default", "users")]).toEqual([
    "one",
    undefined,
    undefined,
  ]);
  expect([ids(directory.byAddress("10.0.0.1")), ids(directory.byAddress("10.0.0.9"))]).toEqual([["one", "Two"], []]);
});

test("a service that comes and goes takes nothing away from another of its namespace", () => {
  const catalog = testCatalog(instance("stays", { service: "billing", zone: "eu-1" }));
  const directory = new Directory(catalog);
  const one = instance("one", { zone: "eu-1" });
  const known = () => [
    directory.hasNamespace("default"),
    directory.hasZone("default", "eu-1"),
    directory.byAddress("10.0.0.1").map(({ id }) => id),
  ];
  expect(known()).toEqual([true, true, ["stays"]]);
  for (let round = 0; round < 3; round++) {
    catalog.put(one);
    directory.changed([one]);
    expect(known()).toEqual([true, true, ["stays", "one"]]);
    catalog.remove("one");
    directory.changed([one]);
    expect(known()).toEqual([true, true, ["stays"]]);
  }
  catalog.remove("stays", "billing");
  directory.changed([{ namespace: "default", service: "billing" }]);
  expect(known()).toEqual([false, false, []]);
});

function ask(
  instances: readonly DnsInstance[],
  type: keyof typeof Type,
  over: { near?: string; name?: string } = {},
): Answer {
  const { near, name = "orders.service" } = over;
  const zone = { labels: ["posthouse"], namespace: "default", near, addresses: ["10.9.9.9"], ttlSeconds: 1 };
  const context = {
    directory: new Directory(testCatalog(...instances)),
    zone,
    ready: true,
    knows: () => true,
    serial: 1,
  };
  const found = answer({ labels: [...name.split("."), "posthouse"], type: Type[type] }, context);
  if (!found) throw new Error("none of ours");
  return found;
}

test("an address is one record of its family with the weights behind it, nearest first", () => {
  const instances = [
    instance("one", { weight: 10, zone: "us-1" }),
    instance("two", { weight: 20, zone: "eu-1" }),
    instance("three", { address: "10.0.0.3", weight: 5, zone: "us-1" }),
    instance("six", { address: "fd00::1", weight: 7 }),
    instance("named", { address: "db.example", weight: 9 }),
  ];
  const short = (found: Answer) =>
    found.candidates.map(({ record, weight, priority }) => [
      record.type,
      JSON.stringify(record.data),
      weight,
      priority,
    ]);
  expect(short(ask(instances, "A"))).toEqual([
    ["A", '"10.0.0.1"', 30, 1],
    ["A", '"10.0.0.3"', 5, 1],
  ]);
  expect(short(ask(instances, "A", { near: "eu-1" }))).toEqual([
    ["A", '"10.0.0.1"', 30, 1],
    ["A", '"10.0.0.3"', 5, 2],
  ]);
  expect(short(ask(instances, "AAAA"))).toEqual([["AAAA", '"fd00:0:0:0:0:0:0:1"', 7, 1]]);
  expect(ask(instances, "TXT", { near: "us-1" }).candidates.map(({ priority }) => priority)).toEqual([1, 1, 2, 2, 2]);
  const srv = ask(instances, "SRV", { near: "eu-1" });
  expect(srv.candidates.map(({ record, glue }) => [record.data, glue?.owner])).toEqual([
    [{ priority: 1, weight: 20, port: 4001, target: "two.orders.instance.posthouse" }, "two.orders.instance.posthouse"],
    [{ priority: 2, weight: 10, port: 4001, target: "one.orders.instance.posthouse" }, "one.orders.instance.posthouse"],
    [
      { priority: 2, weight: 5, port: 4001, target: "three.orders.instance.posthouse" },
      "three.orders.instance.posthouse",
    ],
    [{ priority: 2, weight: 7, port: 4001, target: "six.orders.instance.posthouse" }, "six.orders.instance.posthouse"],
    [{ priority: 2, weight: 9, port: 4001, target: "db.example" }, undefined],
  ]);
  for (const type of ["NS", "CNAME", "PTR", "HTTPS", "SOA"] as const) {
    expect([ask(instances, type).candidates, ask(instances, type).soa?.section]).toEqual([[], "authority"]);
  }
});

test("named are those that serve, are well and weigh something; else those that were never judged", () => {
  const well = [instance("a"), instance("b", { status: "warning", weight: 1 })];
  const rest = [
    instance("c", { weight: 0 }),
    instance("d", { lifecycle: "draining" }),
    instance("e", { lifecycle: "starting" }),
    instance("f", { status: "critical" }),
  ];
  const unknown = [instance("g", { status: "unknown" }), instance("h", { status: "unknown", lifecycle: "draining" })];
  const ids = (...list: DnsInstance[]) => usable(list).map(({ id }) => id);
  expect(ids(...well, ...rest, ...unknown)).toEqual(["a", "b"]);
  expect(ids(...rest, ...unknown)).toEqual(["g"]);
  expect(ids(...rest)).toEqual([]);
});

test("a text longer than a string of TXT holds is left out, one of exactly its size is not", () => {
  const metadata = { a: "x".repeat(253), b: "x".repeat(254), c: "é".repeat(126), d: "é".repeat(127) };
  const found = ask([instance("one", { metadata })], "TXT").candidates.flatMap(({ record }) => record.data as string[]);
  expect(found.map((text) => text.slice(0, 2))).toEqual(["id", "a=", "c="]);
});
