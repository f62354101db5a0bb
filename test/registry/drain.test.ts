/** Drains: which subscribers have seen one, which it waits for, and that a deregistration comes after and not before. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Client, injectTransport } from "#client";
import type { Frame } from "#http/frames";
import type { ServiceDelta } from "#registry/api";
import { eventually, type TestControl, withControl } from "#test/kit";

const NAME = { namespace: "default", service: "orders", id: "orders-1" };
const HERE = { address: "10.0.0.1", port: 4001 };

interface Subscriber extends AsyncDisposable {
  readonly frames: Frame<ServiceDelta>[];
  /** While it stalls it takes no further frame. */
  stall: Promise<void>;
  cut(): void;
}

/** A subscriber that acknowledges, by the shipped client. */
function subscribe({ app, host, token }: TestControl, subscriber: string): Subscriber {
  const client = new Client(host, { transport: injectTransport(app), token, subscriber });
  const abort = new AbortController();
  const aborted = new Promise<void>((resolve) => abort.signal.addEventListener("abort", () => resolve()));
  const state = { frames: [] as Frame<ServiceDelta>[], stall: Promise.resolve() };
  const reading = (async () => {
    for await (const frame of client.registry.watch({ namespace: "default" }, { signal: abort.signal })) {
      state.frames.push(frame);
      await Promise.race([state.stall, aborted]);
    }
  })();
  return Object.assign(state, {
    cut: () => abort.abort(),
    async [Symbol.asyncDispose]() {
      abort.abort();
      await reading;
    },
  });
}

const synced = ({ frames }: Subscriber) => frames.some(({ event }) => event === "synced");

test("a drain without watchers is seen at once", async () => {
  await using control = await withControl();
  await control.client.registry.register(NAME, HERE);
  expect(await control.client.registry.deregister(NAME, { drainSeconds: 60 })).toMatchObject({ seen: true });
  await expect(control.client.registry.deregister(NAME)).rejects.toMatchObject({
    code: "REGISTRY_INSTANCE_NOT_FOUND",
  });
});

test("a drain waits until each subscriber has acknowledged it, and names those that have not", async () => {
  await using control = await withControl();
  await control.client.registry.register(NAME, HERE);
  await using quick = subscribe(control, "quick");
  await using slow = subscribe(control, "slow");
  await eventually("both are synced", () => synced(quick) && synced(slow));
  const { promise, resolve } = Promise.withResolvers<void>();
  slow.stall = promise;
  const { revision } = await control.client.registry.setLifecycle(NAME, { lifecycle: "draining" });
  const status = await eventually("the quick one has seen it", async () => {
    const drain = await control.client.registry.drain(NAME, 0);
    return drain.waitingFor.length === 1 ? drain : undefined;
  });
  expect(status).toMatchObject({ lifecycle: "draining", revision, seen: false, waitingFor: ["slow"] });
  const waiting = control.client.registry.drain(NAME, 30);
  resolve();
  expect(await waiting).toMatchObject({ seen: true, waitingFor: [] });
});

test("a deregistration after a drain comes once all have seen it", async () => {
  await using control = await withControl();
  await control.client.registry.register(NAME, HERE);
  await using subscriber = subscribe(control, "gateway-1");
  await eventually("it is synced", () => synced(subscriber));
  expect(await control.client.registry.deregister(NAME, { drainSeconds: 60 })).toMatchObject({ seen: true });
  await eventually("it has seen both", () => subscriber.frames.some(({ data }) => data?.removed.includes(NAME.id)));
  const said = subscriber.frames.flatMap(({ data }) => [
    ...(data?.instances.map(({ lifecycle }) => lifecycle) ?? []),
    ...(data?.removed ?? []),
  ]);
  expect(said).toEqual(["serving", "draining", NAME.id]);
});

test("a subscriber that never reads holds a drain up to its deadline and no longer, and is named", async () => {
  await using control = await withControl();
  await control.client.registry.register(NAME, HERE);
  await using stuck = subscribe(control, "stuck");
  await eventually("it is synced", () => synced(stuck));
  const { promise, resolve } = Promise.withResolvers<void>();
  stuck.stall = promise;
  const done = await control.client.registry.deregister(NAME, { drainSeconds: 1 });
  expect(done).toMatchObject({ seen: false, waitingFor: ["stuck"] });
  resolve();
});

test("a subscriber that was just cut off is waited for, since it still uses its old data", async () => {
  await using control = await withControl();
  await control.client.registry.register(NAME, HERE);
  await using first = subscribe(control, "gateway-1");
  await eventually("it is synced", () => synced(first));
  first.cut();
  await eventually(
    "its stream is gone",
    async () => (await control.client.registry.watchers("default")).watchers.length === 0,
  );
  await control.client.registry.setLifecycle(NAME, { lifecycle: "draining" });
  await sleep(20);
  expect(await control.client.registry.drain(NAME, 0)).toMatchObject({ seen: false, waitingFor: ["gateway-1"] });
  await using _again = subscribe(control, "gateway-1");
  expect(await control.client.registry.drain(NAME, 30)).toMatchObject({ seen: true });
});

