/** Gradual releases through the API, over a real store, with real watches: stages, gates, ways back, and what is recorded. */
import { expect, test } from "vitest";
import { openMemoryStore } from "#store";
import { eventually, testHost, withControl } from "#test/kit";
import { begin, ended, fleet, FollowerInstance, items, QUICK, SET, settled } from "./rollout-kit.ts";

const LONG = { holdSeconds: 600, ackTimeoutSeconds: 600 };

test("a release reaches the named instances, then a label's, then everybody, and only then is live", async () => {
  await using control = await withControl();
  await using web = await fleet(control, 4);
  await settled(control, web);
  const stages = [
    { instances: ["web-3"], ...LONG },
    { labels: { zone: "eu" }, ...LONG },
  ];
  const { version, rollout } = await begin(control, "two", { stages, everybody: QUICK });
  expect([version, rollout]).toEqual([2, "running"]);
  await eventually("the first stage", () => web.values() === "one,one,one,two");
  const { config } = control.client;
  await eventually("it holds", async () => (await config.rollout(SET)).waitsFor?.startsWith("1 applied it; held for"));
  expect((await config.release(SET, 2)).version).toBe(2);
  expect((await control.call("GET", "/v1/config")).json["sets"]).toMatchObject([{ version: 1, rollout: 2 }]);

  expect(await config.steerRollout(SET, "promote", "looks good")).toMatchObject({ stage: 1, state: "running" });
  await eventually("the second stage includes the first", () => web.values() === "two,two,one,two");
  await config.steerRollout(SET, "promote");
  await eventually("everybody", () => web.values() === "two,two,two,two");
  expect(await ended(control, 2)).toMatchObject({
    state: "completed",
    baseVersion: 1,
    stages: [{}, {}, { applied: 4 }],
  });
  expect((await control.call("GET", "/v1/config")).json["sets"]).toMatchObject([{ version: 2 }]);
  for (const one of web.instances) expect([one.values, one.mixes]).toEqual([["one", "two"], []]);
  await expect(config.rollout(SET)).rejects.toMatchObject({ code: "CONFIG_ROLLOUT_NOT_FOUND", status: 404 });
});

test("a stage passes once every instance in it has acknowledged and the hold is over", async () => {
  await using control = await withControl();
  await using web = await fleet(control, 3);
  await settled(control, web);
  await begin(control, "two", {
    stages: [
      { instances: ["web-0"], ...QUICK },
      { percent: 50, ...QUICK },
    ],
    everybody: QUICK,
  });
  const view = await ended(control, 2);
  expect(view).toMatchObject({ state: "completed", because: "3 of 3 applied it, and all was well for 0.1 s" });
  expect(view.stages).toMatchObject([{ reached: 1, applied: 1 }, {}, { reached: 3, applied: 3 }]);
  expect(web.values()).toBe("two,two,two");
  expect((await control.client.config.releases(SET)).releases).toMatchObject([
    { version: 2, rollout: "completed" },
    {},
  ]);
});

test("an instance that cannot apply a release rolls it back on every instance that it reached, with the reason", async () => {
  await using control = await withControl();
  await using web = await fleet(control, 4);
  await settled(control, web);
  (web.instances[1] as FollowerInstance).refuses = (value) => (value === "two" ? "port is taken" : undefined);
  await begin(control, "two", { stages: [{ labels: { zone: "eu" }, ...LONG }] });
  const view = await ended(control, 2);
  expect(view).toMatchObject({
    state: "rolledBack",
    because: "web-1 could not apply it: port is taken",
    failures: [{ instance: "web-1", error: "port is taken" }],
    reason: "to two",
  });
  expect(view.by).toBeUndefined();
  await eventually("all are back", () => web.values() === "one,one,one,one");
  expect(web.instances.map(({ values }) => values.join())).toEqual(["one,two,one", "one,two,one", "one", "one"]);
  const { releases } = await control.client.config.releases(SET);
  expect(releases).toMatchObject([{ version: 2, rollout: "rolledBack" }, { version: 1 }]);
  const next = await control.client.config.publish(SET, { items: items("three"), expectedVersion: 1 });
  expect(next.version, "a number is not used again").toBe(3);
});

