/** The values of a watch, over real sockets: the latest whole value, each one once, through cuts and bad releases. */
import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { z } from "zod";
import { eventually } from "#test/kit";
import { lab, next, SET } from "./kit.ts";

const N = z.object({ n: z.number() });

test("a release is handed out without asking", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const watch = one.service().posthouse.config.watch("a.json", { schema: N });
  const first = await next(watch);
  expect([first.value, first.stale]).toEqual([{ n: 1 }, false]);
  const { revision } = await one.release({ "a.json": '{"n":2}' });
  const second = await next(watch);
  expect([second.value, second.revision]).toEqual([{ n: 2 }, revision]);
});

test("a release that does not change the watched value wakes no watcher, even if its text changed", async () => {
  await using one = await lab();
  await one.release({ "a.yaml": "n: 1", "b.yaml": "x: 1" });
  const watch = one.service().posthouse.config.watch("a.yaml", { schema: N });
  await next(watch);
  const waiting = next(watch);
  await one.release({ "a.yaml": "n: 1", "b.yaml": "x: 2" });
  await one.release({ "a.yaml": "# a comment\nn:   1\n", "b.yaml": "x: 2" });
  await one.release({ "a.yaml": "n: 2", "b.yaml": "x: 2" });
  expect((await waiting).value).toEqual({ n: 2 });
});

test("a slow reader gets the newest, and none of those between", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":0}' });
  const { config } = one.service().posthouse;
  const watch = config.watch("a.json", { schema: N });
  await next(watch);
  let revision = 0;
  for (let n = 1; n <= 50; n++) ({ revision } = await one.release({ "a.json": `{"n":${n}}` }));
  await eventually("the last one is known", () => config.state.revision === revision);
  expect((await next(watch)).value).toEqual({ n: 50 });
});

test("a bad value is reported and does not end the watch; the next good one follows", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const { posthouse, problems } = one.service();
  const watch = posthouse.config.watch("a.json", { schema: N });
  await next(watch);
  const waiting = next(watch);
  await one.release({ "a.json": '{"n":"two"}' });
  await eventually("the invalid value is reported", () => problems.some(({ code }) => code === "CLIENT_VALUE_INVALID"));
  await one.release({ "b.json": "{}" });
  await eventually("the missing key is reported", () => problems.some(({ code }) => code === "CONFIG_KEY_NOT_FOUND"));
  await one.release({ "a.json": '{"n":3}' });
  expect((await waiting).value).toEqual({ n: 3 });
});

test("a key that goes is its default for a watch that has one", async () => {
  await using one = await lab();
  const watch = one.service().posthouse.config.watch("a.json", { schema: N, default: null });
  expect((await next(watch)).value).toBeNull();
  await one.release({ "a.json": '{"n":1}' });
  expect((await next(watch)).value).toEqual({ n: 1 });
  await one.release({ "b.json": "{}" });
  expect((await next(watch)).value).toBeNull();
});

test("a watch goes on through cuts, with every value that stood at the end of one", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":0}' });
  const { posthouse, problems } = one.service();
  const watch = posthouse.config.watch("a.json", { schema: N });
  await next(watch);
  for (let n = 1; n <= 5; n++) {
    one.wire.cut();
    await eventually("stale", () => posthouse.config.state.state === "stale");
    await one.release({ "a.json": `{"n":${n}}` });
    one.wire.mend();
    expect((await next(watch)).value).toEqual({ n });
    expect(posthouse.config.state).toMatchObject({ state: "live", ageSeconds: 0 });
  }
  expect(new Set(problems.map(({ code }) => code))).toEqual(new Set(["CLIENT_UNREACHABLE"]));
});

test("a watch ends with its signal, and all end with the client", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const { posthouse } = one.service();
  const stop = new AbortController();
  const watches = [posthouse.config.watch("a.json", { signal: stop.signal }), posthouse.config.watchAll()] as const;
  await Promise.all(watches.map((watch) => watch.next()));
  const [one_, other] = [watches[0].next(), watches[1].next()];
  stop.abort();
  expect((await one_).done).toBe(true);
  await posthouse.close();
  expect((await other).done).toBe(true);
  await expect(posthouse.config.get("a.json")).rejects.toMatchObject({ code: "CLIENT_CLOSED" });
});

test("no watcher sees parts of two releases or an older one, whatever is released and however often the connection breaks", async () => {
  await using one = await lab();
  const flag = fc.boolean();
  const step = fc.record({ keys: fc.integer({ min: 1, max: 5 }), cut: flag, prod: flag, seen: flag });
  let round = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      const app = `app-${round++}`;
      const { config } = one.service({ app, profile: "prod" }).posthouse;
      const stop = new AbortController();
      const seen: { revision: number; stamps: (string | undefined)[] }[] = [];
      const reading = (async () => {
        for await (const { value, revision } of config.watchAll({ signal: stop.signal })) {
          const stamps = await Promise.all(
            ["default", "prod"].map(async (profile) => {
              const keys = value.keys().filter((key) => value.origin(key)?.profile === profile);
              const all = await Promise.all(keys.map((key) => value.get(key)));
              return [...new Set(all)].join("+");
            }),
          );
          seen.push({ revision, stamps });
        }
      })();
      let last = 0;
      for (const [index, { keys, cut, prod, seen: awaited }] of steps.entries()) {
        const stamp = createHash("sha256").update(`${app} ${index}`).digest("hex");
        const prefix = prod ? "prod" : "base";
        const items = Object.fromEntries(
          Array.from({ length: keys }, (_, i) => [`${prefix}-${i}`, { format: "text" as const, value: stamp }]),
        );
        const name = { ...SET, app, profile: prod ? "prod" : "default" };
        ({ revision: last } = await one.control.client.config.publish(name, { items }));
        if (cut) one.wire.cut("once");
        if (awaited) await eventually("it is seen", () => seen.at(-1)?.revision === last);
      }
      await eventually("the last is seen", () => seen.at(-1)?.revision === last);
      stop.abort();
      await reading;
      expect(seen.flatMap(({ stamps }) => stamps).filter((stamp) => stamp?.includes("+"))).toEqual([]);
      expect(seen.map(({ revision }) => revision)).toEqual(
        [...new Set(seen.map(({ revision }) => revision))].toSorted((a, b) => a - b),
      );
    }),
    { numRuns: 25 },
  );
});
