/** Queries and answers as bytes: bits that are copied, records that are malformed, and what belongs to a query. */
import { expect, test } from "vitest";
import { testHost } from "#test/kit";
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
  Type,
  UDP_BYTES_MAX,
  writeAnswer,
  writeForwarded,
  writeRefusal,
} from "../../dns/core/message.ts";
import { Responder } from "../../dns/responder.ts";
import { edns, instance, NAME, question, queryOf, testCatalog, ZONE } from "./kit.ts";

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
  // A record of another type may have a pointer as its name; bytes from 64 to 191 are neither a length nor a pointer.
  const text = (...name: number[]) =>
    readQuery(withAdditionals(Buffer.from([...name, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0]))).kind;
  expect([text(0xc0, 12), text(1, 97, 0xc0, 12), text(0x40, 12), text(0xbf, 12)]).toEqual([
    "query",
    "query",
    "refuse",
    "refuse",
  ]);
  expect(readQuery(withAdditionals(Buffer.from([0xc0])))).toEqual(formerr);
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
  expect(isTruncated(writeAnswer(queryOf(question(NAME)), emptyTail(Rcode.NOERROR)))).toBe(false);
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

test("the numbers of record types and of answers are those of IANA", () => {
  expect(Type).toEqual({
    A: 1,
    NS: 2,
    CNAME: 5,
    SOA: 6,
    PTR: 12,
    HINFO: 13,
    TXT: 16,
    AAAA: 28,
    SRV: 33,
    OPT: 41,
    HTTPS: 65,
    IXFR: 251,
    AXFR: 252,
    ANY: 255,
  });
  expect(Rcode).toEqual({ NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 });
});
