/** Gradual releases while things go wrong: clocks that jump, publishers that die at any step, members over a real etcd. */
import { systemClock } from "#base/library";
import { expect, test } from "vitest";
import { openMemoryStore, openStore, type Store, StoreErrors } from "#store";
import { eventually, testHost, withControl, withEtcd } from "#test/kit";
import { begin, ended, fleet, FollowerInstance, items, QUICK, SET, settled } from "./rollout-kit.ts";

const LONG = { holdSeconds: 600, ackTimeoutSeconds: 600 };

test("a wall clock that jumps neither shortens a hold nor ends a wait", async () => {
  let skewMs = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + skewMs };
  await using control = await withControl({ host: testHost({ clock }) });
  await using web = await fleet(control, 2);
  await settled(control, web);
  (web.instances[1] as FollowerInstance).mute = true;
  await begin(control, "two", {
    stages: [
      { instances: ["web-0"], holdSeconds: 1.5, ackTimeoutSeconds: 60 },
      { instances: ["web-1"], ...LONG },
    ],
  });
  const { config } = control.client;
  await eventually("it holds", async () => (await config.rollout(SET)).waitsFor?.includes("held for"));
  const beganMs = performance.now();
  skewMs = 86_400_000;
  await eventually("the next stage", async () => (await config.rollout(SET)).stage === 1);
  expect(performance.now() - beganMs).toBeGreaterThan(1_000);
  skewMs = -86_400_000;
  await eventually("it waits", async () => (await config.rollout(SET)).waitsFor === "waiting for 1 of 2: web-1");
  skewMs = 2 * 86_400_000;
  // Several looks later it waits still.
  const turns = new Set<string>();
  await eventually("some seconds pass", async () => {
    turns.add((await config.rollout(SET)).state);
    return performance.now() - beganMs > 4_000;
  });
  expect([...turns]).toEqual(["running"]);
});

