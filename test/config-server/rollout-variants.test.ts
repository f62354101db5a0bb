/**
 * Rollouts of several sets at a time, one depending on the other: which combination each instance gets, and what does
 * not fit.
 */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import type { Release, SetName } from "#config-server/api";
import { eventually, withControl, type TestControl } from "#test/kit";
import { LiveConfig, type Pointer } from "../../config-server/core/live.ts";
import { begin, planned } from "../../config-server/core/rollout.ts";
import { FollowerInstance, SET } from "./rollout-kit.ts";

const hash = (text: string) => createHash("sha256").update(text).digest("hex");

const SHARED = { namespace: "default", app: "shared", profile: "default" };
const LONG = { holdSeconds: 600, ackTimeoutSeconds: 600 };
const text = (value: string) => ({ format: "text" as const, value });
const imports = { "imports.yaml": { format: "yaml" as const, value: "[shared]" } };

/** Waits until this member serves the given revision. */
async function told(control: TestControl, of: { revision: number }): Promise<void> {
  await eventually(
    "the member serves the revision",
    async () => Number((await control.call("GET", "/v1/config")).json["revision"]) >= of.revision,
  );
}

const stageOf = (...instances: string[]) => ({ stages: [{ instances, ...LONG }] });

test("an app and its import roll out at the same time: each instance receives its own combination", async () => {
  await using control = await withControl();
  const { config } = control.client;
  await config.publish(SHARED, { items: { "s.txt": text("s1") } });
  await told(control, await config.publish(SET, { items: { ...imports, "o.txt": text("o1") } }));
  await using both = new FollowerInstance(control.client, { id: "both" });
  await using first = new FollowerInstance(control.client, { id: "first" });
  await using second = new FollowerInstance(control.client, { id: "second" });
  await using none = new FollowerInstance(control.client, { id: "none" });
  const all = [both, first, second, none];
  const values = () =>
    all.map(({ told }) => ["s.txt", "o.txt"].map((key) => told.at(-1)?.items[key]?.value).join("+")).join(" ");
  await eventually("all have the first", () => values() === "s1+o1 s1+o1 s1+o1 s1+o1");
  await config.publish(SHARED, { items: { "s.txt": text("s2") }, rollout: stageOf("both", "first") });
  await config.publish(SET, { items: { ...imports, "o.txt": text("o2") }, rollout: stageOf("both", "second") });
  await eventually("each has its own", () => values() === "s2+o2 s2+o1 s1+o2 s1+o1");
  const view = await eventually("both reached ones acknowledged", async () => {
    const now = await config.rollout(SHARED);
    return now.stages[0]?.applied === 2 ? now : undefined;
  });
  expect(view.instances?.map(({ instance, set }) => `${instance} of ${set}`)).toEqual([
    "both of default/orders/default",
    "first of default/orders/default",
    "none of default/orders/default",
    "second of default/orders/default",
  ]);
  await config.steerRollout(SHARED, "abort");
  await eventually("one went back, the other stays", () => values() === "s1+o2 s1+o1 s1+o2 s1+o1");
  await config.steerRollout(SET, "complete");
  await eventually("all have it", () => values() === "s1+o2 s1+o2 s1+o2 s1+o2");
});

test("a release that fits what is live, and not what is on its way, is refused by the name of that", async () => {
  await using control = await withControl();
  const { config } = control.client;
  await config.publish(SHARED, { items: { "s.txt": text("s1"), "t.txt": text("t1") } });
  await told(control, await config.publish(SET, { items: { ...imports, "o.txt": text("o1") } }));
  const without = await config.publish(SHARED, { items: { "s.txt": text("s2") }, rollout: stageOf("web-1") });
  await told(control, without);
  const items = { ...imports, "o.txt": { ...text("with ${t.txt}"), expand: true as const } };
  await expect(config.publish(SET, { items })).rejects.toMatchObject({
    code: "CONFIG_VALUE_INVALID",
    message: expect.stringContaining("with default/shared/default@2, which is being rolled out") as string,
  });
  await config.steerRollout(SHARED, "abort");
  await eventually("it is", () => config.publish(SET, { items }).catch(() => undefined));
});

test("two candidates that do not fit together, each released without seeing the other, reach no instance together", () => {
  const live = new LiveConfig(hash);
  const rollout = (app: string, instances: string[]) =>
    begin(planned(stageOf(...instances), app), {
      version: 2,
      hash: "2",
      author: "",
      reason: "",
      critical: [],
      nowMs: 0,
    });
  const release = (name: SetName, version: number, items: Release["items"]): Release => {
    return {
      ...name,
      version,
      hash: String(version),
      author: "",
      reason: "",
      createdAt: "2026-01-01T00:00:00Z",
      items,
    };
  };
  const pointer = (name: SetName, revision: number, [one, two]: Release["items"][], instances?: string[]): Pointer => ({
    name,
    revision,
    sealed: {},
    candidateSealed: {},
    record: { version: 1, hash: "1", ...(instances ? { latest: 2, rollout: rollout(name.app, instances) } : {}) },
    release: release(name, 1, one ?? {}),
    candidate: instances && release(name, 2, two ?? {}),
  });
  const shared = [{ "s.txt": text("s1"), "t.txt": text("t1") }, { "s.txt": text("s2") }];
  const own = [
    { ...imports, "o.txt": text("o1") },
    { ...imports, "o.txt": { ...text("with ${t.txt}"), expand: true as const } },
  ];
  live.apply([pointer(SHARED, 1, shared), pointer(SET, 2, own)]);
  live.apply([pointer(SHARED, 3, shared, ["both", "first"])]);
  live.apply([pointer(SET, 4, own, ["both", "second"])]);
  const told = (instance: string) => {
    const { config, problems } = live.resolved(SET, { instance, labels: {} });
    const values = ["s.txt", "t.txt", "o.txt"].map((key) => config.items[key]?.value ?? "-");
    return [values.join(" "), problems.length > 0 && live.isLastGood(SET, { instance, labels: {} })];
  };
  expect(told("first")).toEqual(["s2 - o1", false]);
  expect(told("second")).toEqual(["s1 t1 with t1", false]);
  expect(told("nobody")).toEqual(["s1 t1 o1", false]);
  expect(told("both"), "what is live, and said to be a way out").toEqual(["s1 t1 o1", true]);
  // One of the two is withdrawn: the rest fits, and is delivered.
  live.apply([pointer(SHARED, 5, shared)]);
  expect(told("both")).toEqual(["s1 t1 with t1", false]);
});
