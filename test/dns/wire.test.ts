/** Messages of clients and strangers, by UDP and by TCP: sizes, truncation, capitals, operations, connections that hang. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { decode } from "dns-packet";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { ask, askTcp, askUdp, edns, framed, instance, question, rcodeOf, testCatalog, testDns } from "./kit.ts";

const many = (count: number) =>
  Array.from({ length: count }, (_, i) =>
    instance(`orders-${i}`, { address: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, port: 4000 + (i % 1000) }),
  );

test("a service of 10,000 is cut to what fits and says so; TCP gives 512 of them", async () => {
  await using dns = await testDns(testCatalog(...many(10_000)));
  for (const type of ["A", "SRV", "TXT"] as const) {
    const small = await ask(dns.port, "orders.service.posthouse", type);
    expect([small.packet.flag_tc, small.bytes.length <= 512, small.data.length > 3]).toEqual([true, true, true]);
    expect(small.packet.additionals).toEqual([]);
    const large = await ask(dns.port, "orders.service.posthouse", type, edns(4096));
    expect([large.packet.flag_tc, large.bytes.length <= 1232, large.bytes.length > 1100]).toEqual([true, true, true]);
    const [whole] = await askTcp(dns.port, framed(question("orders.service.posthouse", type)));
    expect([
      whole?.packet.flag_tc,
      whole?.data.length,
      new Set(whole?.data.map((one) => JSON.stringify(one))).size,
    ]).toEqual([false, 512, 512]);
  }
});

test("the size a client offers is kept to, and addresses beside SRV go first", async () => {
  await using dns = await testDns(testCatalog(...many(8)));
  const name = "_orders._tcp.service.posthouse";
  const sizes = [undefined, 100, 512, 900, 1231, 1232, 4096, 65_535];
  for (const size of sizes) {
    const { packet, bytes, data } = await ask(dns.port, name, "SRV", size === undefined ? {} : edns(size));
    expect(bytes.length).toBeLessThanOrEqual(Math.max(512, Math.min(size ?? 512, 1232)));
    expect([size, packet.flag_tc]).toEqual([size, data.length < 8]);
    const opt = (packet.additionals ?? []).filter(({ type }) => type === "OPT");
    expect(opt).toHaveLength(size === undefined ? 0 : 1);
  }
  const large = await ask(dns.port, name, "SRV", edns(1232));
  expect([large.data.length, large.packet.additionals?.length]).toEqual([8, 9]);
  // 20 targets leave room for all of SRV and for some addresses only; the answer does not count as truncated.
  await using more = await testDns(testCatalog(...many(20)));
  const partial = await ask(more.port, name, "SRV", edns(1232));
  const glue = (partial.packet.additionals?.length ?? 0) - 1;
  expect([partial.packet.flag_tc, partial.data.length, glue > 0 && glue < 20]).toEqual([false, 20, true]);
});

test("capitals come back as they were asked, and share an answer kept ready", async () => {
  await using dns = await testDns(testCatalog(instance("one")));
  for (const name of ["OrDeRs.SeRvIcE.pOsThOuSe", "orders.service.posthouse", "ORDERS.SERVICE.POSTHOUSE"]) {
    const { packet, data } = await ask(dns.port, name);
    expect([packet.questions?.[0]?.name, packet.answers?.[0]?.name, packet.id, data]).toEqual([
      name,
      name,
      4711,
      ["10.0.0.1"],
    ]);
  }
  expect(dns.kept()).toBe(1);
});

test("an answer kept ready is gone with the first change of its service, and only with that", async () => {
  const catalog = testCatalog(instance("one"), instance("b", { service: "billing" }));
  await using dns = await testDns(catalog);
  await ask(dns.port, "orders.service.posthouse");
  await ask(dns.port, "billing.service.posthouse");
  for (let i = 0; i < 50; i++) await ask(dns.port, `nobody-${i}.service.posthouse`);
  expect(dns.kept()).toBe(2);
  catalog.put(instance("one", { address: "10.9.9.9" }));
  expect(dns.kept()).toBe(1);
  expect((await ask(dns.port, "orders.service.posthouse")).data).toEqual(["10.9.9.9"]);
});

const changed = (change: (query: Buffer) => Buffer) => change(Buffer.from(question("orders.service.posthouse")));
const at = (place: number, value: number) =>
  changed((query) => {
    query.writeUInt16BE(value, place);
    return query;
  });

test.each([
  ["another operation (NOTIFY)", at(2, 4 << 11), "NOTIMP"],
  ["no question", at(4, 0), "FORMERR"],
  ["two questions", at(4, 2), "FORMERR"],
  ["an answer in a query", at(6, 1), "FORMERR"],
  ["an additional record that is not there", at(10, 1), "FORMERR"],
  ["a name cut short", changed((query) => query.subarray(0, 20)), "FORMERR"],
  [
    "a name that points to itself",
    Buffer.concat([question("a").subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]),
    "FORMERR",
  ],
  ["bytes behind the message", Buffer.concat([question("a.b"), Buffer.from([1, 2])]), "FORMERR"],
  ["a header alone", Buffer.alloc(12), "FORMERR"],
  [
    "another class (CH)",
    changed((query) => {
      query.writeUInt16BE(3, query.length - 2);
      return query;
    }),
    "REFUSED",
  ],
])("%s: %s", async (_what, query, rcode) => {
  await using dns = await testDns(testCatalog(instance("one")));
  const answer = (await askUdp(dns.port, query)) as Buffer;
  expect([rcodeOf(answer), answer.readUInt16BE(0), answer.length <= query.length]).toEqual([
    rcode,
    query.readUInt16BE(0),
    true,
  ]);
});

test("another version of EDNS is BADVERS; two OPT records are malformed", async () => {
  await using dns = await testDns(testCatalog(instance("one")));
  const { packet, rcode } = await ask(dns.port, "orders.service.posthouse", "A", edns(1232, 1));
  expect([rcode, packet.additionals]).toMatchObject(["NOERROR", [{ type: "OPT", extendedRcode: 1, ednsVersion: 0 }]]);
  const [opt] = edns(1232).additionals ?? [];
  const twice = await ask(dns.port, "orders.service.posthouse", "A", { additionals: opt ? [opt, opt] : [] });
  expect(twice.rcode).toBe("FORMERR");
});

test("answers and scraps are answered with nothing", async () => {
  await using dns = await testDns(testCatalog(instance("one")));
  expect(await askUdp(dns.port, at(2, 0x8000), 100)).toBeUndefined();
  expect(await askUdp(dns.port, Buffer.from([1, 2, 3]), 100)).toBeUndefined();
  expect((await dns.host.metrics.expose()).text).toMatch(
    /dropped_total\{reason="response"\} 1\n.*dropped_total\{reason="short"\} 1/,
  );
});

test("many queries on one connection are answered in turn, however the bytes are split", async () => {
  await using dns = await testDns(testCatalog(instance("one")));
  const queries = Array.from({ length: 200 }, (_, id) => framed(question("orders.service.posthouse", "A", { id })));
  const answers = await askTcp(dns.port, Buffer.concat(queries), 200);
  expect(answers.map(({ packet }) => packet.id)).toEqual(Array.from({ length: 200 }, (_, id) => id));
  const socket = connect({ host: "127.0.0.1", port: dns.port, noDelay: true });
  for (const byte of framed(question("orders.service.posthouse"))) {
    socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const [bytes] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  expect(decode(bytes.subarray(2)).answers).toHaveLength(1);
});

test(
  "connections that say nothing, half a query, too much, or never read end; others are served meanwhile",
  { timeout: 300_000 },
  async () => {
    await using dns = await testDns(testCatalog(...many(2_000)));
    const ended: Promise<string>[] = [];
    const open = (what: string, send: (socket: Socket) => void) => {
      const socket = connect({ host: "127.0.0.1", port: dns.port });
      socket.on("error", () => {});
      send(socket);
      if (what !== "never reads") socket.resume();
      else socket.pause();
      ended.push(new Promise((resolve) => socket.on("close", () => resolve(what))));
      return socket;
    };
    const whole = framed(question("orders.service.posthouse", "SRV"));
    open("silent", () => {});
    open("half", (socket) => void socket.write(whole.subarray(0, 9)));
    open("empty", (socket) => void socket.write(Buffer.from([0, 0])));
    open("too long", (socket) => void socket.write(Buffer.from([0x20, 0])));
    // Tens of kilobytes for each query of 50 bytes: the server must not keep them all.
    const reader = open(
      "never reads",
      (socket) => void socket.write(Buffer.concat(Array.from({ length: 2_000 }, () => whole))),
    );
    const crowd = Array.from({ length: 40 }, () => connect({ host: "127.0.0.1", port: dns.port }));
    let closed = 0;
    for (const socket of crowd) {
      socket
        .resume()
        .on("error", () => {})
        .on("close", () => closed++);
    }
    await eventually("those over 32 of one client are closed", () => closed >= 8);
    expect((await ask(dns.port, "orders.service.posthouse")).rcode).toBe("NOERROR");
    for (const socket of crowd) socket.destroy();
    await eventually("idle ones are ended", async () => {
      const { text } = await dns.host.metrics.expose();
      return Number(/reason="idle"\} (\d+)/.exec(text)?.[1]) >= 3;
    });
    reader.destroy();
    await Promise.all(ended);
    expect((await askTcp(dns.port, whole))[0]?.data).toHaveLength(512);
  },
);
