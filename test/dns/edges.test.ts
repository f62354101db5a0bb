/** Edges of the DNS core: bits that are copied, records that are malformed, sizes to the byte, and who is forgotten. */
import { decode } from "dns-packet";
import { expect, test } from "vitest";
import { seededRandom } from "#base";
import { testHost } from "#test/kit";
import { answer } from "../../dns/core/answer.ts";
import { Directory } from "../../dns/core/directory.ts";
import { BURST_SECONDS, CLIENTS_MAX, RateLimiter } from "../../dns/core/limiter.ts";
import {
  answersQuery,
  emptyTail,
  HEADER_BYTES,
  isTruncated,
  OPT_BYTES,
  questionLabels,
  Rcode,
  rcodeOf,
  readdressed,
  readQuery,
  roomFor,
  Type,
  udpBytes,
  UDP_BYTES_MAX,
  UDP_BYTES_PLAIN,
  writeAnswer,
  writeForwarded,
  writeRefusal,
  type Query,
} from "../../dns/core/message.ts";
import { instanceLabel } from "../../dns/core/names.ts";
import { Records } from "../../dns/core/wire.ts";
import { isWritable, isWritableName } from "../../dns/core/writable.ts";
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

test("a refusal is a header with the id, the operation and the copied bits of the query", () => {
  const query = question(NAME, "A", { flags: 0x0110 | (4 << 11) });
  const refusal = writeRefusal(query, Rcode.NOTIMP);
  expect([...refusal]).toEqual([4711 >> 8, 4711 & 255, 0x80 | (4 << 3) | 1, 0x10 | 4, 0, 0, 0, 0, 0, 0, 0, 0]);
});

/** A query with raw additional records. */
function withAdditionals(...records: Buffer[]): Buffer {
  const query = question(NAME);
  query.writeUInt16BE(records.length, 10);
  return Buffer.concat([query, ...records]);
}
const opt = (name: number[], data: number[] = [], stated = data.length) =>
  Buffer.from([...name, 0, Type.OPT, 0x10, 0, 0, 0, 0x80, 0, stated >> 8, stated & 255, ...data]);

test("a question ends with its class, whatever follows it", () => {
  const plain = queryOf(question(NAME));
  const withOpt = queryOf(withAdditionals(opt([0])));
  expect(withOpt.question).toEqual(plain.question);
  expect([withOpt.key, withOpt.key.length]).toEqual([plain.key, plain.question.length]);
  expect(questionLabels(withOpt)).toEqual(NAME.split("."));
});

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
  expect(readQuery(query.subarray(0, HEADER_BYTES))).toEqual({ kind: "refuse", rcode: 1 });
  expect(readQuery(query.subarray(0, HEADER_BYTES - 1))).toEqual({ kind: "drop", reason: "short" });
  const response = Buffer.from(query);
  response[2] = 0x80;
  expect(readQuery(response)).toEqual({ kind: "drop", reason: "response" });
  // Queries alone are implemented, none of the other operations.
  for (let opcode = 1; opcode < 16; opcode++) {
    const other = Buffer.from(query);
    other[2] = opcode << 3;
    expect([opcode, readQuery(other)]).toEqual([opcode, { kind: "refuse", rcode: 4 }]);
  }
  // 63 bytes are a label, 64 are not; 255 bytes are a name, 256 are not.
  const labelled = (...lengths: number[]) => {
    const labels = lengths.map((length) => Buffer.from([length, ...Buffer.alloc(length, "a")]));
    const head = Buffer.from([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    return readQuery(Buffer.concat([head, ...labels, Buffer.from([0, 0, 1, 0, 1])])).kind;
  };
  expect([labelled(63), labelled(64), labelled(126), labelled(192)]).toEqual(["query", "refuse", "refuse", "refuse"]);
  expect([labelled(63, 63, 63, 61), labelled(63, 63, 63, 62)]).toEqual(["query", "refuse"]);
});

