/** Decisions of the config pages without a browser: calls, origins, stages, words of flags. */
import { expect, test } from "vitest";
import { isChangedSince, releaseCallOf, type ReleasePlan } from "../../../console/pages/config/core/changes.ts";
import { conditionWords, outcomeWords } from "../../../console/pages/config/core/flag-words.ts";
import { bytesOfValue, formatOfKey, isKey, isProfile, sizeText } from "../../../console/pages/config/core/names.ts";
import { originOf } from "../../../console/pages/config/core/origin.ts";
import { FIRST_ROLLOUT, newStage, rolloutOf, rolloutWords } from "../../../console/pages/config/core/rollout-plan.ts";
import { stageProgress, waitingOf } from "../../../console/pages/config/core/stage-words.ts";
import { subscriberRows } from "../../../console/pages/config/core/subscribers.ts";

const yaml = (value: string) => ({ format: "yaml" as const, value });
const plan = (more: Partial<ReleasePlan>): ReleasePlan => ({
  path: "/v1/config/n/a/p",
  changes: { "a.yaml": yaml("x: 1") },
  live: { "a.yaml": yaml("x: 0"), "b.yaml": yaml("y: 0") },
  version: 3,
  reason: "why",
  isEmergency: false,
  rollout: undefined,
  ...more,
});

test("one key is released by itself, on the version that it was made on", () => {
  expect(releaseCallOf(plan({}))).toEqual({
    method: "PUT",
    path: "/v1/config/n/a/p/keys/a.yaml?expectedVersion=3&reason=why",
    body: "x: 1",
  });
  expect(releaseCallOf(plan({ changes: { "b.yaml": null } })).method).toBe("DELETE");
  const item = { format: "text" as const, value: "s", secret: true, expand: true as const };
  expect(releaseCallOf(plan({ changes: { "a.yaml": item }, reason: "" })).path).toBe(
    "/v1/config/n/a/p/keys/a.yaml?expectedVersion=3&format=text&expand=true&secret=true",
  );
});

test("several keys, a rollout, an emergency and a first release are whole releases", () => {
  const whole = { items: { "a.yaml": yaml("x: 1"), "b.yaml": yaml("y: 0") }, reason: "why", expectedVersion: 3 };
  const rollout = rolloutOf(FIRST_ROLLOUT);
  expect(releaseCallOf(plan({ rollout })).body).toEqual({ ...whole, rollout });
  expect(releaseCallOf(plan({ isEmergency: true })).body).toEqual({ ...whole, emergency: true });
  const both = releaseCallOf(plan({ changes: { "a.yaml": yaml("x: 1"), "b.yaml": null } }));
  expect(both).toMatchObject({ method: "POST", path: "/v1/config/n/a/p/releases" });
  expect(both.body).toEqual({ ...whole, items: { "a.yaml": yaml("x: 1") } });
  expect(releaseCallOf(plan({ version: 0, live: {} })).body).toMatchObject({ expectedVersion: 0 });
});

test("a key counts as changed by its text, format, secrecy and placeholders", () => {
  const base = { k: yaml("a") };
  expect(isChangedSince("k", base, { k: { ...yaml("a"), secret: false } })).toBe(false);
  expect(isChangedSince("k", base, { k: { ...yaml("a"), secret: true } })).toBe(true);
  expect(isChangedSince("k", base, {})).toBe(true);
  expect(isChangedSince("k", undefined, {})).toBe(false);
});

test("the origin of a value", () => {
  const name = { namespace: "n", app: "a", profile: "prod@blue" };
  const kind = (origin: object) => originOf(name, { origin: { profile: "default", version: 1, ...origin } }).kind;
  expect(kind({ profile: "prod@blue" })).toBe("own");
  expect(kind({})).toBe("base");
  expect(kind({ profile: "prod" })).toBe("base");
  expect(kind({ profile: "default@blue" })).toBe("label");
  expect(kind({ app: "shared" })).toBe("import");
  expect(kind({ namespace: "n", app: "a" })).toBe("base");
});

