/** The feed of consoles: over real sockets, coalesced, resumable, bounded for readers that do not read. */
import { connect, type AddressInfo } from "node:net";
import Fastify from "fastify";
import { expect, test } from "vitest";
import { TaskGroup } from "#base";
import { builtInRights } from "#http";
import { openMemoryStore } from "#store";
import { call, eventually, hangSignal, startPosthouse, tempFolder, testHost } from "#test/kit";
import { ChangedTopics } from "../../timeline/core/changed-topics.ts";
import { topicsOfKey } from "../../timeline/core/topics.ts";
import { Feed } from "../../timeline/feed.ts";
import { FeedReaders } from "../../timeline/feed-readers.ts";

interface FeedEvent {
  readonly event: string;
  readonly id: string;
  readonly data: {
    readonly topics?: readonly (string | { readonly topic: string; readonly names?: readonly string[] })[];
    readonly reason?: string;
  };
}

/** Reads a feed until it is stopped. */
function followFeed(api: string, token: string, lastEventId?: string) {
  const events: FeedEvent[] = [];
  const stop = new AbortController();
  const done = (async () => {
    const answer = await fetch(`${api}/v1/feed`, {
      headers: {
        authorization: `Bearer ${token}`,
        ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
      },
      signal: AbortSignal.any([stop.signal, hangSignal()]),
    });
    let text = "";
    for await (const chunk of answer.body ?? []) {
      text += Buffer.from(chunk).toString();
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const [event = "", id = "", data = ""] = text.slice(0, end).split("\n");
        events.push({ event: event.slice(7), id: id.slice(4), data: JSON.parse(data.slice(6)) as FeedEvent["data"] });
        text = text.slice(end + 2);
      }
    }
  })().catch(() => {});
  const topics = () => events.flatMap(({ event, data }) => (event === "changed" ? (data.topics ?? []) : []));
  return {
    events,
    topics,
    async stop() {
      stop.abort();
      await done;
    },
  };
}

test("keys belong to topics, and names are dropped when there are many", () => {
  const found: string[] = [];
  for (const key of [
    "/registry/verdicts/ns/web/i/c",
    "/config/live/ns/gateway/default",
    "/locks/queue/ns/a:b/s1",
    "/unknown/x",
  ]) {
    topicsOfKey(key, (topic, name) => found.push(`${topic} ${name}`));
  }
  expect(found).toEqual([
    "services ns",
    "service ns/web",
    "config ns/gateway/default",
    "rollouts ns/gateway/default",
    "routes ns",
    "locks ns/a/b",
  ]);
  const changed = new ChangedTopics();
  for (let index = 0; index < 50; index++) changed.add("service", `ns/s${index}`);
  expect(changed.seenBy(() => true)[0]?.names).toHaveLength(50);
  expect(changed.seenBy((_, name) => name === undefined || name === "ns/s7")).toEqual([
    { topic: "service", names: ["ns/s7"] },
  ]);
  expect(changed.seenBy((_, name) => name === undefined)).toEqual([]);
  changed.add("service", "ns/s50");
  expect(changed.seenBy(() => true)).toEqual([{ topic: "service" }]);
});

test(
  "a feed names the changed things, resumes, resets after a gap, and shows a reader its topics only",
  { timeout: 300_000 },
  async () => {
    await using folder = await tempFolder();
    await using posthouse = await startPosthouse({ data: folder.path, args: ["--roles", "registry,config-server"] });
    const { api } = posthouse;
    const token = posthouse.token as string;
    const register = (service: string, port: number) =>
      call(`${api}/v1/services/${service}/instances/one`, {
        method: "PUT",
        token,
        body: { address: "127.0.0.1", port, checks: [] },
      });
    const first = followFeed(api, token);
    await eventually("hello", () => first.events[0]?.event === "hello");
    expect(first.events[0]?.data.topics).toContain("access");
    await register("web", 1);
    await eventually("the service is named", () =>
      first
        .topics()
        .some((one) => typeof one !== "string" && one.topic === "service" && one.names?.includes("default/web")),
    );
    const { id } = first.events.at(-1) as FeedEvent;
    await first.stop();
    await register("shop", 1);
    const second = followFeed(api, token, id);
    await eventually("what was missed", () =>
      second.topics().some((one) => typeof one !== "string" && one.names?.includes("default/shop")),
    );
    expect(second.events.some(({ event }) => event === "reset")).toBe(false);
    await second.stop();
    const third = followFeed(api, token, "another.7");
    await eventually("a gap", () => third.events[1]?.event === "reset");
    expect(third.events[1]?.data.reason).toBe("gap");
    const before = third.events.length;
    for (let port = 2; port < 102; port++) await register("web", port);
    await eventually("the last change", () => third.events.length > before);
    expect(third.events.length - before).toBeLessThan(60);
    await third.stop();
    const { json } = await call(`${api}/v1/tokens`, {
      method: "POST",
      token,
      body: { name: "r", policies: ["viewer"] },
    });
    await eventually(
      "the token is known",
      async () => (await call(`${api}/v1/me`, { token: String(json["token"]) })).status === 200,
    );
    const fourth = followFeed(api, String(json["token"]));
    await eventually("hello", () => fourth.events[0]?.event === "hello");
    expect(fourth.events[0]?.data.topics).not.toContain("access");
    await call(`${api}/v1/tokens/${String(json["id"])}`, { method: "DELETE", token });
    await fourth.stop();
  },
);

