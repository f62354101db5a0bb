/** The safety net under the gateway's config watch: a release that the push lost is taken all the same. */
import { expect, test } from "vitest";
import { ConfigSource } from "../../gateway/sources/config.ts";
import { eventually, ManualClock, testHost } from "#test/kit";
import { FakeControlPlane } from "./kit.ts";

const MINUTES = 60_000;

function config(version: number) {
  const routes = [{ name: `r${version}`, match: { path: { prefix: "/" } }, service: "web" }];
  const origin = { profile: "default", version };
  const item = { format: "json" as const, value: JSON.stringify({ routes }), origin };
  const name = { namespace: "default", app: "gateway", profile: "default" };
  return { ...name, releaseKey: `release-${version}`, revision: version, items: { "gateway.yaml": item } };
}

async function source() {
  const clock = new ManualClock();
  const host = testHost({ clock });
  const control = new FakeControlPlane();
  const applied: string[] = [];
  const stack = new AsyncDisposableStack();
  const made = new ConfigSource(
    host,
    control.config,
    { namespace: "default", instance: { id: "gw", labels: {} } },
    { apply: (_config, { key }) => void applied.push(key), refused: () => expect.unreachable() },
  );
  stack.use(made);
  made.start();
  control.configs.send("snapshot", config(1));
  control.configs.send("synced");
  await eventually("the first", () => applied.length === 1);
  return { stack, clock, host, control, applied };
}

test("a config that the push never delivered is found within six minutes, applied and acknowledged", async () => {
  const { stack, clock, control, applied } = await source();
  await using _ = stack;
  control.unheard = config(2);
  await clock.advance(6 * MINUTES);
  await clock.advance(2_000);
  await eventually("it is taken", () => applied.length === 2);
  expect(applied).toEqual(["release-1", "release-2"]);
  expect(control.acknowledged.map(({ releaseKey }) => releaseKey)).toEqual(["release-1", "release-2"]);
});

test("news that is only under way, and a server that knows less, are left to the push", async () => {
  const { stack, clock, control, applied } = await source();
  await using _ = stack;
  control.unheard = { ...config(0), revision: 0 };
  await clock.advance(13 * MINUTES);
  expect(applied).toEqual(["release-1"]);
});
