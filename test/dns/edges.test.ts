/** Edges of the DNS core: sizes to the byte, pointers, labels, and who is forgotten. */
import { decode } from "dns-packet";
import { expect, test } from "vitest";
import { seededRandom } from "#base";
import { answer } from "../../dns/core/answer.ts";
import { Directory } from "../../dns/core/directory.ts";
import { BURST_SECONDS, CLIENTS_MAX, RateLimiter } from "../../dns/core/limiter.ts";
import {
  HEADER_BYTES,
  OPT_BYTES,
  roomFor,
  Type,
  udpBytes,
  UDP_BYTES_MAX,
  UDP_BYTES_PLAIN,
  writeAnswer,
} from "../../dns/core/message.ts";
import { instanceLabel } from "../../dns/core/names.ts";
import { Records } from "../../dns/core/wire.ts";
import { isWritable, isWritableName } from "../../dns/core/writable.ts";
import { edns, instance, NAME, question, queryOf, testCatalog, ZONE } from "./kit.ts";

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

test("two tails of an answer may differ when it draws from two records or more", () => {
  const varies = (count: number) => {
    const catalog = testCatalog(
      ...Array.from({ length: count }, (_, i) => instance(`i${i}`, { address: `10.0.0.${i}` })),
    );
    const context = { directory: new Directory(catalog), zone: ZONE, ready: true, knows: () => true, serial: 1 };
    const found = answer({ labels: NAME.split("."), type: Type.A }, context);
    return found && new Records(found, ZONE).varies;
  };
  expect([varies(0), varies(1), varies(2), varies(3)]).toEqual([false, false, true, true]);
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
  // The target is 30 bytes behind the question: a header of 12, and 18 of its record.
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
