/** The schedule of probes: when, how many at once, and which verdicts are reported. */
import { expect, test } from "vitest";
import {
  PROBE_SLOW_MS,
  ProbeRunner,
  type HttpTarget,
  type ProbeDefinition,
  type ProbeResult,
  type CheckVerdict,
} from "#health";
import { DAMPING_DEFAULTS } from "#registry/api";
import { ManualClock, testHost } from "#test/kit";

const DEFINITION: ProbeDefinition = {
  target: { type: "http", url: "http://127.0.0.1:1/health", method: "GET" },
  intervalMs: 10_000,
  timeoutMs: 1_000,
  initialDelayMs: 0,
  warnAfterMs: undefined,
  damping: undefined,
  rise: 1,
  fall: 3,
};
const GOOD: ProbeResult = { result: "passing", output: "fine" };
const BAD: ProbeResult = { result: "critical", output: "broken" };

const to = (url: string, more: Partial<ProbeDefinition> = {}): ProbeDefinition => ({
  ...DEFINITION,
  ...more,
  target: { type: "http", url, method: "GET" },
});

/** A runner on a manual clock whose probes answer as `answer` says. */
function setup(
  answer: (probe: HttpTarget, signal: AbortSignal) => ProbeResult | Promise<ProbeResult>,
  options: { places?: { quick: number; slow: number }; seed?: number } = {},
) {
  const clock = new ManualClock();
  const told: [string, CheckVerdict][] = [];
  const probes: { url: string; at: number }[] = [];
  const start = clock.now();
  const host = testHost({ clock, seed: options.seed ?? 1 });
  const runner = new ProbeRunner(host, {
    ...(options.places === undefined ? {} : { places: options.places }),
    onVerdict: (key, verdict) => told.push([key, verdict]),
    probe: async ({ definition, signal }) => {
      const target = definition.target as HttpTarget;
      probes.push({ url: target.url, at: clock.now() - start });
      return answer(target, signal);
    },
  });
  return { clock, told, probes, runner, host };
}

test("a verdict is reported when it changes, not for each probe", async () => {
  let result = GOOD;
  const { clock, told, probes, runner } = setup(() => result);
  await using _ = runner;
  runner.set("web", DEFINITION);
  await clock.advance(60_000);
  expect(probes.length).toBeGreaterThanOrEqual(5);
  expect(told.map(([key, { status }]) => [key, status])).toEqual([["web", "passing"]]);
  result = BAD;
  await clock.advance(60_000);
  expect(told.at(-1)).toMatchObject(["web", { status: "critical", output: "broken" }]);
  expect(told).toHaveLength(2);
});

test("the last output is known though the verdict did not change", async () => {
  let output = "first";
  const { clock, runner } = setup(() => ({ result: "passing", output }));
  await using _ = runner;
  runner.set("web", DEFINITION);
  expect(runner.last("web")).toMatchObject({ status: "unknown", output: "" });
  await clock.advance(1_000);
  output = "second";
  await clock.advance(11_000);
  expect(runner.last("web")).toMatchObject({ status: "passing", output: "second" });
  expect(runner.last("nobody")).toBeUndefined();
});

test("the first probe comes within a second, and from the second on they are an interval apart", async () => {
  for (let i = 0; i < 20; i++) {
    const { clock, probes, runner } = setup(() => GOOD);
    await using _ = runner;
    runner.set(`web-${i}`, DEFINITION);
    await clock.advance(50_000);
    const gaps = probes.slice(1).map(({ at }, i) => Math.round(at - (probes[i]?.at ?? 0)));
    expect(probes[0]?.at).toBeLessThanOrEqual(1_000);
    expect(gaps[0]).toBeGreaterThanOrEqual(5_000);
    expect(gaps[0]).toBeLessThanOrEqual(15_000);
    for (const gap of gaps.slice(1)) expect(gap).toBe(10_000);
  }
});

test("a check that waits first is unknown until then", async () => {
  const { clock, told, runner } = setup(() => GOOD);
  await using _ = runner;
  runner.set("web", { ...DEFINITION, initialDelayMs: 30_000 });
  await clock.advance(29_000);
  expect(told).toEqual([]);
  await clock.advance(2_000);
  expect(told).toHaveLength(1);
});

