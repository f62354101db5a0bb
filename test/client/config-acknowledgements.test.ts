/** A service's acknowledgements as the server lists them: one per subscriber, combined from its watches. */
import { expect, test } from "vitest";
import { z } from "zod";
import { Client, fetchTransport } from "#client";
import { eventually, ManualClock, testHost } from "#test/kit";
import { REPEAT_MS } from "../../client/follow/acknowledger.ts";
import { ConfigReader } from "../../client/config.ts";
import { lab, next, SET, type Lab } from "./kit.ts";

const N = z.object({ n: z.number() });

/** The list of acknowledgements, once it is as said. */
function acknowledged(one: Lab, wanted: object) {
  return eventually(`acknowledged ${JSON.stringify(wanted)}`, async () => {
    const list = await one.control.client.config.acknowledgements(SET);
    try {
      expect(list).toMatchObject(wanted);
      return list;
    } catch {
      return undefined;
    }
  });
}

test("a release counts as applied once the next one is asked for, and not before", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const watch = one.service().posthouse.config.watch("a.json", { schema: N });
  const { releaseKey } = await next(watch);
  expect((await one.control.client.config.acknowledgements(SET)).subscribers).toEqual([]);
  const waiting = watch.next();
  const list = await acknowledged(one, { applied: 1, failed: 0, behind: 0 });
  expect(list.subscribers).toMatchObject([{ subscriber: "orders-1", releaseKey, outcome: "applied" }]);
  await one.release({ "a.json": '{"n":2}' });
  await waiting;
  await acknowledged(one, { applied: 0, behind: 1 });
});

test("a release that changes nothing for a watch is applied by it at once", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}', b: "1" });
  const watch = one.service().posthouse.config.watch("a.json", { schema: N });
  await next(watch);
  const waiting = watch.next();
  await acknowledged(one, { applied: 1 });
  const { revision } = await one.release({ "a.json": '{"n":1}', b: "2" });
  const list = await acknowledged(one, { applied: 1, behind: 0 });
  expect(list.releaseKey).toBe((await one.control.client.config.effective(SET)).releaseKey);
  expect(revision).toBeGreaterThan(0);
  await one.release({ "a.json": '{"n":2}' });
  await waiting;
});

test("a value that does not keep its schema is said to have failed, with the reason", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const watch = one.service().posthouse.config.watch("a.json", { schema: N });
  await next(watch);
  const waiting = watch.next();
  await acknowledged(one, { applied: 1 });
  await one.release({ "a.json": '{"n":"x"}' });
  const list = await acknowledged(one, { applied: 0, failed: 1 });
  expect(list.subscribers[0]?.error).toContain('"a.json"');
  await one.release({ "a.json": '{"n":1}' });
  await acknowledged(one, { applied: 1, failed: 0 });
  await one.release({ "a.json": '{"n":2}' });
  await waiting;
});

test("with manual acknowledgement nothing is sent until the application confirms a change, and the first outcome counts", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const watch = one.service().posthouse.config.watch("a.json", { schema: N, acknowledge: "manual" });
  const first = await next(watch);
  await one.release({ "a.json": '{"n":2}' });
  const second = await next(watch);
  expect((await one.control.client.config.acknowledgements(SET)).subscribers).toEqual([]);
  first.applied();
  second.failed(new Error("the pool did not open"));
  second.applied();
  const list = await acknowledged(one, { applied: 0, failed: 1 });
  expect(list.subscribers[0]).toMatchObject({ releaseKey: second.releaseKey, error: "the pool did not open" });
});

test("with two watches, one pending release delays the acknowledgement, and one failure is acknowledged for both", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}', "b.json": '{"n":1}' });
  const { config } = one.service().posthouse;
  const a = config.watch("a.json", { schema: N });
  const b = config.watch("b.json", { schema: N, acknowledge: "manual" });
  await next(a);
  const ofB = await next(b);
  const waiting = a.next();
  const sibling = one.service({ instance: "orders-2" }).posthouse.config.watch("a.json");
  await next(sibling);
  const alsoWaiting = sibling.next();
  const list = await acknowledged(one, { applied: 1 });
  expect(list.subscribers.map(({ subscriber }) => subscriber)).toEqual(["orders-2"]);
  ofB.failed("no room");
  await acknowledged(one, { applied: 1, failed: 1 });
  await one.release({ "a.json": '{"n":2}', "b.json": '{"n":2}' });
  await Promise.all([waiting, alsoWaiting]);
});

