/** Whatever a catalog holds, an answer is a message that clients can read, with every record that can be written. */
import { decode, encode, type DecodedPacket } from "dns-packet";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { parseHostAddress } from "#base";
import type { DnsInstance } from "#dns";
import { ask, instance, testCatalog, testDns } from "./kit.ts";
import { instanceLabel } from "../../dns/core/names.ts";
import { readQuery } from "../../dns/core/message.ts";
import { Responder } from "../../dns/responder.ts";
import { testHost } from "#test/kit";

const ZONE = { labels: ["posthouse"], namespace: "default", near: undefined, addresses: ["127.0.0.1"], ttlSeconds: 1 };

test("an instance with an address that has no form in DNS does not affect answers with other instances", async () => {
  const bad = ["a..b", ".", ".internal", "host:8080", "10.0.0.256", "a".repeat(64), `${"a.".repeat(130)}b`];
  const others = bad.map((address, i) => instance(`bad-${i}`, { address }));
  await using dns = await testDns(
    testCatalog(instance("good", { address: "10.0.0.1" }), instance("named", { address: "my_db.example" }), ...others),
  );
  const { packet } = await ask(dns.port, "orders.service.posthouse", "SRV");
  const targets = (packet.answers ?? []).map((one) => (one.type === "SRV" ? one.data.target : one.type));
  expect(targets.sort()).toEqual(["good.orders.instance.posthouse", "my_db.example"]);
  for (const i of bad.keys()) {
    const found = await ask(dns.port, `bad-${i}.orders.instance.posthouse`, "A");
    expect([found.rcode, found.data, found.packet.authorities?.[0]?.type]).toEqual(["NOERROR", [], "SOA"]);
  }
});

test("a target too long for a name is left out, and its address is still returned", async () => {
  const label = "s".repeat(63);
  const long = { service: label, namespace: "n".repeat(63), address: "10.0.0.9" };
  const labels = ["z".repeat(60), "posthouse"];
  await using dns = await testDns(testCatalog(instance("i".repeat(63), long), instance("short", long)), {
    zone: { labels },
  });
  const name = `${label}.service.${"n".repeat(63)}.ns.${labels.join(".")}`;
  // 63 + 63 + 63 + 60 bytes and the words between are more than a name holds; with the short id they are not.
  expect((await ask(dns.port, name, "A")).data).toEqual(["10.0.0.9"]);
  const { rcode, data } = await ask(dns.port, name, "SRV");
  expect([rcode, data]).toMatchObject(["NOERROR", [{ target: expect.stringMatching(/^short\./) as string }]]);
});

const word = fc.constantFrom("orders", "billing");
const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.domain(),
  fc.constantFrom(
    "a..b",
    ".",
    ".x",
    "x.",
    "host:80",
    "10.0.0.256",
    "a".repeat(64),
    "a.".repeat(127),
    "",
    "ü.example",
    "_x.y",
  ),
  fc.string({ maxLength: 300 }),
);
const number = fc.oneof(fc.integer({ min: 0, max: 65_535 }), fc.constantFrom(-1, 65_536, 1e9, 0.5));
const anInstance: fc.Arbitrary<DnsInstance> = fc.record({
  namespace: fc.constantFrom("default", "staging", "n".repeat(63)),
  service: word,
  id: fc.oneof(fc.string({ minLength: 1, maxLength: 300 }), fc.constantFrom("one", "i".repeat(128))),
  address,
  port: number,
  protocol: fc.constantFrom("http", "tcp"),
  tags: fc.array(fc.string({ maxLength: 80 }), { maxLength: 2 }),
  metadata: fc.dictionary(fc.string({ maxLength: 10 }), fc.string({ maxLength: 300 }), { maxKeys: 4 }),
  weight: number,
  zone: fc.constantFrom("eu-1", "EU 2"),
  lifecycle: fc.constantFrom("serving", "draining"),
  status: fc.constantFrom("passing", "critical", "unknown"),
});

