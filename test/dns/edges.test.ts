/** Edges of the DNS core: bits that are copied, records that are malformed, sizes to the byte, and who is forgotten. */
import { decode } from "dns-packet";
import { expect, test } from "vitest";
import { seededRandom } from "#base";
import { testHost } from "#test/kit";
import { answer } from "../../dns/core/answer.ts";
import { Directory } from "../../dns/core/directory.ts";
import { BURST_SECONDS, CLIENTS_MAX, RateLimiter } from "../../dns/core/limiter.ts";
import {
  HEADER_BYTES,
  OPT_BYTES,
  readQuery,
  roomFor,
  Type,
  udpBytes,
  UDP_BYTES_MAX,
  UDP_BYTES_PLAIN,
  writeAnswer,
  type Query,
} from "../../dns/core/message.ts";
import { instanceLabel } from "../../dns/core/names.ts";
import { Records } from "../../dns/core/wire.ts";
import { Responder } from "../../dns/responder.ts";
import { edns, instance, question, testCatalog } from "./kit.ts";

const ZONE = { labels: ["posthouse"], namespace: "default", near: undefined, addresses: ["127.0.0.1"], ttlSeconds: 1 };
const NAME = "orders.service.posthouse";

function queryOf(bytes: Buffer): Query {
  const reading = readQuery(bytes);
  if (reading.kind !== "query") throw new Error(`not a query: ${JSON.stringify(reading)}`);
  return reading.query;
}

test("recursion desired and checking disabled are copied, and no other bit of the query", () => {
  using responder = new Responder(testHost(), testCatalog(instance("one")), ZONE);
  const flagsOf = (flags: number) => {
    const reply = responder.respond(question(NAME, "A", { flags }), "udp");
    return reply.kind === "answer" ? reply.bytes.readUInt16BE(2) : undefined;
  };
  const [RD, CD, AD, Z, RA, TC, AA] = [0x0100, 0x0010, 0x0020, 0x0040, 0x0080, 0x0200, 0x0400];
  const answered = 0x8000 | AA;
  expect([flagsOf(0), flagsOf(RD), flagsOf(CD), flagsOf(RD | CD)]).toEqual([
    answered,
    answered | RD,
    answered | CD,
    answered | RD | CD,
  ]);
  expect(flagsOf(AD | Z | RA | TC | AA)).toBe(answered);
});

/** A query with raw additional records. */
function withAdditionals(...records: Buffer[]): Buffer {
  const query = question(NAME);
  query.writeUInt16BE(records.length, 10);
  return Buffer.concat([query, ...records]);
}
const opt = (name: number[], data: number[] = [], stated = data.length) =>
  Buffer.from([...name, 0, Type.OPT, 0x10, 0, 0, 0, 0x80, 0, stated >> 8, stated & 255, ...data]);

test("OPT belongs to the root, once, with the length that it states", () => {
  expect(readQuery(withAdditionals(opt([0])))).toMatchObject({
    kind: "query",
    query: { edns: { payloadBytes: 4096, version: 0, dnssecOk: true } },
  });
  const formerr = { kind: "refuse", rcode: 1 };
  expect(readQuery(withAdditionals(opt([1, 97, 0])))).toEqual(formerr);
  // A pointer to the question's name is a name, too.
  expect(readQuery(withAdditionals(opt([0xc0, 12])))).toEqual(formerr);
  expect(readQuery(withAdditionals(opt([0]), opt([0])))).toEqual(formerr);
  expect(readQuery(withAdditionals(opt([0], [1, 2], 3)))).toEqual(formerr);
  expect(readQuery(withAdditionals(opt([0], [1, 2], 1)))).toEqual(formerr);
  expect(readQuery(Buffer.concat([withAdditionals(opt([0])), Buffer.from([0])]))).toEqual(formerr);
  // Four records are looked at, five are too many; those that are not OPT are passed over.
  const other = Buffer.from([0, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0]);
  expect(readQuery(withAdditionals(other, other, other, opt([0])))).toMatchObject({ kind: "query" });
  expect(readQuery(withAdditionals(other, other, other, other, opt([0])))).toEqual(formerr);
});