/** A store that ends after so many transactions: the next is either never done, or done and its answer lost. */
function endingAfter(store: Store, transactions: number, lost: "request" | "answer"): Store {
  let left = transactions;
  return new Proxy(store, {
    get(target, name) {
      if (name === "txn") {
        return async (request: Parameters<Store["txn"]>[0]) => {
          const writes = (request.then ?? []).some(({ type }) => type !== "range");
          if (writes && left-- <= 0) {
            if (left === -1 && lost === "answer") await target.txn(request);
            throw StoreErrors.UNAVAILABLE("gone");
          }
          return target.txn(request);
        };
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}

test.each(["request", "answer"] as const)(
  "a publisher that dies at any step of a gradual release leaves all of it or nothing (its last %s is lost)",
  async (lost) => {
    const host = testHost();
    await using store = openMemoryStore(host);
    await using whole = await withControl({ host, store });
    const large = (value: string) => ({ format: "text" as const, value: `${value} ${"x".repeat(700_000)}` });
    await whole.client.config.publish(SET, { items: items("one") });
    let done = 0;
    for (let steps = 0; done === 0; steps++) {
      expect(steps, "it comes to an end").toBeLessThan(20);
      // The dying member shares the store from the moment that it publishes.
      const broken = { store };
      const member = new Proxy(store, {
        get: (_target, name) => {
          const value: unknown = Reflect.get(broken.store, name);
          return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(broken.store) : value;
        },
      });
      await using dying = await withControl({ host: testHost({ seed: steps + 2 }), store: member });
      await eventually("it is warm", async () => (await dying.client.config.effective(SET)).revision > 0);
      broken.store = endingAfter(store, steps, lost);
      const content = { a: large(`try ${steps}`), b: large(`try ${steps}`) };
      const rollout = { stages: [{ percent: 10, ...LONG }] };
      const published = await dying.client.config.publish(SET, { items: content, rollout }).catch(() => undefined);
      const { releases } = await whole.client.config.releases(SET);
      if (published) expect(releases).toHaveLength(2);
      if (releases.length === 1) {
        await expect(whole.client.config.rollout(SET)).rejects.toMatchObject({ code: "CONFIG_ROLLOUT_NOT_FOUND" });
        continue;
      }
      done = releases.length;
      expect(releases).toMatchObject([{ version: 2, rollout: "running" }, { version: 1 }]);
      const release = await whole.client.config.release(SET, 2);
      expect(Object.values(release.items).map(({ value }) => value.slice(0, 8))).toEqual(
        Object.values(content).map(({ value }) => value.slice(0, 8)),
      );
      expect(await whole.client.config.steerRollout(SET, "complete")).toMatchObject({ state: "completed" });
    }
  },
);

test("a proposal that was approved is released gradually, and is published from its first stage on", async () => {
  await using control = await withControl();
  await using web = await fleet(control, 2);
  await settled(control, web);
  const as = async (name: string) => {
    const { json } = await control.call("POST", "/v1/tokens", { name, policies: ["editor"] });
    const headers = { authorization: `Bearer ${String(json["token"])}` };
    return (method: string, path: string, body?: unknown) => control.call(method, path, body, headers);
  };
  const [ann, ben] = [await as("ann"), await as("ben")];
  const url = "/v1/config/default/orders/default";
  await control.call("PUT", "/v1/config/default/rules", { review: "required" });
  for (const key of ["a.txt", "b.txt"]) await ann("PUT", `${url}/drafts/${key}`, { value: "two" });
  const { json } = await ann("POST", `${url}/proposals`, { reason: "second" });
  const proposal = `${url}/proposals/${String(json["id"])}`;
  await ben("POST", `${proposal}/reviews`, { verdict: "approve" });
  const rollout = { stages: [{ instances: ["web-0"], ...QUICK }], everybody: QUICK };
  expect((await ben("POST", `${proposal}/publish`, { rollout })).status, "an editor publishes nothing").toBe(403);
  const published = await control.call("POST", `${proposal}/publish`, { rollout });
  expect(published).toMatchObject({ status: 201, json: { version: 2, rollout: "running", approvedBy: ["ben"] } });
  expect((await ann("GET", proposal)).json).toMatchObject({ state: "published", version: 2 });
  expect((await ben("POST", `${url}/rollout/abort`, {})).status, "nor takes it back").toBe(403);
  expect(await ended(control, 2)).toMatchObject({ state: "completed", reason: "second" });
  expect(web.values()).toBe("two,two");
});

test(
  "two members over one etcd take a release to all, and back, whichever of them instances are connected to",
  { timeout: 300_000 },
  async () => {
    await using etcd = await withEtcd();
    const open = (seed: number) =>
      openStore(testHost({ seed }), { engine: "etcd", endpoints: [etcd.endpoint], namespace: "t/" });
    await using storeOne = await open(1);
    await using storeTwo = await open(2);
    await using one = await withControl({ host: testHost({ seed: 1 }), store: storeOne });
    await using two = await withControl({ host: testHost({ seed: 2 }), store: storeTwo });
    await using here = new FollowerInstance(one.client, { id: "here" });
    await using there = new FollowerInstance(two.client, { id: "there" });
    await one.client.config.publish(SET, { items: items("one") });
    await eventually("both are known", async () => {
      const { applied, subscribers } = await one.client.config.acknowledgements(SET);
      return applied === 2 && subscribers.every(({ present }) => present);
    });
    await begin(one, "two", { stages: [{ instances: ["there"], ...QUICK }], everybody: QUICK });
    expect(await ended(two, 2)).toMatchObject({
      state: "completed",
      stages: [
        { reached: 1, applied: 1 },
        { reached: 2, applied: 2 },
      ],
    });
    await eventually("both have it", () => [here.value, there.value].join() === "two,two");
    there.refuses = () => "no";
    await begin(one, "three", { stages: [{ instances: ["there"], ...LONG }] });
    expect(await ended(one, 3)).toMatchObject({ state: "rolledBack", because: "there could not apply it: no" });
    await eventually("it is back", () => there.value === "two");
    expect([here.values, there.values]).toEqual([
      ["one", "two"],
      ["one", "two", "three", "two"],
    ]);
  },
);