test("an instance that stays silent is waited for by name, and too long a silence takes the release back", async () => {
  await using control = await withControl();
  await using web = await fleet(control, 2);
  await settled(control, web);
  (web.instances[0] as FollowerInstance).mute = true;
  await begin(control, "two", { stages: [{ instances: ["web-0", "web-1"], holdSeconds: 0, ackTimeoutSeconds: 1 }] });
  const waiting = await eventually("it waits for one", async () => {
    const view = await control.client.config.rollout(SET);
    return view.waitsFor === "waiting for 1 of 2: web-0" ? view : undefined;
  });
  expect(waiting.instances).toMatchObject([
    { instance: "web-0", reached: true, present: true },
    { instance: "web-1", outcome: "applied" },
  ]);
  expect(await ended(control, 2)).toMatchObject({
    state: "rolledBack",
    because: "after 1 s it still waited for 1 of 2: web-0",
  });
});

test("a stage that reaches no instance proves nothing and does not pass", async () => {
  await using control = await withControl();
  await using web = await fleet(control, 1);
  await settled(control, web);
  await begin(control, "two", { stages: [{ labels: { zone: "nowhere" }, holdSeconds: 0, ackTimeoutSeconds: 0.3 }] });
  expect(await ended(control, 2)).toMatchObject({
    state: "rolledBack",
    because: "after 0.3 s it still waited for 1 acknowledgements (0 so far)",
  });
  expect(web.values()).toBe("one");
});

test("instances that turn critical take it back; those that were so before do not", async () => {
  await using control = await withControl();
  await using web = await fleet(control, 3);
  await settled(control, web);
  const { registry, config } = control.client;
  for (const id of ["web-0", "web-1", "web-2"]) {
    const name = { namespace: "default", service: "orders", id };
    await registry.register(name, {
      address: "127.0.0.1",
      port: 80,
      checks: [{ id: "up", type: "ttl", ttlSeconds: 60 }],
    });
    if (id !== "web-0") await registry.report(name, "up", { status: "passing" });
  }
  await eventually("the registry has them", async () => {
    const { instances } = await registry.instances({ namespace: "default", service: "orders" });
    return instances.map(({ status }) => status).join() === "critical,passing,passing";
  });
  await begin(control, "two", { stages: [{ instances: ["web-0", "web-1"], ...LONG }] });
  await eventually("it holds in spite of web-0", async () =>
    (await config.rollout(SET)).waitsFor?.startsWith("2 applied it"),
  );
  // The health of an instance that the release has not reached does not count.
  await registry.report({ namespace: "default", service: "orders", id: "web-2" }, "up", { status: "critical" });
  await eventually("web-2 is seen", async () =>
    (await config.rollout(SET)).instances?.some(
      ({ instance, health }) => instance === "web-2" && health === "critical",
    ),
  );
  expect((await config.rollout(SET)).state).toBe("running");
  await registry.report({ namespace: "default", service: "orders", id: "web-1" }, "up", { status: "critical" });
  expect(await ended(control, 2)).toMatchObject({
    state: "rolledBack",
    because: "1 instances of orders turned critical (at most 0 may): web-1",
  });
  await eventually("all are back", () => web.values() === "one,one,one");
});

test("an abort takes it back at once, and says who and why", async () => {
  await using control = await withControl();
  await using web = await fleet(control, 2);
  await settled(control, web);
  await begin(control, "two", { stages: [{ instances: ["web-0"], ...LONG }] });
  await eventually("it reached one", () => web.values() === "two,one");
  const view = await control.client.config.steerRollout(SET, "abort", "wrong ticket");
  expect(view).toMatchObject({ state: "rolledBack", because: "wrong ticket", by: "operator" });
  await eventually("it is back", () => web.values() === "one,one");
  await expect(control.client.config.steerRollout(SET, "abort")).rejects.toMatchObject({
    code: "CONFIG_ROLLOUT_NOT_FOUND",
  });
});

test("while one is under way another release is refused, but for an emergency, which ends it", async () => {
  await using control = await withControl();
  await using web = await fleet(control, 2);
  await settled(control, web);
  await begin(control, "two", { stages: [{ instances: ["web-0"], ...LONG }] });
  const { config } = control.client;
  const refused = { code: "CONFIG_ROLLOUT_ACTIVE", status: 409, extra: { version: 2 } };
  await expect(config.publish(SET, { items: items("three") })).rejects.toMatchObject(refused);
  await expect(config.rollback(SET, { toVersion: 1 })).rejects.toMatchObject(refused);
  const { version } = await config.publish(SET, { items: items("three"), emergency: true, reason: "outage" });
  expect(version).toBe(3);
  expect(await ended(control, 2)).toMatchObject({
    state: "superseded",
    because: "emergency release 3: outage",
    by: "operator",
  });
  await eventually("all have it", () => web.values() === "three,three");
});