test("a canceled drain is over, and the next one waits for acknowledgements again", async () => {
  await using control = await withControl();
  const { registry } = control.client;
  await registry.register(NAME, HERE);
  await using subscriber = subscribe(control, "gateway-1");
  await eventually("it is synced", () => synced(subscriber));
  await registry.setLifecycle(NAME, { lifecycle: "draining" });
  expect(await registry.drain(NAME, 30)).toMatchObject({ seen: true });
  const back = await registry.setLifecycle(NAME, { lifecycle: "serving" });
  await registry.instances(NAME, { revision: back.revision });
  expect(await registry.drain(NAME, 0)).toMatchObject({ lifecycle: "serving" });
  const { promise, resolve } = Promise.withResolvers<void>();
  subscriber.stall = promise;
  const again = await registry.setLifecycle(NAME, { lifecycle: "draining" });
  await registry.instances(NAME, { revision: again.revision });
  // The frame before the stall may still have been taken over; this drain was not.
  expect(await registry.drain(NAME, 0)).toMatchObject({ seen: false });
  resolve();
  expect(await registry.drain(NAME, 30)).toMatchObject({ seen: true });
});

test("every member of a cluster has to say that its own subscribers have seen it", async () => {
  await using one = await withControl();
  await using two = await withControl({ host: one.host, store: one.store });
  await one.client.registry.register(NAME, HERE);
  await using far = subscribe(two, "far");
  await eventually("it is synced", () => synced(far) && far.frames.some(({ data }) => data?.instances.length === 1));
  const { promise, resolve } = Promise.withResolvers<void>();
  far.stall = promise;
  const { revision } = await one.client.registry.setLifecycle(NAME, { lifecycle: "draining" });
  await one.client.registry.instances(NAME, { revision });
  const waiting = await one.client.registry.drain(NAME, 0);
  expect(waiting).toMatchObject({ seen: false, waitingFor: [expect.stringMatching(/^member /)] });
  resolve();
  expect(await one.client.registry.drain(NAME, 30)).toMatchObject({ seen: true });
  expect(await two.client.registry.drain(NAME, 30)).toMatchObject({ seen: true });
  await one.client.registry.deregister(NAME);
  await eventually("nothing is left of it", async () => {
    const { entries } = await one.store.range({ prefix: "/cluster/drains/" });
    return entries.length === 0;
  });
});

test("a drain that is forgotten ends as stopped at its deadline", async () => {
  await using control = await withControl();
  const { registry } = control.client;
  await registry.register(NAME, HERE);
  await registry.setLifecycle(NAME, { lifecycle: "draining", deadlineSeconds: 1 });
  await eventually("it is stopped", async () => {
    const [instance] = (await registry.instances(NAME)).instances;
    return instance?.lifecycle === "stopped" && instance.drainUntil === undefined;
  });
});

test("when the requesting client disconnects, the instance keeps draining, and is not deregistered", async () => {
  await using control = await withControl();
  const { registry } = control.client;
  await registry.register(NAME, HERE);
  await using stuck = subscribe(control, "stuck");
  await eventually("it is synced", () => synced(stuck));
  const { promise } = Promise.withResolvers<void>();
  stuck.stall = promise;
  const abort = new AbortController();
  const asked = registry.deregister(NAME, { drainSeconds: 60, signal: abort.signal });
  await eventually("it drains", async () => (await registry.drain(NAME, 0)).lifecycle === "draining");
  abort.abort(new Error("gone"));
  await expect(asked).rejects.toThrow("gone");
  await stuck[Symbol.asyncDispose]();
  await sleep(50);
  expect((await registry.instances(NAME)).instances).toMatchObject([{ lifecycle: "draining" }]);
});

test("an acknowledgement for a watch that is not here is refused by name", async () => {
  await using control = await withControl();
  const { status, json } = await control.call("PUT", "/v1/watches/0123456789abcdef/seen", { revision: 1 });
  expect([status, json["code"]]).toEqual([404, "REGISTRY_WATCH_NOT_FOUND"]);
});

test("a drain under a condition that does not hold changes nothing", async () => {
  await using control = await withControl();
  await control.client.registry.register(NAME, HERE);
  const path = "/v1/services/orders/instances/orders-1?drain=5";
  const headers = { authorization: `Bearer ${control.token}`, "if-match": '"1"' };
  expect((await control.call("DELETE", path, undefined, headers)).status).toBe(412);
  expect((await control.client.registry.instances(NAME)).instances).toMatchObject([{ lifecycle: "serving" }]);
});
