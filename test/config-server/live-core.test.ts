/** Live releases in memory: which instances a release concerns, what each instance receives, and what is kept of it. */
import { expect, test } from "vitest";
import type { EffectiveConfig, SetName } from "#config-server/api";
import { EFFECTIVE_CHARS_MAX, LiveConfig, patchOf, type Pointer } from "../../config-server/core/live.ts";
import type { OpenItem, OpenItems } from "../../config-server/core/sealed.ts";
import { ANYBODY, followersOf, framesAfter, topicOf, type Reader } from "../../config-server/core/watch-frames.ts";

const text = (value: string, over: object = {}): OpenItem => ({ format: "text", value, ...over });
const yaml = (value: string): OpenItem => ({ format: "yaml", value });
const filled = (value: string) => text(value, { expand: true });
const name = (app: string, profile = "default"): SetName => ({ namespace: "default", app, profile });
const CREATED = "1970-01-01T00:00:01.000Z";

let revision = 0;
function live(
  of: SetName,
  items: OpenItems,
  over: { version?: number; candidate?: OpenItems; at?: string } = {},
): Pointer {
  const { version = 1, candidate, at } = over;
  const release = { ...of, version, hash: `${version}`, createdAt: CREATED, items };
  const everybody = { everybody: true, holdSeconds: 0, ackTimeoutSeconds: 1 };
  const rollout = {
    version: version + 1,
    stage: 0,
    startedAt: "1970-01-01T00:00:05.000Z",
    plan: { stages: [{ instances: ["canary"], holdSeconds: 0, ackTimeoutSeconds: 1 }, everybody] },
    log: [{ beganAt: "1970-01-01T00:00:07.000Z" }],
  };
  return {
    name: of,
    release,
    revision: ++revision,
    sealed: {},
    record: { version, hash: `${version}`, ...(at === undefined ? {} : { at }), ...(candidate ? { rollout } : {}) },
    candidate: candidate && { ...release, version: version + 1, hash: `${version + 1}`, items: candidate },
    candidateSealed: {},
  } as unknown as Pointer;
}
const hash = (text: string) => Buffer.from(text).toString("hex").slice(-40);
function world(...pointers: Pointer[]): LiveConfig {
  const config = new LiveConfig(hash);
  config.apply(pointers);
  return config;
}
const values = ({ items }: EffectiveConfig) =>
  Object.fromEntries(Object.entries(items).map(([key, { value }]) => [key, value]));
const canary = { instance: "canary", labels: {} };
const other = { instance: "other", labels: {} };
const idsOf = (names: readonly SetName[]) => names.map(({ app, profile }) => `${app}/${profile}`).toSorted();

test("a release concerns its set, those above it in its app, and the sets of apps that name it", () => {
  const config = world(
    live(name("base"), { a: text("1") }),
    live(name("base", "prod"), { a: text("2") }),
    live(name("shop"), { "imports.yaml": yaml("- base") }),
    live(name("web"), { url: filled("${shop:a}") }),
    live(name("alone"), { b: text("x") }),
  );
  expect(idsOf(config.dependents(name("base")))).toEqual(["base/default", "base/prod", "shop/default", "web/default"]);
  expect(idsOf(config.dependents(name("base", "prod")))).toEqual(["base/prod", "shop/default", "web/default"]);
  expect(idsOf(config.dependents(name("shop", "dev")))).toEqual(["shop/dev", "web/default"]);
  expect(idsOf(config.dependents(name("alone")))).toEqual(["alone/default"]);
  // A set that names an app no longer is concerned no longer.
  config.apply([live(name("web"), { url: text("x") }, { version: 2 })]);
  expect(idsOf(config.dependents(name("shop")))).toEqual(["shop/default"]);
  expect([config.size, config.get(name("web"))?.release.version, [...config.all()].length]).toEqual([5, 2, 5]);
  config.clear();
  expect([config.size, config.get(name("web")), config.resolved(name("shop")).config.items]).toEqual([
    0,
    undefined,
    {},
  ]);
});

test("a candidate answers for what it breaks, in its own set and in others, and not for what is broken already", () => {
  const config = world(
    live(name("base"), { a: text("1") }),
    live(name("web"), { url: filled("${base:a}"), bad: filled("${no}") }),
  );
  const problems = (items: OpenItems, of = name("base")) =>
    config.problemsOf(live(of, items)).map(({ key, message }) => `${key}: ${message}`);
  expect(problems({ a: text("2") })).toEqual([]);
  expect(problems({ b: text("2") })).toEqual([expect.stringMatching(/^url: default\/web\/default: \$\{base:a\}/)]);
  // Its own are all held against it.
  expect(problems({ bad: filled("${no}") }, name("web"))).toEqual([expect.stringMatching(/^bad: \$\{no\}/)]);
});