test("a good answer that takes too long is a warning that says so", async () => {
  const { clock, told, runner } = setup(async () => {
    await clock.sleep(400);
    return GOOD;
  });
  await using _ = runner;
  runner.set("web", { ...DEFINITION, warnAfterMs: 300 });
  await clock.advance(2_000);
  expect(told).toMatchObject([["web", { status: "warning", output: "slow: took 400 ms, more than 300 ms: fine" }]]);
});

test("a check that flaps is held critical, says so, and is let go when it is calm", async () => {
  let good = true;
  const { clock, told, runner } = setup(() => (good ? GOOD : BAD));
  await using _ = runner;
  runner.set("web", { ...DEFINITION, intervalMs: 1_000, fall: 1, damping: DAMPING_DEFAULTS });
  for (let i = 0; i < 8; i++) {
    await clock.advance(2_000);
    good = !good;
  }
  await clock.advance(5_000);
  expect(runner.last("web")).toMatchObject({ status: "critical" });
  expect(runner.last("web")?.output).toMatch(
    /^held critical: flapped 4 times; released after \d+ s without flapping: fine$/,
  );
  const flips = told.length;
  await clock.advance(120_000);
  expect(runner.last("web")?.status).toBe("critical");
  await clock.advance(180_000);
  expect(told.slice(flips).map(([, { status, output }]) => [status, output])).toEqual([["passing", "fine"]]);
});

test("a probe slower than its interval never overlaps with itself", async () => {
  let running = 0;
  let most = 0;
  const { clock, probes, runner } = setup(async (_probe, signal) => {
    most = Math.max(most, ++running);
    await clock.sleep(3_500, signal);
    running--;
    return GOOD;
  });
  await using _ = runner;
  runner.set("slow", { ...DEFINITION, intervalMs: 1_000 });
  await clock.advance(30_000);
  expect(most).toBe(1);
  expect(probes.length).toBeGreaterThanOrEqual(7);
});

test("at most as many probes run at once as there are places, and all checks get their turn", async () => {
  let running = 0;
  let most = 0;
  const { clock, probes, runner } = setup(
    async (_probe, signal) => {
      most = Math.max(most, ++running);
      await clock.sleep(PROBE_SLOW_MS - 50, signal);
      running--;
      return GOOD;
    },
    { places: { quick: 4, slow: 2 } },
  );
  await using _ = runner;
  for (let i = 0; i < 30; i++) runner.set(`check-${i}`, to(`http://127.0.0.1:1/${i}`));
  await clock.advance(9_000);
  expect(most).toBeLessThanOrEqual(4);
  expect(new Set(probes.map(({ url }) => url)).size).toBe(30);
});

test("ten thousand targets that hang hold their places only, and a hundred quick ones keep their interval", async () => {
  let hanging = 0;
  let most = 0;
  const { clock, probes, runner } = setup(async ({ url }, signal) => {
    if (!url.includes("hang")) return GOOD;
    most = Math.max(most, ++hanging);
    await clock.sleep(60_000, signal).catch(() => {});
    hanging--;
    return BAD;
  });
  await using _ = runner;
  for (let i = 0; i < 100; i++) runner.set(`quick-${i}`, to(`http://127.0.0.1:1/quick/${i}`), { initial: "passing" });
  for (let i = 0; i < 10_000; i++) runner.set(`hang-${i}`, to(`http://127.0.0.1:1/hang/${i}`));
  await clock.advance(30_000);
  const quick = new Map<string, number>();
  for (const { url } of probes) if (url.includes("quick")) quick.set(url, (quick.get(url) ?? 0) + 1);
  expect(quick.size).toBe(100);
  expect(Math.min(...quick.values())).toBeGreaterThanOrEqual(3);
  expect(most).toBeLessThanOrEqual(256 / 2 + 768);
});

test("a probe that hangs after it was quick gives its place away while it hangs", async () => {
  const { clock, probes, runner } = setup(
    async ({ url }, signal) => {
      if (url.endsWith("/hang")) await clock.sleep(60_000, signal).catch(() => {});
      return GOOD;
    },
    { places: { quick: 1, slow: 1 } },
  );
  await using _ = runner;
  runner.set("hang", to("http://127.0.0.1:1/hang"), { initial: "passing" });
  await clock.advance(1_000);
  runner.set("web", to("http://127.0.0.1:1/web"), { initial: "passing" });
  await clock.advance(2_000);
  expect(probes.map(({ url }) => url)).toContain("http://127.0.0.1:1/web");
});

