/** A client that asks too much, bytes that are not queries, and names that only other servers know. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { decode, encode } from "dns-packet";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { clientNetwork } from "#base/address-class";
import { parseUpstream } from "#dns";
import { ManualClock, testHost } from "#test/kit";
import { CLIENTS_MAX, RateLimiter } from "../../dns/core/limiter.ts";
import { Responder } from "../../dns/responder.ts";
import { ask, askTcp, askUdp, edns, framed, instance, question, testCatalog, testDns } from "./kit.ts";

test("over its rate a client is dropped, every second query answered empty with TC, and TCP lets it in", async () => {
  await using dns = await testDns(testCatalog(instance("one")), { limit: { perSecond: 5, loopback: true } });
  const query = question("orders.service.posthouse");
  const ask = async (waitMs: number) => {
    const answer = await askUdp(dns.port, query, waitMs);
    if (!answer) return "dropped";
    const isHint = decode(answer).flag_tc;
    if (isHint) expect(answer.length).toBeLessThanOrEqual(query.length);
    return isHint ? "hint" : "answer";
  };
  for (let i = 0; i < 10; i++) expect(await ask(30_000)).toBe("answer");
  // At once, so that the rate gives hardly anything back meanwhile.
  const excess = await Promise.all(Array.from({ length: 40 }, () => ask(2_000)));
  const count = (what: string) => excess.filter((one) => one === what).length;
  expect([count("dropped") > 5, count("hint") > 5, count("answer") < 25]).toEqual([true, true, true]);
  expect((await askTcp(dns.port, framed(query)))[0]?.data).toEqual(["10.0.0.1"]);
  expect((await dns.host.metrics.expose()).text).toMatch(/dropped_total\{reason="rate"\} \d\d/);
  // Too much by TCP ends the connection.
  expect(
    (await askTcp(dns.port, Buffer.concat(Array.from({ length: 50 }, () => framed(query))), 50)).length,
  ).toBeLessThan(12);
});

test("buckets fill with time, and their table does not grow beyond its size", () => {
  const limiter = new RateLimiter(10);
  const taken = (now: number) => Array.from({ length: 30 }, () => limiter.take("a", now)).filter(Boolean).length;
  expect([taken(0), taken(0), taken(500), taken(60_000)]).toEqual([20, 0, 5, 20]);
  for (let i = 0; i < CLIENTS_MAX + 500; i++) limiter.take(`client-${i}`, 0);
  expect(limiter.clients).toBe(CLIENTS_MAX);
  expect(new RateLimiter(0).take("a", 0)).toBe(true);
});

test.each([
  ["10.0.0.1", "10.0.0.1"],
  ["::ffff:10.0.0.1", "10.0.0.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8::6", "2001:db8:0:0::/64"],
  ["2001:db8::", "2001:db8:0:0::/64"],
  ["2001::3:4:5:6:7:8", "2001:0:3:4::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["::1", "0:0:0:0::/64"],
])("%s counts as %s", (address, client) => expect(clientNetwork(address)).toBe(client));

const SEED = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

test(`10,000 packets of noise and of broken queries are answered small or not at all (FUZZ_SEED=${SEED})`, () => {
  const host = testHost({ clock: new ManualClock(), seed: 1 });
  const catalog = testCatalog(
    ...Array.from({ length: 300 }, (_, i) =>
      instance(`i-${i}`, { address: `10.0.${i >> 8}.${i & 255}`, tags: ["a", "é"] }),
    ),
  );
  using responder = new Responder(host, catalog, {
    labels: ["posthouse"],
    namespace: "default",
    near: undefined,
    addresses: ["127.0.0.1"],
    ttlSeconds: 1,
  });
  const label = fc.constantFrom(
    "orders",
    "service",
    "_orders",
    "_tcp",
    "a",
    "é",
    "zone",
    "ns",
    "default",
    "instance",
    "i-1",
    "arpa",
    "in-addr",
    "0",
    "x",
  );
  const name = fc.array(label, { maxLength: 9 }).map((labels) => [...labels, "posthouse"].join("."));
  const type = fc.constantFrom("A", "AAAA", "SRV", "TXT", "PTR", "SOA", "NS", "MX", "AXFR", "NULL");
  const query = fc
    .tuple(name, type, fc.constantFrom({}, edns(512), edns(1232), edns(65_535), edns(0), edns(1232, 3)))
    .map(([name, type, extra]) => Buffer.from(question(name, type as "A", extra)));
  const broken = fc
    .tuple(query, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }), fc.option(fc.nat()))
    .map(([bytes, changes, cut]) => {
      for (const [place, value] of changes) bytes[place % bytes.length] = value;
      return cut === null ? bytes : bytes.subarray(0, cut % (bytes.length + 1));
    });
  const noise = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(
      fc.oneof({ weight: 1, arbitrary: noise }, { weight: 2, arbitrary: query }, { weight: 3, arbitrary: broken }),
      (bytes) => {
        const sent = Buffer.from(bytes);
        const reply = responder.respond(sent, "udp");
        expect(sent.equals(bytes)).toBe(true);
        if (reply.kind !== "answer") return;
        expect(reply.bytes.length).toBeLessThanOrEqual(1232);
        expect(reply.bytes.readUInt16BE(0)).toBe(bytes.readUInt16BE(0));
        expect(reply.bytes.readUInt8(2) & 0x80).toBe(0x80);
        // Whatever is answered can be read by others.
        if (reply.bytes.length > 12) decode(reply.bytes);
        const overTcp = responder.respond(sent, "tcp");
        if (overTcp.kind === "answer") expect(overTcp.bytes.length).toBeLessThanOrEqual(65_535);
      },
    ),
    { numRuns: 10_000, seed: SEED },
  );
});

interface Fake extends AsyncDisposable {
  readonly port: number;
  readonly asked: { id: number; port: number; name: string; transport: string }[];
}

/** An upstream that answers 192.0.2.1, as the name asked tells it to. */
async function fakeUpstream(): Promise<Fake> {
  const asked: Fake["asked"] = [];
  const answer = (bytes: Buffer, transport: string, port: number) => {
    const packet = decode(bytes);
    const name = packet.questions?.[0]?.name ?? "";
    asked.push({ id: packet.id ?? 0, port, name, transport });
    const count = name.startsWith("long") ? 100 : 1;
    const cut = transport === "udp" && count > 1;
    const answers = Array.from(
      { length: cut ? 0 : count },
      (_, i) => ({ type: "A", name, ttl: 60, data: `192.0.2.${i + 1}` }) as const,
    );
    const rest = { type: "response", questions: packet.questions ?? [], answers, flags: cut ? 0x300 : 0x100 } as const;
    const good = encode({ ...rest, id: packet.id ?? 0 });
    const otherId = encode({
      ...rest,
      id: ((packet.id ?? 0) + 1) & 0xffff,
      answers: [{ type: "A", name, data: "6.6.6.6" }],
    });
    const otherName = encode({ ...rest, id: packet.id ?? 0, questions: [{ type: "A", name: "evil.example" }] });
    if (name.startsWith("mute")) return [];
    return name.startsWith("forged") ? [otherId, otherName, Buffer.from("noise"), good] : [good];
  };
  const tcp = createServer((socket) => {
    socket.on("data", (bytes: Buffer) => {
      for (const one of answer(bytes.subarray(2), "tcp", 0)) socket.write(framed(one));
    });
    socket.on("error", () => {});
  });
  tcp.listen(0, "127.0.0.1");
  await once(tcp, "listening");
  const { port } = tcp.address() as AddressInfo;
  const udp = createSocket("udp4");
  udp.on("message", (bytes, from) => {
    for (const one of answer(bytes, "udp", from.port)) udp.send(one, from.port, from.address);
  });
  udp.bind(port, "127.0.0.1");
  await once(udp, "listening");
  return {
    port,
    asked,
    async [Symbol.asyncDispose]() {
      udp.close();
      await new Promise((resolve) => tcp.close(resolve));
    },
  };
}