test("a watch that is still at an older release holds the word on the newer one back", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const { config } = one.service().posthouse;
  const slow = config.watch("a.json", { schema: N });
  const quick = config.watch("a.json", { schema: N });
  const other = one.service({ instance: "orders-2" }).posthouse.config.watch("a.json");
  await Promise.all([next(slow), next(quick), next(other)]);
  await one.release({ "a.json": '{"n":2}' });
  await Promise.all([next(quick), next(other)]);
  const waiting = [quick.next(), other.next()];
  await acknowledged(one, { applied: 1, behind: 0 });
  await next(slow);
  waiting.push(slow.next());
  await acknowledged(one, { applied: 2 });
  await one.release({ "a.json": '{"n":3}' });
  await Promise.all(waiting);
});

test("an acknowledgement made while the server is away is sent when it is back", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const { posthouse } = one.service();
  const watch = posthouse.config.watch("a.json", { schema: N, acknowledge: "manual" });
  const change = await next(watch);
  one.wire.cut();
  change.applied();
  await eventually("stale", () => posthouse.config.state.state === "stale");
  one.wire.mend();
  await acknowledged(one, { applied: 1 });
});

test("an acknowledgement is repeated before the server forgets it", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const host = testHost({ clock: new ManualClock() });
  await using real = fetchTransport({ urls: [one.url] });
  const saidAtMs: number[] = [];
  const transport: typeof real = {
    request: async (request) => {
      const answer = await real.request(request);
      if (request.method === "PUT" && answer.status === 204) saidAtMs.push(host.clock.now());
      return answer;
    },
    [Symbol.asyncDispose]: async () => {},
  };
  const client = new Client(host, { transport, token: one.control.token });
  const options = { client, name: SET, instance: { id: "orders-1" }, lastKnownGoodFile: undefined, tell: () => {} };
  await using config = new ConfigReader(host, options);
  (await next(config.watch("a.json", { acknowledge: "manual" }))).applied();
  await eventually("said again", async () => {
    await host.clock.advance(5_000);
    return saidAtMs.length === 2;
  });
  const [first = 0, second = 0] = saidAtMs;
  expect(second - first).toBeGreaterThanOrEqual(REPEAT_MS);
  expect(second - first).toBeLessThan(3_600_000);
});

test("the last acknowledgement before closing is sent", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const { posthouse } = one.service();
  const change = await next(posthouse.config.watch("a.json", { schema: N, acknowledge: "manual" }));
  change.applied();
  await posthouse.close();
  await acknowledged(one, { applied: 1 });
});

test("a rollout reaches a service by its label, and a service that refuses it returns to the lower version", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const there = one.service({ labels: { zone: "eu" } });
  const seen: number[] = [];
  const stop = new AbortController();
  const following = (async () => {
    for await (const change of there.posthouse.config.watch("a.json", { schema: N, signal: stop.signal })) {
      seen.push(change.value.n);
      if (change.value.n === 2) change.failed(new Error("two is too many"));
    }
  })();
  await acknowledged(one, { applied: 1, subscribers: [{ labels: { zone: "eu" }, present: true }] });
  const { config } = one.control.client;
  const items = { "a.json": { format: "json" as const, value: '{"n":2}' } };
  await config.publish(SET, { items, rollout: { stages: [{ labels: { zone: "eu" }, holdSeconds: 60 }] } });
  const { rollouts } = await eventually("it is taken back", async () => {
    const list = await config.rollouts(SET);
    return list.rollouts[0]?.endedAt === undefined ? undefined : list;
  });
  expect(rollouts[0]).toMatchObject({ state: "rolledBack", because: "orders-1 could not apply it: two is too many" });
  await eventually("it has the one before", () => seen.join() === "1,2,1");
  expect([there.posthouse.config.state.state, there.problems]).toEqual(["live", []]);
  stop.abort();
  await following;
});