test("an effective config has so many characters", () => {
  const config = world(live(name("web"), { "imports.yaml": yaml("- base") }));
  const around = "- base".length;
  const problems = (chars: number) => config.problemsOf(live(name("base"), { a: text("x".repeat(chars)) }));
  expect(problems(EFFECTIVE_CHARS_MAX - around)).toEqual([]);
  const [one, ...rest] = problems(EFFECTIVE_CHARS_MAX - around + 1);
  expect([one?.message, rest]).toEqual([
    expect.stringMatching(/^default\/web\/default: all values together have 12582913 characters/),
    [],
  ]);
});

test("a candidate is held against what is on its way, too", () => {
  const config = world(
    live(name("base"), { a: text("1") }, { candidate: { b: text("2") } }),
    live(name("web"), { url: text("x") }),
  );
  const [problem] = config.problemsOf(live(name("web"), { url: filled("${base:a}") }));
  expect(problem?.message).toMatch(/^with default\/base\/default@2, which is being rolled out: \$\{base:a\}/);
  expect(config.problemsOf(live(name("web"), { url: filled("${base:a|x}") }))).toEqual([]);
});

test("a candidate rests on the live versions of the other sets that its checks look at", () => {
  const config = world(
    live(name("base"), { a: text("1") }, { version: 7 }),
    live(name("web"), { url: filled("${base:a}") }, { version: 3 }),
  );
  const rests = (of: SetName, items: OpenItems) => [...config.restsOn(live(of, items))];
  expect(rests(name("web"), { url: filled("${base:a}") })).toEqual([["/config/live/default/base/default", 7]]);
  expect(rests(name("base"), { a: text("2") })).toEqual([["/config/live/default/web/default", 3]]);
  expect(rests(name("new"), {})).toEqual([]);
  const many = world(
    ...Array.from({ length: 80 }, (_, i) => live(name(`s${i}`), { k: filled("${base:a}") })),
    live(name("base"), {}),
  );
  expect(many.restsOn(live(name("base"), {})).size).toBe(64);
});

test("instances that a stage selects receive the candidate, others the live release; each since its own time", () => {
  const config = world(
    live(name("web"), { a: text("old") }, { candidate: { a: text("new") }, at: "1970-01-01T00:00:03.000Z" }),
  );
  const of = (who: typeof canary) => values(config.resolved(name("web"), who).config);
  expect([of(canary), of(other), values(config.resolved(name("web")).config)]).toEqual([
    { a: "new" },
    { a: "old" },
    { a: "old" },
  ]);
  expect([config.dueAtMs(name("web"), canary), config.dueAtMs(name("web"), other)]).toEqual([7000, 3000]);
  const [rolling, ...rest] = [...config.rollouts()];
  if (!rolling) throw new Error("nothing is on its way");
  expect([config.isRolling, rest, config.stageOf(rolling, canary), config.stageOf(rolling, other)]).toEqual([
    true,
    [],
    0,
    1,
  ]);
  expect([config.concerns(rolling, name("web")), config.concerns(rolling, name("shop"))]).toEqual([true, false]);
  config.apply([live(name("web"), { a: text("new") }, { version: 2 })]);
  expect([config.isRolling, [...config.rollouts()], of(other)]).toEqual([false, [], { a: "new" }]);
  // Without a time of its own, a release counts since its creation; a missing release, since the epoch.
  expect([config.dueAtMs(name("web"), other), config.dueAtMs(name("none"), other)]).toEqual([1000, 0]);
});

test("with problems an instance keeps the last good config, and receives nothing if there never was one", () => {
  const config = world(live(name("base"), { a: text("1") }), live(name("web"), { url: filled("${base:a}") }));
  const web = () => config.resolved(name("web"));
  const before = web().config;
  expect([config.cached(name("web"), other), config.isLastGood(name("web"))]).toEqual([before, false]);
  config.apply([live(name("base"), { b: text("2") }, { version: 2 })]);
  // Until it is asked for, it is not known.
  expect(config.cached(name("web"), other)).toBeUndefined();
  expect([web().problems.length, web().config, config.isLastGood(name("web"))]).toEqual([1, before, true]);
  expect(config.cached(name("web"), other)).toEqual(before);
  config.apply([live(name("base"), { a: text("3") }, { version: 3 })]);
  expect([web().problems, values(web().config), config.isLastGood(name("web"))]).toEqual([[], { url: "3" }, false]);
  const never = world(live(name("web"), { url: filled("${no}") }));
  expect(never.resolved(name("web")).problems).toHaveLength(1);
  expect([never.cached(name("web"), other), never.isLastGood(name("web"))]).toEqual([undefined, false]);
});

test("when a candidate does not resolve, the instances that it reaches keep the live release", () => {
  const config = world(
    live(name("base"), { a: text("1") }, { candidate: { b: text("2") } }),
    live(name("web"), { url: filled("${base:a}") }),
  );
  expect(config.resolved(name("web"), canary)).toMatchObject({
    problems: [{ key: "url" }],
    config: { items: { url: { value: "1" } } },
  });
  expect([config.isLastGood(name("web"), canary), config.isLastGood(name("web"), other)]).toEqual([true, false]);
});