test("other names go to a forwarder: by UDP, by TCP when truncated, and forged answers are ignored", async () => {
  await using upstream = await fakeUpstream();
  await using dns = await testDns(testCatalog(instance("one")), {
    forwarders: [{ address: "127.0.0.1", port: upstream.port }],
  });
  const plain = await ask(dns.port, "www.example.com");
  expect([plain.rcode, plain.data, plain.packet.id, plain.packet.flag_ra]).toEqual([
    "NOERROR",
    ["192.0.2.1"],
    4711,
    true,
  ]);
  expect((await ask(dns.port, "forged.example.com")).data).toEqual(["192.0.2.1"]);
  const long = await ask(dns.port, "long.example.com");
  expect([long.packet.flag_tc, long.data]).toEqual([true, []]);
  const [whole] = await askTcp(dns.port, framed(question("long.example.com")));
  expect(whole?.data).toHaveLength(100);
  expect(upstream.asked.map(({ transport }) => transport)).toEqual(["udp", "udp", "udp", "tcp", "udp", "tcp"]);
  for (let i = 0; i < 10; i++) await ask(dns.port, `n${i}.example.com`);
  // Ids and ports are of chance, and never the client's.
  expect(new Set(upstream.asked.map(({ id }) => id)).size).toBeGreaterThan(8);
  expect(new Set(upstream.asked.map(({ port }) => port)).size).toBeGreaterThan(8);
  // Our own names never leave, and who wants no recursion gets none.
  const before = upstream.asked.length;
  expect((await ask(dns.port, "nobody.service.posthouse")).rcode).toBe("NXDOMAIN");
  expect((await ask(dns.port, "www.example.com", "A", { flags: 0 })).rcode).toBe("REFUSED");
  expect(upstream.asked.length).toBe(before);
});

test("a forwarder that is silent is given up for the next; when all are, the answer is SERVFAIL", async () => {
  await using upstream = await fakeUpstream();
  const silent = createSocket("udp4");
  silent.bind(0, "127.0.0.1");
  await once(silent, "listening");
  const forwarders = [
    { address: "127.0.0.1", port: silent.address().port },
    { address: "127.0.0.1", port: upstream.port },
  ];
  await using dns = await testDns(testCatalog(), { forwarders });
  const [slow, none] = await Promise.all([
    askUdp(dns.port, question("www.example.com"), 8_000),
    askUdp(dns.port, question("mute.example.com"), 8_000),
  ]);
  silent.close();
  expect([slow && decode(slow).answers?.length, none && (none[3] as number) & 15]).toEqual([1, 2]);
});

test.each([
  ["10.0.0.2", { address: "10.0.0.2", port: 53 }],
  ["10.0.0.2:5353", { address: "10.0.0.2", port: 5353 }],
  ["fd00::2", { address: "fd00::2", port: 53 }],
  ["[fd00::2]:5353", { address: "fd00::2", port: 5353 }],
  ["dns.example.com", undefined],
  ["10.0.0.2:0", undefined],
  ["[10.0.0.2]:53", undefined],
  ["10.0.0.2:99999", undefined],
])("a forwarder %s is read", (text, upstream) => expect(parseUpstream(text)).toEqual(upstream));
