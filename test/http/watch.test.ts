/** Watches over real sockets: resuming, whole revisions, slow readers, and a hub that closes. */
import { connect, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { expect, test } from "vitest";
import { createHttpServer, encodeFrame, FrameDecoder, type Frame, HttpErrors, lastEventId, WatchHub } from "#http";
import { eventually, testHost } from "#test/kit";

const principal = { id: "gateway:one", name: "one" };

interface Rig extends AsyncDisposable {
  readonly hub: WatchHub;
  readonly port: number;
  /** The content of a snapshot. */
  state: string[];
  /** Whether the state is unavailable now. */
  untold: boolean;
  read(options?: ReaderOptions): Reader;
}

interface ReaderOptions {
  readonly topics?: string;
  readonly after?: number;
  readonly subscriber?: string;
}

class Reader {
  readonly frames: Frame<string>[] = [];
  readonly socket: Socket;
  closed = false;

  constructor(port: number, { topics = "a", after, subscriber }: ReaderOptions) {
    const decoder = new FrameDecoder();
    let head = "";
    this.socket = connect(port, "127.0.0.1");
    this.socket.write(
      `GET /watch?topics=${topics}${subscriber === undefined ? "" : `&subscriber=${subscriber}`} HTTP/1.0\r\n${after === undefined ? "" : `last-event-id: ${after}\r\n`}\r\n`,
    );
    this.socket.on("data", (chunk: Buffer) => {
      let body = chunk;
      if (!head.includes("\r\n\r\n")) {
        head += chunk.toString("latin1");
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        body = Buffer.from(head.slice(end + 4), "latin1");
        head = `${head.slice(0, end)}\r\n\r\n`;
      }
      this.frames.push(...decoder.push<string>(body));
    });
    this.socket.on("close", () => (this.closed = true));
    this.socket.on("error", () => {});
  }

  /** `event revision data` of each frame but heartbeats. */
  get story(): string[] {
    return this.frames
      .filter(({ event }) => event !== "heartbeat")
      .map(({ event, revision, data }) => `${event} ${revision}${data === undefined ? "" : ` ${data}`}`);
  }

  get last(): number | undefined {
    return this.frames.at(-1)?.revision;
  }
}

async function rig(): Promise<Rig> {
  const host = testHost();
  const app: FastifyInstance = createHttpServer(host, { name: "test" });
  const hub = new WatchHub(host, "test");
  const readers: Reader[] = [];
  const self: Rig = {
    hub,
    port: 0,
    state: [],
    untold: false,
    read(options = {}) {
      const reader = new Reader(self.port, options);
      readers.push(reader);
      return reader;
    },
    async [Symbol.asyncDispose]() {
      for (const { socket } of readers) socket.destroy();
      await hub[Symbol.asyncDispose]();
      await app.close();
    },
  };
  app.get("/watch", (request, reply) => {
    const { topics, subscriber } = request.query as { topics: string; subscriber?: string };
    hub.attach(reply, {
      topics: topics.split(","),
      subscriber,
      principal,
      after: lastEventId(request.headers),
      snapshot: () => {
        if (self.untold) throw HttpErrors.UNAVAILABLE("The state is not available now.");
        return [...self.state];
      },
    });
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  Object.assign(self, { port: (app.server.address() as AddressInfo).port });
  hub.reset(10);
  return self;
}

const news = (topic: string, data: string) => ({ topics: [topic], data });

test("a new reader gets the state, synced, and then what changes", async () => {
  await using watch = await rig();
  watch.state = ["one", "two"];
  const reader = watch.read();
  await eventually("synced", () => reader.story.includes("synced 10"));
  watch.hub.publish(11, [news("a", "three")]);
  watch.hub.publish(12, [news("b", "not for us")]);
  watch.hub.publish(13, [news("a", "four")]);
  await eventually("the last", () => reader.story.at(-1) === "delta 13 four");
  expect(reader.story).toEqual(["snapshot 10 one", "snapshot 10 two", "synced 10", "delta 11 three", "delta 13 four"]);
});

test("a reader that resumes gets exactly what came after, without a snapshot", async () => {
  await using watch = await rig();
  for (let revision = 11; revision <= 20; revision++) watch.hub.publish(revision, [news("a", `n${revision}`)]);
  const reader = watch.read({ after: 15 });
  await eventually("the end", () => reader.last === 20);
  expect(reader.story).toEqual([16, 17, 18, 19, 20].map((n) => `delta ${n} n${n}`));
});

test("a reader that resumes from before the remembered revisions gets a reset and a snapshot", async () => {
  await using watch = await rig();
  watch.state = ["all"];
  const early = watch.read({ after: 4 });
  const ahead = watch.read({ after: 400 });
  await eventually("both synced", () => [early, ahead].every((reader) => reader.story.includes("synced 10")));
  for (const reader of [early, ahead]) expect(reader.story).toEqual(["reset 10", "snapshot 10 all", "synced 10"]);
});

test("a reader whose state is no longer available is disconnected, and the others stay", async () => {
  await using watch = await rig();
  const [begun, late] = [watch.read(), watch.read({ topics: "b" })];
  await eventually("both synced", () => [begun, late].every((reader) => reader.story.includes("synced 10")));
  watch.untold = true;
  const refused = watch.read();
  await eventually("it is let go", () => refused.closed);
  expect([begun.closed, late.closed]).toEqual([false, false]);
  watch.hub.reset(20);
  await eventually("they are let go", () => begun.closed && late.closed);
  watch.untold = false;
  const again = watch.read({ after: 10 });
  await eventually("it is synced", () => again.story.at(-1) === "synced 20");
});

test("a revision of several frames is resumed whole when the cut came between them", async () => {
  await using watch = await rig();
  const reader = watch.read({ topics: "a,b", after: 10 });
  await eventually("live", () => reader.frames.length > 0);
  watch.hub.publish(11, [news("a", "left"), news("b", "right")]);
  await eventually("both halves", () => reader.last === 11);
  const half = reader.frames.find(({ data }) => data === "left")?.revision;
  const again = watch.read({ topics: "a,b", ...(half === undefined ? {} : { after: half }) });
  await eventually("both halves again", () => again.last === 11);
  expect(again.frames.flatMap(({ data }) => data ?? [])).toEqual(["left", "right"]);
});

test("a reader that does not read is dropped while the others hear everything", async () => {
  await using watch = await rig();
  const stuck = watch.read();
  const quick = watch.read();
  await eventually("both live", () => stuck.frames.length > 0 && quick.frames.length > 0);
  stuck.socket.pause();
  const big = "x".repeat(256 * 1024);
  for (let revision = 11; revision <= 60; revision++) {
    watch.hub.publish(revision, [news("a", big)]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually("all of it", () => quick.last === 60);
  stuck.socket.resume();
  await eventually("the cut", () => stuck.closed);
  expect(stuck.frames.filter(({ event }) => event === "delta").length).toBeLessThan(50);
});

test("a reader whose snapshot is overtaken still ends with everything once", async () => {
  await using watch = await rig();
  watch.state = Array.from({ length: 200 }, (_, i) => `${i}:${"s".repeat(20_000)}`);
  const reader = watch.read();
  for (let revision = 11; revision <= 200; revision++) {
    watch.hub.publish(revision, [news("a", `n${revision}`)]);
    if (revision % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await eventually("the end", () => reader.last === 200);
  const deltas = reader.frames.filter(({ event }) => event === "delta").map(({ revision }) => revision);
  const synced = reader.frames.findLast(({ event }) => event === "synced")?.revision ?? 0;
  expect(deltas).toEqual(Array.from({ length: 200 - synced }, (_, i) => synced + 1 + i));
});

test("a new listing resets every live reader", async () => {
  await using watch = await rig();
  watch.state = ["old"];
  const reader = watch.read();
  await eventually("synced", () => reader.story.includes("synced 10"));
  watch.state = ["new"];
  watch.hub.reset(50);
  await eventually("synced again", () => reader.story.includes("synced 50"));
  expect(reader.story.slice(2)).toEqual(["reset 50", "snapshot 50 new", "synced 50"]);
});

test("a closing hub ends its streams and its waiters", async () => {
  await using watch = await rig();
  const reader = watch.read();
  await eventually("live", () => reader.frames.length > 0);
  const waiter = watch.hub.next(["a"], 60_000, new AbortController().signal);
  await watch.hub[Symbol.asyncDispose]();
  expect(await waiter).toBe(true);
  await eventually("the end", () => reader.closed);
});

test("frames survive any cutting of the bytes", () => {
  const frames: Frame[] = [
    { event: "snapshot", revision: 1, data: { name: "驿站", text: "a\nb\r\n" } },
    { event: "synced", revision: 1 },
    { event: "delta", revision: 2, data: [1, "two", null] },
  ];
  const bytes = Buffer.concat(frames.map((frame) => encodeFrame(frame)));
  for (let size = 1; size <= bytes.length; size++) {
    const decoder = new FrameDecoder();
    const read: Frame[] = [];
    for (let at = 0; at < bytes.length; at += size) read.push(...decoder.push(bytes.subarray(at, at + size)));
    expect(read).toEqual(frames);
  }
});

test("a hub of documents tells each topic in one frame at its revision, and resumes from what is so now", async () => {
  const host = testHost();
  const app: FastifyInstance = createHttpServer(host, { name: "test" });
  await using hub = new WatchHub(host, "documents", { documents: true });
  const state = new Map([
    ["a", { text: "a1", revision: 1 }],
    ["b", { text: "b1", revision: 1 }],
  ]);
  app.get<{ Querystring: { topics: string } }>("/watch", (request, reply) => {
    const topic = request.query.topics;
    const now = () => state.get(topic) as { text: string; revision: number };
    hub.attach(reply, {
      topics: [topic],
      after: lastEventId(request.headers),
      snapshot: () => [now().text],
      since: (revision) => (now().revision > revision ? [now().text] : []),
    });
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  hub.reset(1);
  const readers = ["a", "b"].map((topics) => new Reader(port, { topics }));
  await eventually("both know it", () => readers.every(({ story }) => story.length === 2));
  state.set("a", { text: "a2", revision: 2 }).set("b", { text: "b2", revision: 2 });
  hub.publish(2, [
    { topics: ["a"], data: "a2" },
    { topics: ["b"], data: "b2" },
  ]);
  await eventually("both have the delta", () => readers.every(({ last }) => last === 2));
  expect(readers.map(({ story }) => story)).toEqual([
    ["snapshot 1 a1", "synced 1", "delta 2 a2"],
    ["snapshot 1 b1", "synced 1", "delta 2 b2"],
  ]);
  hub.publish(3, []);
  const knows = new Reader(port, { topics: "a", after: 2 });
  const misses = new Reader(port, { topics: "a", after: 1 });
  await eventually("they are live", () => [knows, misses].every(({ last }) => last === 3));
  expect([knows.story, misses.story]).toEqual([[], ["delta 3 a2"]]);
  for (const reader of [...readers, knows, misses]) reader.socket.destroy();
  await hub[Symbol.asyncDispose]();
  await app.close();
});

test("a subscriber of several watches has seen what all of them have, also when they were cut off meanwhile", async () => {
  await using watch = await rig();
  const { hub } = watch;
  const readers = [watch.read({ subscriber: "gateway" }), watch.read({ subscriber: "gateway" })];
  const ids = () => [...hub.watchers(["a"])].map(({ id }) => id);
  await eventually("both are there", () => ids().length === 2);
  hub.publish(11, [news("a", "draining")]);
  hub.acknowledge(ids()[0] ?? "", { principal, revision: 11 });
  expect(hub.unseen(["a"], 11)).toEqual(["gateway"]);
  for (const { socket } of readers) socket.destroy();
  await eventually("both are gone", () => ids().length === 0);
  expect(hub.unseen(["a"], 11)).toEqual(["gateway"]);
  // One is back and knows; the other is still out there with what it knew.
  watch.read({ subscriber: "gateway" });
  await eventually("one is back", () => ids().length === 1);
  hub.acknowledge(ids()[0] ?? "", { principal, revision: 11 });
  expect(hub.unseen(["a"], 11)).toEqual(["gateway"]);
  watch.read({ subscriber: "gateway" });
  await eventually("both are back", () => ids().length === 2);
  for (const id of ids()) hub.acknowledge(id, { principal, revision: 11 });
  expect(hub.unseen(["a"], 11)).toEqual([]);
});
