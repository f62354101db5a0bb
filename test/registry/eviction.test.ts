/** Which instances a sweep deregisters and what holds it back; and the sweeps themselves, over a real registry. */
import { expect, test } from "vitest";
import { ManualClock, testHost, withControl } from "#test/kit";
import { planEvictions, SWEEP_MS, type Sweep } from "../../registry/core/eviction.ts";

const ids = (count: number) => Array.from({ length: count }, (_, i) => `i-${i}`);
const sweep = (changes: Partial<Sweep>): Sweep => ({
  lateMs: 0,
  before: [],
  now: { instances: 100, critical: 1 },
  due: [{ service: "default/orders", size: 5, ids: ["i-0"] }],
  ...changes,
});

test("due instances are evicted, at most a tenth of a service and at least one per sweep", () => {
  expect(planEvictions(sweep({}))).toEqual({ evict: [{ service: "default/orders", id: "i-0" }], brake: undefined });
  const due = [
    { service: "default/large", size: 50, ids: ids(30) },
    { service: "default/small", size: 3, ids: ids(3) },
  ];
  const { evict, brake } = planEvictions(sweep({ due }));
  expect(evict.map(({ service }) => service)).toEqual([...Array(5).fill("default/large"), "default/small"]);
  expect(brake).toMatchObject({ kind: "pace", kept: 27 });
});

test("a late sweep evicts nothing, since health was not observed", () => {
  expect(planEvictions(sweep({ lateMs: SWEEP_MS / 2 })).evict).toHaveLength(1);
  expect(planEvictions(sweep({ lateMs: SWEEP_MS / 2 + 1 })).brake?.kind).toBe("paused");
  expect(planEvictions(sweep({ lateMs: SWEEP_MS, due: [] }))).toEqual({ evict: [], brake: undefined });
  expect(planEvictions(sweep({ lateMs: SWEEP_MS * 0.4 })).evict).toHaveLength(1);
  expect(planEvictions(sweep({ lateMs: SWEEP_MS }))).toMatchObject({ evict: [], brake: { kind: "paused", kept: 1 } });
});

test("when many turned critical together nothing is evicted, until the jump is old", () => {
  const calm = { instances: 100, critical: 2 };
  const now = { instances: 100, critical: 40 };
  const { evict, brake } = planEvictions(sweep({ before: [calm], now }));
  expect([evict, brake?.kind]).toEqual([[], "jump"]);
  expect(brake?.reason).toContain("40 of 100");
  const long = Array.from({ length: 30 }, () => now);
  expect(planEvictions(sweep({ before: [calm, ...long], now })).evict).toHaveLength(1);
  expect(
    planEvictions(sweep({ before: [{ instances: 4, critical: 0 }], now: { instances: 4, critical: 4 } })).evict,
  ).toHaveLength(1);
});

test("a jump is a rise by ten instances and by a fifth of all, above the calmest of the last sweeps", () => {
  const jumps = (instances: number, critical: number, ...before: number[]) => {
    const earlier = before.map((critical) => ({ instances, critical }));
    return planEvictions(sweep({ before: earlier, now: { instances, critical } })).brake?.kind === "jump";
  };
  expect([jumps(50, 10, 0), jumps(50, 9, 0), jumps(51, 10, 0), jumps(50, 10, 1)]).toEqual([true, false, false, false]);
  expect([jumps(50, 30, 25, 20, 28), jumps(50, 30, 25, 21, 28), jumps(50, 50)]).toEqual([true, false, false]);
  expect(jumps(0, 0, 0)).toBe(false);
});

test("a tenth of a service is rounded down, and one instance may always go", () => {
  const gone = (size: number) => {
    const { evict, brake } = planEvictions(sweep({ due: [{ service: "s", size, ids: ids(9) }] }));
    return [evict.length, brake?.kept];
  };
  expect([gone(9), gone(19), gone(20), gone(29)]).toEqual([
    [1, 8],
    [1, 8],
    [2, 7],
    [2, 7],
  ]);
});

const NAME = { namespace: "default", service: "orders", id: "orders-1" };
const REGISTRATION = {
  address: "127.0.0.1",
  port: 4001,
  probedBy: "agent",
  checks: [{ id: "up", type: "tcp", deregisterAfterSeconds: 60 }],
} as const;

/** The wall clock may jump; the other one goes on as it does. */
class JumpingClock extends ManualClock {
  aheadMs = 0;
  pausedMs = 0;

  override now(): number {
    return super.now() + this.aheadMs;
  }

  override monotonic(): number {
    return super.monotonic() + this.pausedMs;
  }
}

async function started() {
  const clock = new JumpingClock();
  const host = testHost({ clock });
  const control = await withControl({ host });
  const report = (status: string) =>
    control.call("PUT", "/v1/services/orders/instances/orders-1/checks/up", { status, output: "because" });
  const there = async () => (await control.call("GET", "/v1/services/orders/instances/orders-1")).status === 200;
  await clock.advance(20_000);
  await control.client.registry.register(NAME, { ...REGISTRATION, checks: [...REGISTRATION.checks] });
  return { clock, host, control, report, there };
}

test("an instance that was critical for as long as its check says is deregistered, with the reason in the log", async () => {
  const { clock, host, control, report, there } = await started();
  await using _ = control;
  await report("critical");
  await clock.advance(50_000);
  expect(await there()).toBe(true);
  await clock.advance(30_000);
  expect(await there()).toBe(false);
  const line = host.log.lines.find(({ message }) => message.startsWith("deregistered"));
  expect(line).toMatchObject({ level: "info", fields: { reason: 'check "up" was critical for 60 s: because' } });
  expect((await host.metrics.expose()).text).toContain("posthouse_registry_evictions_total 1");
});

test("a passing report restarts the count, and without a time no instance is evicted", async () => {
  const { clock, control, report, there } = await started();
  await using _ = control;
  await report("critical");
  await clock.advance(50_000);
  await report("passing");
  await report("critical");
  await clock.advance(50_000);
  expect(await there()).toBe(true);
  const checks = [{ id: "up", type: "tcp" as const }];
  await control.client.registry.register(NAME, { ...REGISTRATION, checks });
  await report("critical");
  await clock.advance(600_000);
  expect(await there()).toBe(true);
});

test("neither a jump of the wall clock nor a pause evicts", async () => {
  const { clock, control, report, there } = await started();
  await using _ = control;
  await report("critical");
  clock.aheadMs = 7 * 86_400_000;
  await clock.advance(20_000);
  expect(await there()).toBe(true);
  clock.pausedMs = 3_600_000;
  await clock.advance(20_000);
  expect(await there()).toBe(true);
  await clock.advance(60_000);
  expect(await there()).toBe(false);
});