test("a query has one question with a whole name, type and class, and nothing in its other sections", () => {
  const query = question(NAME);
  expect(readQuery(query)).toMatchObject({ kind: "query", query: { type: Type.A, class: 1, id: 4711 } });
  for (const at of [4, 6, 8]) {
    const wrong = Buffer.from(query);
    wrong.writeUInt16BE(at === 4 ? 2 : 1, at);
    expect(readQuery(wrong)).toEqual({ kind: "refuse", rcode: 1 });
  }
  expect(readQuery(query.subarray(0, query.length - 1))).toEqual({ kind: "refuse", rcode: 1 });
  expect(readQuery(query.subarray(0, HEADER_BYTES - 1))).toEqual({ kind: "drop", reason: "short" });
  const response = Buffer.from(query);
  response[2] = 0x80;
  expect(readQuery(response)).toEqual({ kind: "drop", reason: "response" });
  const update = Buffer.from(query);
  update[2] = 5 << 3;
  expect(readQuery(update)).toEqual({ kind: "refuse", rcode: 4 });
  // 255 bytes are a name, 256 are not.
  const named = (bytes: number) => {
    const labels = [63, 63, 63, bytes - 194].map((length) => Buffer.from([length, ...Buffer.alloc(length, "a")]));
    const head = Buffer.from([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    return readQuery(Buffer.concat([head, ...labels, Buffer.from([0, 0, 1, 0, 1])])).kind;
  };
  expect([named(255), named(256)]).toEqual(["query", "refuse"]);
});

test("sizes are what the transport and the client allow, less what goes around the records", () => {
  const around = HEADER_BYTES + queryOf(question(NAME)).question.length;
  expect(roomFor(queryOf(question(NAME)), "udp")).toBe(UDP_BYTES_PLAIN - around);
  expect(roomFor(queryOf(question(NAME)), "tcp")).toBe(65_535 - around);
  const with1232 = queryOf(question(NAME, "A", edns(UDP_BYTES_MAX)));
  expect([udpBytes(with1232), roomFor(with1232, "udp")]).toEqual([UDP_BYTES_MAX, UDP_BYTES_MAX - around - OPT_BYTES]);
  expect(udpBytes(queryOf(question(NAME, "A", edns(UDP_BYTES_MAX - 1))))).toBe(UDP_BYTES_PLAIN);
});

test("an answer of exactly the size that there is room for is whole; with one byte less it is cut and says so", () => {
  const catalog = testCatalog(
    ...Array.from({ length: 5 }, (_, i) => instance(`i-${i}`, { address: `10.0.0.${i}`, weight: i + 1 })),
  );
  for (const type of ["A", "SRV", "TXT"] as const) {
    const query = queryOf(question(NAME, type));
    const context = { directory: new Directory(catalog), zone: ZONE, ready: true, knows: () => true, serial: 1 };
    const found = answer({ labels: NAME.split("."), type: query.type }, context);
    if (!found) throw new Error("no answer");
    const tail = (room: number, mayTruncate = true) =>
      new Records(found, ZONE).tail(seededRandom(1), { questionBytes: query.question.length, room, mayTruncate });
    const whole = tail(10_000);
    // Addresses beside SRV are left out first, without a word.
    const needed = type === "SRV" ? decode(writeAnswer(query, { ...whole, counts: [5, 0, 0] })) : undefined;
    const glue = type === "SRV" ? 5 * 16 : 0;
    const exact = whole.bytes.length - glue;
    expect([tail(exact).truncated, tail(exact).counts[0], tail(exact).bytes.length]).toEqual([false, 5, exact]);
    expect(tail(whole.bytes.length).counts).toEqual([5, 0, type === "SRV" ? 5 : 0]);
    expect([tail(exact - 1).truncated, tail(exact - 1).counts[0]]).toEqual([true, 4]);
    expect([tail(exact - 1, false).truncated, tail(exact - 1, false).counts[0]]).toEqual([false, 4]);
    expect(needed?.answers?.length ?? 5).toBe(5);
  }
});

test("the client that asked least recently is forgotten, not the one that came first", () => {
  const limiter = new RateLimiter(1);
  const empty = (client: string) => {
    for (let i = 0; i < BURST_SECONDS; i++) limiter.take(client, 0);
    return !limiter.take(client, 0);
  };
  expect([empty("first"), empty("second")]).toEqual([true, true]);
  for (let i = 2; i < CLIENTS_MAX; i++) limiter.take(`client-${i}`, 0);
  // It asks once more, so the second is now the least recent.
  expect(limiter.take("first", 0)).toBe(false);
  limiter.take("one more", 0);
  expect([limiter.clients, limiter.take("first", 0)]).toEqual([CLIENTS_MAX, false]);
  expect(limiter.take("second", 0)).toBe(true);
  expect(limiter.clients).toBe(CLIENTS_MAX);
});

test("a bucket holds a burst and refills by its rate, and a clock that goes back takes nothing away", () => {
  const limiter = new RateLimiter(4);
  const taken = (now: number) => Array.from({ length: 20 }, () => limiter.take("a", now)).filter(Boolean).length;
  expect([taken(1_000), taken(1_249), taken(1_250), taken(500), taken(1_000)]).toEqual([8, 0, 1, 0, 2]);
});

test("an id that looks as if it was marked is marked itself, so that no two ids share a label", () => {
  const marked = instanceLabel("Web");
  expect(marked).toMatch(/^web--[0-9a-z]{11}$/);
  const ids = [
    "Web",
    "web",
    "WEB",
    marked,
    instanceLabel(marked),
    "web--00000000000",
    "web--0",
    "-",
    "--",
    "é",
    "a".repeat(63),
    "a".repeat(64),
  ];
  const labels = ids.map(instanceLabel);
  expect(new Set(labels).size).toBe(ids.length);
  for (const label of labels) expect(label).toMatch(/^[a-z0-9-]{1,63}$/);
  expect([instanceLabel("web"), instanceLabel("web--0"), instanceLabel("a".repeat(63))]).toEqual([
    "web",
    "web--0",
    "a".repeat(63),
  ]);
});