function askOf(responder: Responder, name: string, type: string): DecodedPacket {
  const query = encode({ type: "query", id: 7, flags: 0, questions: [{ name, type: type as "A" }] });
  expect(readQuery(query).kind).toBe("query");
  const reply = responder.respond(query, "tcp");
  if (reply.kind !== "answer") throw new Error(`no answer, but ${reply.kind}`);
  const packet = decode(reply.bytes);
  // All of it was read: no byte too many, and as many records as the header says.
  expect(wireBytes(reply.bytes)).toBe(reply.bytes.length);
  return packet;
}

/** How far a strict reader comes: names of labels and pointers back, records by their stated lengths. */
function wireBytes(bytes: Buffer): number {
  let at = 12;
  const name = () => {
    let total = 1;
    for (let next = at, jumped = false; ;) {
      const length = bytes.readUInt8(next);
      if (length >= 0xc0) {
        const to = bytes.readUInt16BE(next) & 0x3fff;
        expect(to).toBeLessThan(next);
        if (!jumped) at = next + 2;
        jumped = true;
        next = to;
      } else {
        expect(length).toBeLessThanOrEqual(63);
        total += length === 0 ? 0 : length + 1;
        next += length + 1;
        if (length === 0) {
          if (!jumped) at = next;
          expect(total).toBeLessThanOrEqual(255);
          return;
        }
      }
    }
  };
  for (let i = bytes.readUInt16BE(4); i > 0; i--) {
    name();
    at += 4;
  }
  for (let i = bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10); i > 0; i--) {
    name();
    const type = bytes.readUInt16BE(at);
    const end = at + 10 + bytes.readUInt16BE(at + 8);
    at += 10;
    if (type === 33) at += 6;
    if ([2, 5, 12, 33].includes(type)) name();
    if ([2, 5, 12, 33].includes(type)) expect(at).toBe(end);
    at = end;
  }
  return at;
}

test("any catalog, also of an older store, gives messages that can be read, with every address and host name in them", () => {
  fc.assert(
    fc.property(fc.array(anInstance, { minLength: 1, maxLength: 8 }), (instances) => {
      const byId = new Map(instances.map((one) => [`${one.namespace}/${one.service}/${one.id}`, one]));
      const known = [...byId.values()];
      using responder = new Responder(testHost(), testCatalog(...known), ZONE);
      for (const { namespace, service, id, address } of known) {
        const scope = namespace === "default" ? "" : `.${namespace}.ns`;
        const all = known.filter((one) => one.namespace === namespace && one.service === service);
        const open = all.filter(({ lifecycle, weight }) => lifecycle === "serving" && weight > 0);
        const well = open.filter(({ status }) => status === "passing");
        const usable = well.length > 0 ? well : open.filter(({ status }) => status === "unknown");
        const names = ["A", "AAAA", "SRV", "TXT", "ANY"].map(
          (type) => [type, askOf(responder, `${service}.service${scope}.posthouse`, type)] as const,
        );
        const answers = new Map(names.map(([type, { answers = [] }]) => [type, answers]));
        const fits = (value: number) => Number.isInteger(value) && value <= 65_535 && value >= 0;
        const sound = usable.filter((one) => parseHostAddress(one.address) && fits(one.port) && fits(one.weight));
        expect(answers.get("SRV")?.length).toBeGreaterThanOrEqual(sound.length);
        const four = new Set(
          usable.filter((one) => parseHostAddress(one.address)?.kind === "ipv4").map((one) => one.address),
        );
        const told = new Set(answers.get("A")?.map((one) => ("data" in one ? one.data : "")));
        expect([...four].filter((one) => !told.has(one))).toEqual([]);
        const own = `${instanceLabel(id)}.${service}.instance${scope}.posthouse`;
        for (const type of ["A", "AAAA", "SRV", "TXT", "CNAME", "ANY"]) askOf(responder, own, type);
        if (parseHostAddress(address)?.kind === "ipv4") {
          askOf(responder, `${address.split(".").toReversed().join(".")}.in-addr.arpa`, "PTR");
        }
      }
    }),
    { numRuns: 60 },
  );
});