test("an answer ends with an OPT record of eleven bytes for a client that sent one, and only then", () => {
  const tail = emptyTail(Rcode.BADVERS, { truncated: true });
  // Root, type, size, extended code, version, flags (DNSSEC OK, if it was set), no options.
  const expected = [0, 0, 41, 1232 >> 8, 1232 & 255, 1, 0, 0, 0, 0, 0];
  const without = writeAnswer(queryOf(question(NAME)), tail);
  const plain = writeAnswer(queryOf(question(NAME, "A", edns(4096))), tail);
  expect([...plain.subarray(-OPT_BYTES)]).toEqual(expected);
  expect([...writeAnswer(queryOf(withAdditionals(opt([0]))), tail).subarray(-OPT_BYTES)]).toEqual([
    ...expected.slice(0, 7),
    0x80,
    ...expected.slice(8),
  ]);
  expect([without.length + OPT_BYTES, without.readUInt16BE(10), plain.readUInt16BE(10)]).toEqual([plain.length, 0, 1]);
  expect([isTruncated(plain), rcodeOf(plain), rcodeOf(writeAnswer(queryOf(question(NAME)), emptyTail(5)))]).toEqual([
    true,
    0,
    5,
  ]);
});

test("a forwarded query has an id of its own, one question, and OPT where the client sent it", () => {
  const query = queryOf(question(NAME, "A", { ...edns(4096), flags: 0x0110 }));
  const sent = writeForwarded(query, 0x1234);
  const reading = queryOf(sent);
  expect([reading.id, reading.copied, reading.key, reading.edns]).toEqual([
    0x1234,
    0x0110,
    query.key,
    { payloadBytes: UDP_BYTES_MAX, version: 0, dnssecOk: false },
  ]);
  expect(queryOf(writeForwarded(queryOf(question(NAME)), 1))).toMatchObject({ id: 1, edns: undefined });
});