test("a release key identifies the releases of a config, and a change touches every config that depends on it", () => {
  const config = world(
    live(name("base"), { a: text("1") }, { version: 4 }),
    live(name("web"), { url: filled("${base:a}") }),
  );
  const { releaseKey } = config.resolved(name("web")).config;
  expect(Object.fromEntries(config.madeOf(releaseKey) ?? [])).toEqual({
    "default/base/default": 4,
    "default/web/default": 1,
  });
  expect(config.madeOf("nothing")).toBeUndefined();
  const touched = config.touchedBy(new Set(["default/base"]));
  expect([touched(name("web")), touched(name("base")), touched(name("other"))]).toEqual([true, true, false]);
});

test("a patch has what changed, by value, format, secrecy or origin, and what is gone", () => {
  const item = (value: string, over: object = {}) => ({
    ...text(value),
    origin: { profile: "default", version: 1 },
    ...over,
  });
  const config = (items: object) =>
    ({ ...name("web"), revision: 1, releaseKey: "k", items }) as unknown as EffectiveConfig;
  const before = config({
    same: item("1"),
    value: item("1"),
    format: item("1"),
    secret: item("1"),
    version: item("1"),
    app: item("1"),
    gone: item("1"),
  });
  const origin = (over: object) => ({ origin: { profile: "default", version: 1, ...over } });
  const after = config({
    same: item("1"),
    value: item("2"),
    format: item("1", { format: "json" }),
    secret: item("1", { secret: true }),
    version: item("1", origin({ version: 2 })),
    app: item("1", origin({ app: "base", namespace: "default" })),
    come: item("1"),
  });
  const patch = patchOf(before, { ...after, releaseKey: "n", revision: 2 });
  expect([Object.keys(patch.changed).toSorted(), patch.removed, patch.base, patch.releaseKey, patch.revision]).toEqual([
    ["app", "come", "format", "secret", "value", "version"],
    ["gone"],
    "k",
    "n",
    2,
  ]);
  const profile = (one: string, namespace: string) =>
    config({ a: item("1", origin({ profile: one, app: "b", namespace })) });
  expect(Object.keys(patchOf(profile("p", "n"), profile("q", "n")).changed)).toEqual(["a"]);
  expect(Object.keys(patchOf(profile("p", "n"), profile("p", "m")).changed)).toEqual(["a"]);
  expect(Object.keys(patchOf(profile("p", "n"), profile("p", "n")).changed)).toEqual([]);
});

test("after a change each follower receives its config once, in whole or as a patch, in the clear or masked", () => {
  const config = world(
    live(name("web"), { a: text("1"), s: text("x", { secret: true }) }),
    live(name("alone"), { b: text("1") }),
  );
  const instance: Reader = { who: other, audience: "instances" };
  const topics = [
    topicOf(name("web"), ANYBODY, false),
    topicOf(name("web"), instance, false),
    topicOf(name("web"), instance, true),
    topicOf(name("web"), { ...instance, who: canary }, true),
    topicOf(name("alone"), ANYBODY, false),
  ];
  config.resolved(name("web"));
  const followers = followersOf(config, topics, new Set(["default/web"]));
  expect(followers.map(({ topic, reader, patches }) => [topic, reader.audience, reader.who.instance, patches])).toEqual(
    [
      [topics[0], "others", undefined, false],
      [topics[1], "instances", "other", false],
      [topics[2], "instances", "other", true],
      [topics[3], "instances", "canary", true],
    ],
  );
  const tell = () => {
    const broken: string[] = [];
    const told = framesAfter(config, followers, {
      broken: ({ app }) => broken.push(app),
      shown: (one, { audience }) => (audience === "others" ? { ...one, items: {} } : one),
    });
    return { broken, told };
  };
  // Nothing has changed yet.
  expect(tell()).toEqual({ broken: [], told: [] });
  config.apply([live(name("web"), { a: text("2"), s: text("x", { secret: true }) }, { version: 2 })]);
  const { told, broken } = tell();
  expect(told.map(({ topics }) => topics)).toEqual([[topics[0]], [topics[1]], [topics[2], topics[3]]]);
  expect([told[0]?.data, told[1]?.data, told[2]?.data, broken]).toMatchObject([
    { items: {} },
    { items: { a: { value: "2" } } },
    { changed: { a: { value: "2" } }, removed: [] },
    [],
  ]);
  expect(Object.keys((told[2]?.data as { changed?: object } | undefined)?.changed ?? {})).toEqual(["a", "s"]);
  config.apply([live(name("web"), { a: filled("${no}") }, { version: 3 })]);
  const after = tell();
  // The previous content is not the content that these received.
  expect([after.broken, after.told.length]).toEqual([["web"], 3]);
});