test("a check that is poked is probed at once, and once more when it was being probed", async () => {
  const { clock, probes, runner } = setup(async () => {
    await clock.sleep(100);
    return GOOD;
  });
  await using _ = runner;
  runner.set("web", { ...DEFINITION, intervalMs: 3_600_000 });
  await clock.advance(2_000);
  expect(probes).toHaveLength(1);
  runner.poke("web");
  await clock.advance(50);
  runner.poke("web");
  await clock.advance(1_000);
  expect(probes).toHaveLength(3);
});

test("a new definition of the same target keeps the status and its runs", async () => {
  let result = GOOD;
  const { clock, told, runner } = setup(() => result);
  await using _ = runner;
  runner.set("web", DEFINITION);
  await clock.advance(2_000);
  result = BAD;
  await clock.advance(20_000);
  runner.set("web", { ...DEFINITION, intervalMs: 2_000 });
  expect(runner.last("web")?.status).toBe("passing");
  await clock.advance(2_100);
  expect(told.map(([, { status }]) => status)).toEqual(["passing", "critical"]);
});

test("a shorter interval takes effect now, not after the old one", async () => {
  const { clock, probes, runner } = setup(() => GOOD);
  await using _ = runner;
  runner.set("web", { ...DEFINITION, intervalMs: 3_600_000 });
  await clock.advance(2_000);
  expect(probes).toHaveLength(1);
  runner.set("web", { ...DEFINITION, intervalMs: 1_000 });
  await clock.advance(1_100);
  expect(probes.length).toBeGreaterThanOrEqual(2);
});

test("a new target starts over, and the old probe's late answer is not taken for its own", async () => {
  let release = () => {};
  const { clock, told, runner } = setup(
    (probe) =>
      probe.url.endsWith("/old") ? new Promise((resolve) => (release = () => resolve(BAD))) : Promise.resolve(GOOD),
    {},
  );
  await using _ = runner;
  runner.set("web", to("http://127.0.0.1:1/old"));
  await clock.advance(1_000);
  runner.set("web", to("http://127.0.0.1:1/new"));
  release();
  await clock.advance(1_000);
  expect(told.map(([, { status }]) => status)).toEqual(["passing"]);
});

test("a check seeded with its known status does not flap after a restart", async () => {
  const { clock, told, runner } = setup(() => GOOD);
  await using _ = runner;
  runner.set("web", DEFINITION, { initial: "passing" });
  expect(runner.last("web")?.status).toBe("passing");
  await clock.advance(30_000);
  expect(told).toEqual([]);
});

test("a removed check is no longer probed, and its probe under way is cut", async () => {
  let cut = false;
  const { clock, told, probes, runner } = setup(
    (_probe, signal) =>
      new Promise((resolve) => signal.addEventListener("abort", () => ((cut = true), resolve(BAD)), { once: true })),
  );
  await using _ = runner;
  runner.set("web", DEFINITION);
  await clock.advance(1_000);
  runner.delete("web");
  expect(cut).toBe(true);
  await clock.advance(60_000);
  expect(probes).toHaveLength(1);
  expect(told).toEqual([]);
});

test("a probe that could not be made does not count against its target", async () => {
  const { clock, told, runner, host } = setup(() => ({ result: undefined, output: "too many open files" }));
  await using _ = runner;
  runner.set("web", DEFINITION, { initial: "passing" });
  await clock.advance(60_000);
  expect(told).toEqual([]);
  expect(runner.last("web")).toMatchObject({ status: "passing", output: "too many open files" });
  expect(host.log.lines.some(({ level }) => level === "warn")).toBe(true);
});

test("after disposal nothing is probed and a new check is not taken", async () => {
  const { clock, probes, runner } = setup(() => GOOD);
  runner.set("web", DEFINITION);
  await runner[Symbol.asyncDispose]();
  runner.set("late", DEFINITION);
  await clock.advance(60_000);
  expect(probes).toEqual([]);
});