test("a failure may pause a rollout instead; a resume continues in spite of the failure", async () => {
  await using control = await withControl();
  await using web = await fleet(control, 2);
  await settled(control, web);
  (web.instances[0] as FollowerInstance).refuses = (value) => (value === "two" ? "too hot" : undefined);
  await begin(control, "two", {
    stages: [{ instances: ["web-0"], ...QUICK, acksMin: 0 }],
    everybody: QUICK,
    onFailure: "pause",
  });
  const { config } = control.client;
  const paused = await eventually("it is paused", async () => {
    const view = await config.rollout(SET);
    return view.state === "paused" ? view : undefined;
  });
  expect(paused).toMatchObject({ because: "web-0 could not apply it: too hot", stage: 0 });
  await expect(config.steerRollout(SET, "pause")).rejects.toMatchObject({ code: "CONFIG_ROLLOUT_STATE" });
  await config.steerRollout(SET, "resume");
  expect(await ended(control, 2)).toMatchObject({ state: "completed" });
  await expect(config.steerRollout(SET, "resume")).rejects.toMatchObject({ code: "CONFIG_ROLLOUT_NOT_FOUND" });
});

test("a release of the base profile reaches instances of other profiles that depend on it", async () => {
  await using control = await withControl();
  const prod = { ...SET, profile: "prod" };
  await using web = await fleet(control, 2, prod);
  await control.client.config.publish(SET, { items: items("one") });
  await eventually("all run it", async () => (await control.client.config.acknowledgements(prod)).applied === 2);
  const { version } = await begin(control, "two", { stages: [{ instances: ["web-1"], ...LONG }] });
  await eventually("it reached one", () => web.values() === "one,two");
  const view = await eventually("it is acknowledged", async () => {
    const now = await control.client.config.rollout(SET);
    return now.instances?.[0]?.outcome ? now : undefined;
  });
  expect(view.instances?.[0]).toMatchObject({ instance: "web-1", set: "default/orders/prod", outcome: "applied" });
  await control.client.config.steerRollout(SET, "complete");
  expect(await ended(control, version)).toMatchObject({ state: "completed" });
  await eventually("everybody", () => web.values() === "two,two");
});

test("a GET, a long poll and a single key return the asking instance's config, and the live one without an instance", async () => {
  await using control = await withControl();
  await using web = await fleet(control, 2);
  await settled(control, web);
  await begin(control, "two", { stages: [{ labels: { n: "0" }, ...LONG }] });
  await eventually("it reached one", () => web.values() === "two,one");
  const url = "/v1/config/default/orders/default";
  const value = async (query: string) =>
    ((await control.call("GET", `${url}?${query}`)).json["items"] as Record<string, { value: string }>)["a.txt"]?.value;
  expect(await value("instance=web-0&labels=zone=eu,n=0")).toBe("two");
  expect(await value("instance=other&labels=n=0&labels=zone=eu")).toBe("two");
  expect(await value("instance=web-1&labels=n=1")).toBe("one");
  expect(await value("labels=n=0"), "without an id labels select nothing").toBe("one");
  expect(await value("")).toBe("one");
  const key = await control.app.inject({
    url: `${url}/keys/a.txt?instance=x&labels=n=0`,
    headers: { authorization: `Bearer ${control.token}` },
  });
  expect(key.payload).toBe("two");
  const { releaseKey } = await control.client.config.effective(SET, { instance: { id: "poller" } });
  const headers = { authorization: `Bearer ${control.token}`, "if-none-match": `"${releaseKey}"` };
  const poll = control.call("GET", `${url}?wait=20&instance=poller`, undefined, headers);
  await control.client.config.steerRollout(SET, "promote");
  expect((await poll).json).toMatchObject({ items: { "a.txt": { value: "two" } } });
});

test.each([
  ["labels=zone", "/labels", 400],
  ["labels=zone=eu&labels=zone=us", "/labels", 400],
  ["instance=a%2Fb", "/instance", 400],
])("who somebody is is refused when it is ill-formed: %s", async (query, field, status) => {
  await using control = await withControl();
  const answer = await control.call("GET", `/v1/config/default/orders/default?instance=web-1&${query}`);
  expect(answer).toMatchObject({ status, json: { field: expect.stringContaining(field.slice(1)) as string } });
});