test("stages are read from fields, or not at all", () => {
  const gate = { holdSeconds: 60, ackTimeoutSeconds: 120 };
  expect(rolloutOf(FIRST_ROLLOUT)).toEqual({
    stages: [{ percent: 10, ...gate }],
    everybody: gate,
    onFailure: "rollback",
  });
  const stage = newStage(FIRST_ROLLOUT.stages);
  const of = (more: object) => rolloutOf({ ...FIRST_ROLLOUT, stages: [{ ...stage, ...more }] })?.stages[0];
  expect(of({ by: "labels", labels: "zone=eu, canary=yes" })).toEqual({
    labels: { zone: "eu", canary: "yes" },
    ...gate,
  });
  expect(of({ by: "instances", instances: "a,b c" })).toEqual({ instances: ["a", "b", "c"], ...gate });
  for (const wrong of [
    { percent: "0" },
    { percent: "101" },
    { percent: "" },
    { by: "labels", labels: "zone" },
    { by: "instances", instances: " " },
  ])
    expect(of(wrong), JSON.stringify(wrong)).toBeUndefined();
  expect(rolloutOf({ ...FIRST_ROLLOUT, holdSeconds: "" })).toBeUndefined();
  const words = rolloutWords({ stages: [{ labels: { z: "eu" } }, { percent: 20 }, { percent: 50 }], everybody: gate });
  expect(words.join(" ")).toBe("--labels z=eu --percent 20,50 --hold-seconds 60");
});

test("what a rollout waits for, and how far its stages are", () => {
  const instance = { instance: "i", labels: {}, stage: 0, reached: true, present: true };
  const view = { state: "running", stage: 1, waitsFor: "waiting for 1 of 2: i", instances: [instance] } as never;
  expect(waitingOf(view)).toEqual({ kind: "acknowledgements", missing: ["i"] });
  const held = { ...(view as object), waitsFor: "2 applied it; held for another 40 s" } as never;
  expect(waitingOf(held)).toEqual({ kind: "hold", seconds: 40 });
  expect(waitingOf({ ...(view as object), state: "paused" } as never)).toBeUndefined();
  expect([0, 1, 2].map((index) => stageProgress(view, index))).toEqual(["done", "now", "later"]);
});

test("subscribers by what they run", () => {
  const one = { labels: {}, releaseKey: "k", at: "t", outcome: "applied" as const, current: true, present: true };
  const list = {
    subscribers: [
      { ...one, subscriber: "a", versions: { "n/a/p": 4 } },
      { ...one, subscriber: "b", outcome: "failed" as const, error: "no" },
      { ...one, subscriber: "c", current: false },
      { ...one, subscriber: "d", current: false, present: false },
    ],
    silent: [{ subscriber: "e", labels: {}, since: "t" }],
  };
  const rows = subscriberRows({ releaseKey: "k", applied: 1, failed: 1, behind: 2, ...list }, "n/a/p");
  expect(rows.map(({ id, state, version }) => [id, state, version])).toEqual([
    ["a", "applied", 4],
    ["b", "failed", undefined],
    ["c", "behind", undefined],
    ["d", "gone", undefined],
    ["e", "silent", undefined],
  ]);
});

test("conditions and outcomes of flags in one line", () => {
  expect(conditionWords({ attribute: "email", endsWith: "@x", contains: "a" })).toBe(
    'email endsWith "@x" and email contains "a"',
  );
  expect(
    conditionWords({
      all: [{ segment: "staff" }, { any: [{ attribute: "age", gte: 18 }, { not: { segment: "bot" } }] }],
    }),
  ).toBe("segment staff and (age gte 18 or not segment bot)");
  expect(outcomeWords({ split: { on: 10, off: 90 }, by: "team" })).toBe("on 10 %, off 90 % by team");
  expect(outcomeWords({ variant: "on" })).toBe("on");
});

test("names, formats and sizes", () => {
  expect(["prod", "prod@blue", "Prod", "a@b@c", "a@"].map(isProfile)).toEqual([true, true, false, false, false]);
  expect([isKey("app.yaml"), isKey("_x"), isKey("a".repeat(129))]).toEqual([true, false, false]);
  expect(["a.yml", "a.JSON", "a.jks", "a"].map(formatOfKey)).toEqual(["yaml", "json", "binary", "text"]);
  expect([bytesOfValue("binary", "AAECAw=="), bytesOfValue("text", "é")]).toEqual([4, 2]);
  expect([512, 1536, 2 * 1024 * 1024].map(sizeText)).toEqual(["512 B", "1.5 KiB", "2 MiB"]);
});