test("an answer belongs to a query by its id, its kind and its whole question", () => {
  const query = queryOf(question(NAME));
  const answered = writeAnswer({ ...query, id: 7 }, emptyTail(Rcode.NXDOMAIN));
  const changed = (at: number, value: number) => {
    const bytes = Buffer.from(answered);
    bytes[at] = value;
    return answersQuery(bytes, query, 7);
  };
  expect(changed(0, 0)).toBe(true);
  // The id, the bit of a response, the operation, the number of questions, and capitals.
  expect([changed(1, 8), changed(2, 0x01), changed(2, 0xa9), changed(5, 2)]).toEqual([false, false, false, false]);
  expect(changed(HEADER_BYTES + 1, "O".charCodeAt(0))).toBe(false);
  expect(answersQuery(answered.subarray(0, -1), query, 7)).toBe(false);
  // The client receives it under the id that it sent, with the bit that recursion is available.
  const before = answered.readUInt16BE(2);
  const back = readdressed(answered, query.id);
  expect([back.readUInt16BE(0), back.readUInt16BE(2)]).toEqual([4711, before | 0x0080]);
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

/** The answer to a question in a zone, and its bytes for a question of that many bytes. */
function tailOf(name: string, type: number, zone = ZONE, questionBytes = queryOf(question(name)).question.length) {
  const catalog = testCatalog(instance("one"));
  const context = { directory: new Directory(catalog), zone, ready: true, knows: () => true, serial: 2 ** 32 + 5 };
  const found = answer({ labels: name.split("."), type }, context);
  if (!found) throw new Error("no answer");
  return new Records(found, zone).tail(seededRandom(1), { questionBytes, room: 60_000, mayTruncate: true });
}

test("a negative answer carries the SOA record under the name of the zone", () => {
  const zone = { ...ZONE, labels: ["posthouse", "internal"], ttlSeconds: 9 };
  const name = "nobody.service.posthouse.internal";
  const packet = decode(writeAnswer(queryOf(question(name)), tailOf(name, Type.A, zone)));
  expect([packet.answers, packet.authorities?.length, packet.additionals]).toEqual([[], 1, []]);
  expect(packet.authorities?.[0]).toMatchObject({
    name: "posthouse.internal",
    type: "SOA",
    ttl: 9,
    data: {
      mname: "ns.posthouse.internal",
      rname: "hostmaster.posthouse.internal",
      // A serial has 32 bits.
      serial: 5,
      refresh: 3600,
      retry: 600,
      expire: 86_400,
      minimum: 9,
    },
  });
  const apex = decode(writeAnswer(queryOf(question("posthouse", "SOA")), tailOf("posthouse", Type.SOA)));
  expect([apex.answers?.map(({ name, type }) => [name, type]), apex.authorities]).toEqual([[["posthouse", "SOA"]], []]);
});

test("an answer over TCP holds at most 512 records, drawn from all", () => {
  const catalog = testCatalog(
    ...Array.from({ length: 600 }, (_, i) => instance(`i-${i}`, { address: `10.0.${i >> 8}.${i & 255}` })),
  );
  const context = { directory: new Directory(catalog), zone: ZONE, ready: true, knows: () => true, serial: 1 };
  const found = answer({ labels: NAME.split("."), type: Type.A }, context);
  if (!found) throw new Error("no answer");
  const tail = new Records(found, ZONE).tail(seededRandom(1), { questionBytes: 30, room: 65_000, mayTruncate: false });
  expect([tail.counts, tail.truncated]).toEqual([[512, 0, 0], false]);
});

test("an address beside SRV points back at the target, and repeats the name where no pointer reaches", () => {
  // The target stands 30 bytes behind the question: a header of 12, and 18 of its record.
  const reached = tailOf(NAME, Type.SRV, ZONE, 0x3fff - 30);
  const beyond = tailOf(NAME, Type.SRV, ZONE, 0x3fff - 29);
  expect([reached.counts, beyond.counts]).toEqual([
    [1, 0, 1],
    [1, 0, 1],
  ]);
  const target = "one.orders.instance.posthouse";
  expect(beyond.bytes.length - reached.bytes.length).toBe(target.length + 2 - 2);
  expect([...reached.bytes.subarray(-16, -14)]).toEqual([0xff, 0xff]);
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

test("an id has the same label in every version, so that a name that a client kept leads to it after an upgrade", () => {
  // cyrb53 in base 36, computed by other means.
  expect(["Web", "é", "a.b", "A5"].map(instanceLabel)).toEqual([
    "web--0d1yv9pegm8",
    "--2dw1k5a5uc5",
    "a-b--0mfnbzp6puf",
    "a5--0pqd4p6dxs5",
  ]);
  expect(instanceLabel("A".repeat(64))).toBe(`${"a".repeat(50)}--2b0xgtafv7k`);
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

test("a name can be written with labels of up to 63 bytes, 255 bytes in all, and no number as its last label", () => {
  const long = "a".repeat(63);
  const good = [
    "a",
    "a.",
    "my_db.example",
    long,
    "10.0.0.1a",
    "3.example",
    `${long}.${long}.${long}.${"a".repeat(61)}`,
  ];
  const bad = [
    "",
    ".",
    ".a",
    "a..b",
    "a b",
    "host:80",
    "ü",
    "1.2.3",
    "7",
    `${long}a`,
    `${long}.${long}.${long}.${"a".repeat(62)}`,
  ];
  expect(good.filter((name) => !isWritableName(name))).toEqual([]);
  expect(bad.filter(isWritableName)).toEqual([]);
  for (const type of ["NS", "CNAME", "PTR"] as const) {
    expect([isWritable({ type, data: "a.b" }), isWritable({ type, data: "a..b" })]).toEqual([true, false]);
  }
});

test("a record can be written when its numbers and texts fit their fields", () => {
  const srv = (over: object) =>
    isWritable({ type: "SRV", data: { priority: 1, weight: 1, port: 1, target: "a.b", ...over } });
  for (const field of ["priority", "weight", "port"]) {
    expect([0, 65_535, 65_536, -1, 0.5].map((value) => srv({ [field]: value }))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  }
  expect(srv({ target: "a..b" })).toBe(false);
  const text = (...sizes: number[]) => isWritable({ type: "TXT", data: sizes.map((size) => "x".repeat(size)) });
  expect([text(255), text(256), text(1, 256), isWritable({ type: "TXT", data: ["é".repeat(128)] })]).toEqual([
    true,
    false,
    false,
    false,
  ]);
  // 65,535 bytes of data, with one byte of length before each text.
  const full = Array.from({ length: 255 }, () => 255);
  expect([text(...full, 254), text(...full, 255)]).toEqual([true, false]);
  expect(isWritable({ type: "A", data: "10.0.0.1" })).toBe(true);
});