test.each([
  [{ stages: [{ percent: 10, labels: { a: "b" } }] }, "CONFIG_ROLLOUT_INVALID", "/rollout/stages/0"],
  [{ stages: [{}] }, "CONFIG_ROLLOUT_INVALID", "/rollout/stages/0"],
  [{ stages: [{ percent: 20 }, { percent: 10 }] }, "CONFIG_ROLLOUT_INVALID", "/rollout/stages/1/percent"],
  [{ stages: [{ percent: 101 }] }, "HTTP_INVALID", "/rollout/stages/0/percent"],
  [{ stages: [{ percent: 5, hold: 3 }] }, "HTTP_INVALID", "/rollout/stages/0"],
])("a plan that is none is refused with its place: %j", async (rollout, code, field) => {
  await using control = await withControl();
  await control.client.config.publish(SET, { items: items("one") });
  const answer = await control.call("POST", "/v1/config/default/orders/default/releases", {
    items: items("two"),
    rollout,
  });
  expect(answer).toMatchObject({ status: 400, json: { code, field: expect.stringContaining(field) as string } });
});

test("a first release cannot be gradual: there is nothing to go back to", async () => {
  await using control = await withControl();
  await expect(begin(control, "one", { stages: [{ percent: 10 }] })).rejects.toMatchObject({
    code: "CONFIG_ROLLOUT_FIRST",
  });
});

test("two members drive the same rollout, and it takes each step once", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  await using one = await withControl({ host, store });
  await using two = await withControl({ host: testHost({ seed: 2 }), store });
  await using web = await fleet(one, 2);
  await using other = new FollowerInstance(two.client, { id: "web-9" });
  await one.client.config.publish(SET, { items: items("one") });
  await eventually("both members know all three", async () =>
    (await Promise.all([one, two].map((member) => member.client.config.acknowledgements(SET)))).every(
      ({ applied, subscribers }) => applied === 3 && subscribers.every(({ present }) => present),
    ),
  );
  // The one on the other member says nothing, and both wait for it.
  other.mute = true;
  await begin(one, "two", { stages: [{ instances: ["web-0", "web-9"], ...QUICK }], everybody: QUICK });
  for (const member of [one, two]) {
    await eventually("it is waited for", async () =>
      (await member.client.config.rollout(SET)).waitsFor?.startsWith("waiting for 1 of 2: web-9"),
    );
  }
  const { releaseKey } = await eventually("the instance has it", () =>
    other.value === "two" ? other.told.at(-1) : undefined,
  );
  await two.client.config.acknowledge(SET, "web-9", { releaseKey, outcome: "applied" });
  const view = await ended(two, 2);
  expect(view).toMatchObject({
    state: "completed",
    stages: [
      { reached: 2, applied: 2 },
      { reached: 3, applied: 3 },
    ],
  });
  const revisions = await store.range({ prefix: "/config/live/" });
  // One release, its begin, one step to everybody, one to live.
  expect(revisions.entries[0]?.version).toBe(4);
  expect(web.values()).toBe("two,two");
});

test("a rollout goes on where another member began it and then died", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  await using two = await withControl({ host, store });
  const one = await withControl({ host: testHost({ seed: 2 }), store });
  await using web = await fleet(two, 2);
  await settled(two, web);
  await begin(one, "two", { stages: [{ instances: ["web-0"], ...QUICK }], everybody: QUICK });
  await one[Symbol.asyncDispose]();
  expect(await ended(two, 2)).toMatchObject({ state: "completed" });
  expect(web.instances.flatMap(({ mixes }) => mixes)).toEqual([]);
});

test("the subscribers of a set are listed with what each runs, how late it came to it, and who is silent", async () => {
  await using control = await withControl();
  await using web = await fleet(control, 2);
  await settled(control, web);
  await using quiet = new FollowerInstance(control.client, { id: "quiet", labels: { zone: "eu" } });
  quiet.mute = true;
  await begin(control, "two", { stages: [{ instances: ["web-0"], ...LONG }] });
  const list = await eventually("web-0 has said so", async () => {
    const now = await control.client.config.acknowledgements(SET);
    return now.silent.length === 1 && now.subscribers[0]?.versions?.["default/orders/default"] === 2 ? now : undefined;
  });
  expect(list).toMatchObject({
    applied: 2,
    failed: 0,
    behind: 0,
    subscribers: [
      { subscriber: "web-0", labels: { zone: "eu" }, current: true, present: true, outcome: "applied" },
      { subscriber: "web-1", current: true, versions: { "default/orders/default": 1 } },
    ],
    silent: [{ subscriber: "quiet", labels: { zone: "eu" } }],
  });
  expect(list.subscribers[0]?.lateMs).toBeLessThan(60_000);
});
