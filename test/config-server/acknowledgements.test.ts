/**
 * Which subscriber runs which release: acknowledged by each, durable, visible on every member, forgotten with the
 * session.
 */
import { expect, test } from "vitest";
import { eventually, type TestControl, withControl } from "#test/kit";

const NAME = { namespace: "default", app: "orders", profile: "default" };
const SUBSCRIBERS = 2_000;

async function release({ client }: TestControl, value: string): Promise<string> {
  const { revision } = await client.config.publish(NAME, { items: { "a.txt": { format: "text", value } } });
  return eventually("it is live", async () => {
    const effective = await client.config.effective(NAME);
    return effective.revision >= revision ? effective.releaseKey : undefined;
  });
}

const list = async ({ client }: TestControl) => client.config.acknowledgements(NAME);

test("each subscriber is listed with the release that it runs, or why it could not take it", async () => {
  await using control = await withControl();
  const { config } = control.client;
  const first = await release(control, "one");
  await config.acknowledge(NAME, "web-1", { releaseKey: first, outcome: "applied" });
  await config.acknowledge(NAME, "web-2", { releaseKey: first, outcome: "applied" });
  const second = await release(control, "two");
  await config.acknowledge(NAME, "web-2", { releaseKey: second, outcome: "failed", error: "disk full" });
  const found = await eventually("all is there", async () => {
    const known = await list(control);
    return known.failed === 1 ? known : undefined;
  });
  expect(found).toMatchObject({
    releaseKey: second,
    applied: 0,
    failed: 1,
    behind: 1,
    subscribers: [
      { subscriber: "web-1", releaseKey: first, outcome: "applied" },
      { subscriber: "web-2", releaseKey: second, outcome: "failed", error: "disk full" },
    ],
  });
});

test("an acknowledgement is forgotten with its session, and one of a session that is gone is refused", async () => {
  await using control = await withControl();
  const { config, registry } = control.client;
  const releaseKey = await release(control, "one");
  const { id } = await registry.openSession(30);
  await config.acknowledge(NAME, "web-1", { releaseKey, outcome: "applied", session: id });
  await eventually("it is there", async () => (await list(control)).applied === 1);
  await registry.closeSession(id);
  await eventually("it is gone", async () => (await list(control)).subscribers.length === 0);
  const said = [
    config.acknowledge(NAME, "web-1", { releaseKey, outcome: "applied", session: id }).catch((error: unknown) => error),
    config.acknowledge(NAME, "web-2", { releaseKey, outcome: "applied" }),
  ];
  expect(await Promise.all(said), "others of the same moment are taken").toMatchObject([
    { code: "CONFIG_SESSION_NOT_FOUND" },
    undefined,
  ]);
});

test("thousands at once share transactions, and another member sees them all", async () => {
  await using one = await withControl();
  await using two = await withControl({ host: one.host, store: one.store });
  const releaseKey = await release(one, "one");
  const before = (await one.store.status()).revision;
  await Promise.all(
    Array.from({ length: SUBSCRIBERS }, (_, i) =>
      one.client.config.acknowledge(NAME, `web-${i}`, { releaseKey, outcome: "applied" }),
    ),
  );
  expect((await one.store.status()).revision - before).toBeLessThan(SUBSCRIBERS / 4);
  await eventually("the other has them", async () => (await list(two)).applied === SUBSCRIBERS);
});

test("an invalid instance name is refused", async () => {
  await using control = await withControl();
  const path = "/v1/config/default/orders/default/acknowledgements/a%2Fb";
  expect((await control.call("PUT", path, { releaseKey: "x", outcome: "applied" })).status).toBe(400);
  const bad = await control.call("PUT", path.replace("%2F", ""), { releaseKey: "x", outcome: "maybe" });
  expect(bad).toMatchObject({ status: 400, json: { field: "/outcome" } });
});