test("a problem that ends right after the first reader's hello is announced", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  let problems = "one";
  await using feed = new Feed(host, store, {
    member: "m",
    appliedTo: () => Infinity,
    revision: () => 1,
    problems: () => problems,
  });
  await using tasks = new TaskGroup(host.log);
  tasks.run("feed", (signal) => feed.run(signal));
  const app = Fastify();
  const caller = {
    id: "t",
    name: "t",
    kind: "token",
    policies: ["operator"],
    rights: builtInRights(["operator"]),
  } as const;
  app.get("/v1/feed", (_request, reply) => feed.attach(reply, caller, undefined));
  await using _ = { [Symbol.asyncDispose]: () => app.close() };
  const reader = followFeed(await app.listen({ port: 0, host: "127.0.0.1" }), "none");
  await eventually("hello", () => reader.events[0]?.event === "hello");
  problems = "none";
  await eventually("it is announced", () =>
    reader.topics().some((one) => typeof one !== "string" && one.topic === "problems"),
  );
  await reader.stop();
});

test("a feed ends with its connection", async () => {
  await using folder = await tempFolder();
  await using posthouse = await startPosthouse({ data: folder.path, args: ["--roles", "registry,config-server"] });
  const { hostname, port } = new URL(posthouse.api);
  const socket = connect(Number(port), hostname);
  socket.pause();
  socket.write(`GET /v1/feed HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${posthouse.token}\r\n\r\n`);
  await eventually("the feed is open", async () => {
    const { text } = await call(`${posthouse.api}/metrics`, { token: posthouse.token });
    return /^posthouse_feeds 1$/m.test(text);
  });
  socket.destroy();
  await eventually("the feed has ended", async () => {
    const { text } = await call(`${posthouse.api}/metrics`, { token: posthouse.token });
    return /^posthouse_feeds 0$/m.test(text);
  });
});

test("a reader that does not read is sent nothing more, and one reset when it reads again", async () => {
  const readers = new FeedReaders(testHost());
  const app = Fastify();
  let waiting = () => 0;
  app.get("/", (_request, reply) => {
    const principal = {
      id: "viewer:x",
      name: "x",
      kind: "token",
      policies: ["viewer"],
      rights: builtInRights(["viewer"]),
    } as const;
    readers.open(reply, principal, () => ({ event: "reset", id: "m.9", data: { reason: "slow" } }));
    waiting = () => reply.raw.writableLength;
  });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => app.close());
  await app.listen({ host: "127.0.0.1", port: 0 });
  const socket = connect((app.server.address() as AddressInfo).port, "127.0.0.1");
  stack.defer(() => void socket.destroy());
  socket.write("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
  await eventually("the feed is open", () => readers.count === 1);
  socket.pause();
  const event = { event: "changed", id: "m.1", data: "x".repeat(32 * 1024) };
  let sent = 0;
  // Until the buffers of the system are full, writes leave at once.
  await eventually("it waits", () => {
    for (let index = 0; index < 100; index++) for (const audience of readers.audiences()) readers.send(audience, event);
    sent += 100;
    return waiting() > 64 * 1024;
  });
  const before = waiting();
  for (let index = 0; index < 1_000; index++) for (const audience of readers.audiences()) readers.send(audience, event);
  expect(waiting()).toBe(before);
  expect(before).toBeLessThan(sent * 32 * 1024);
  let text = "";
  socket.on("data", (chunk: Buffer) => (text = (text + chunk.toString()).slice(-200)));
  socket.resume();
  await eventually("the reset arrives", () => text.includes("event: reset"));
});
