/** The schedule of probes: when, how many at once, and what is told. */
import { expect, test } from "vitest";
import { ProbeRunner, type HttpProbe, type ProbeDefinition, type ProbeResult, type Verdict } from "#health";
import { ManualClock, testHost } from "#test/kit";

const DEFINITION: ProbeDefinition = {
  url: "http://127.0.0.1:1/health",
  method: "GET",
  intervalMs: 10_000,
  timeoutMs: 1_000,
  rise: 1,
  fall: 3,
};
const GOOD: ProbeResult = { result: "passing", output: "fine" };
const BAD: ProbeResult = { result: "critical", output: "broken" };

/** A runner on a manual clock whose probes answer as `answer` says. */
function setup(
  answer: (probe: HttpProbe, signal: AbortSignal) => ProbeResult | Promise<ProbeResult>,
  options: { concurrency?: number; seed?: number } = {},
) {
  const clock = new ManualClock();
  const told: [string, Verdict][] = [];
  const probes: { url: string; at: number }[] = [];
  const start = clock.now();
  const host = testHost({ clock, seed: options.seed ?? 1 });
  const runner = new ProbeRunner(host, {
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    onVerdict: (key, verdict) => told.push([key, verdict]),
    probe: async (probe, signal) => {
      probes.push({ url: probe.url, at: clock.now() - start });
      return answer(probe, signal);
    },
  });
  return { clock, told, probes, runner, host };
}

test("a verdict is told when it changes, not for each probe", async () => {
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

test("the first probe comes within a second, later ones an interval apart give or take five percent", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const { clock, probes, runner } = setup(() => GOOD, { seed });
    await using _ = runner;
    runner.set("web", DEFINITION);
    await clock.advance(50_000);
    expect(probes[0]?.at).toBeLessThanOrEqual(1_000);
    for (let i = 1; i < probes.length; i++) {
      const gap = (probes[i]?.at ?? 0) - (probes[i - 1]?.at ?? 0);
      expect(gap).toBeGreaterThanOrEqual(9_500);
      expect(gap).toBeLessThanOrEqual(10_500);
    }
  }
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

test("no more probes run at once than allowed, and all checks get their turn", async () => {
  let running = 0;
  let most = 0;
  const { clock, probes, runner } = setup(
    async (_probe, signal) => {
      most = Math.max(most, ++running);
      await clock.sleep(200, signal);
      running--;
      return GOOD;
    },
    { concurrency: 3 },
  );
  await using _ = runner;
  for (let i = 0; i < 30; i++) runner.set(`check-${i}`, { ...DEFINITION, url: `http://127.0.0.1:1/${i}` });
  await clock.advance(9_000);
  expect(most).toBe(3);
  expect(new Set(probes.map(({ url }) => url)).size).toBe(30);
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
  runner.set("web", { ...DEFINITION, url: "http://127.0.0.1:1/old" });
  await clock.advance(1_000);
  runner.set("web", { ...DEFINITION, url: "http://127.0.0.1:1/new" });
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

test("a removed check is probed no more and its probe under way is cut", async () => {
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
