/** Gateways that share a limit by leases stay within it and refuse nothing that it allows, whatever they are asked. */
import * as fc from "fast-check";
import { Value } from "typebox/value";
import { expect, test } from "vitest";
import {
  LEASE_WAIT_MS,
  OPENING_MAX,
  OPENING_SHARE,
  sharedRate,
  type SharedPolicy,
} from "../../../../gateway/core/limits/lease-arithmetic.ts";
import { LeasedLimits, type LeaseWait } from "../../../../gateway/core/limits/leased-limits.ts";
import { RateLimiter } from "../../../../gateway/core/limits/rate-limit.ts";
import { QuotaRequest } from "#quotas/api";
import { settle, type QuotaRecord } from "../../../../quotas/core/ledger.ts";

const RATE: SharedPolicy = { requests: 100, per: 1_000, burst: 100 };
const DAY_MS = 86_400_000;

interface Asked {
  readonly atMs: number;
  readonly gateway: number;
  allowed: boolean | undefined;
  waitedMs: number;
}

/**
 * Gateways and one ledger, event by event. Each gateway makes one call at a time, which takes `legMs` there and as much
 * back, and pauses after it unless a request waits, as the shell does.
 */
function world(count: number, policy: SharedPolicy, { legMs = (): number => 2.5, startMs = 20_000 * DAY_MS } = {}) {
  let record: QuotaRecord | undefined;
  let nowMs = 0;
  let sequence = 0;
  let limit = policy;
  let state: "here" | "away" | "silent" = "here";
  const events: { atMs: number; order: number; happen: () => void }[] = [];
  const requests: Asked[] = [];
  const calls: number[] = [];
  const at = (atMs: number, happen: () => void) => {
    const event = { atMs, order: sequence++, happen };
    let index = events.length;
    while (index > 0 && (events[index - 1] as typeof event).atMs > atMs) index--;
    events.splice(index, 0, event);
  };
  const gateways = Array.from({ length: count }, (_, gateway) => {
    const own = {
      calling: false,
      again: false,
      urgent: false,
      pausedUntilMs: 0,
      waiting: new Map<() => void, number>(),
    };
    const limits = new LeasedLimits((urgent) => {
      own.urgent ||= urgent;
      if (own.calling) own.again = true;
      else at(urgent ? nowMs : Math.max(nowMs, own.pausedUntilMs), call);
    });
    const call = () => {
      if (own.calling || (nowMs < own.pausedUntilMs && !own.urgent)) return;
      own.urgent = own.again = false;
      const asks = limits.asks(32, nowMs);
      if (asks.length === 0) return;
      own.calling = true;
      calls.push(nowMs);
      if (state === "silent") return;
      const there = legMs();
      at(nowMs + there, () => {
        const leases = asks.map((ask) => {
          expect(Value.Check(QuotaRequest, { asks: [ask] })).toBe(true);
          if (state === "away") return undefined;
          const settled = settle(record, ask, startMs + nowMs);
          record = settled.record;
          return settled.lease;
        });
        at(nowMs + legMs(), () => {
          own.calling = false;
          own.pausedUntilMs = nowMs + 20;
          if (leases.includes(undefined)) limits.failed(asks, nowMs);
          else limits.granted(asks, leases as never, nowMs);
          for (const [wake] of [...own.waiting].sort(([, a], [, b]) => a - b)) wake();
          if (own.again) at(own.urgent ? nowMs : own.pausedUntilMs, call);
        });
      });
    };
    const take = (request: Asked, waited?: LeaseWait) => {
      const verdict = limits.take("k", limit, nowMs, waited);
      request.waitedMs = nowMs - request.atMs;
      if ("allowed" in verdict) {
        request.allowed = verdict.allowed;
        return;
      }
      expect(verdict.forMs).toBeGreaterThan(0);
      const wake = () => {
        if (!own.waiting.delete(wake)) return;
        take(request, verdict);
      };
      own.waiting.set(wake, requests.indexOf(request));
      at(nowMs + verdict.forMs, wake);
    };
    return {
      ask: (atMs: number) => {
        const request: Asked = { atMs, gateway, allowed: undefined, waitedMs: 0 };
        requests.push(request);
        at(atMs, () => take(request));
      },
    };
  });
  return {
    requests,
    calls,
    change: (to: SharedPolicy) => (limit = to),
    become: (to: typeof state) => (state = to),
    ask: (gateway: number, atMs: number) => gateways[gateway]?.ask(atMs),
    /** Each gateway is asked so often a millisecond from now on; ends when all that waited has its verdict. */
    run(ms: number, perMs: readonly number[] = []) {
      const endMs = nowMs + ms;
      for (const [gateway, rate] of perMs.entries()) {
        const next = (atMs: number) => {
          if (atMs > endMs) return;
          gateways[gateway]?.ask(atMs);
          at(atMs, () => next(atMs + 1 / rate));
        };
        next(nowMs + 1 / rate);
      }
      for (let event = events[0]; event && event.atMs <= endMs; event = events[0]) {
        events.shift();
        nowMs = event.atMs;
        event.happen();
      }
      nowMs = endMs;
    },
    /** How many were let through. */
    total: () => requests.filter(({ allowed }) => allowed).length,
  };
}

/** The most that a limit of `policy` lets through, and what gateways may have beyond it. */
function most({ requests, per, burst }: SharedPolicy, ms: number, gateways: number): number {
  return burst + (ms * requests) / (per as number) + gateways * openingOf(burst, requests) + 1e-6;
}

function openingOf(burst: number, requests: number): number {
  return Math.max(1, Math.floor(Math.min(burst, requests) * OPENING_SHARE));
}

const policies = fc
  .record({
    requests: fc.integer({ min: 1, max: 200 }),
    perSeconds: fc.integer({ min: 1, max: 7_200 }),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ requests, perSeconds, share }) =>
    sharedRate({ requests, perMs: perSeconds * 1_000, burst: Math.max(1, Math.ceil(requests * share)) }),
  );
const legs = fc.array(fc.double({ min: 0.2, max: 6, noNaN: true }), { minLength: 1, maxLength: 30 }).map((all) => {
  let index = 0;
  return () => all[index++ % all.length] as number;
});

test("a caller whose requests are as far apart as the limit's, or farther, is never refused", () => {
  const gaps = fc.array(fc.double({ min: 1, max: 4, noNaN: true }), { minLength: 1, maxLength: 120 });
  fc.assert(
    fc.property(policies, gaps, legs, (policy, given, legMs) => {
      const one = world(1, policy, { legMs });
      let atMs = 0;
      for (const gap of given) one.ask(0, (atMs += (gap * (policy.per as number)) / policy.requests));
      one.run(atMs + 1_000);
      expect(one.requests.filter(({ allowed }) => !allowed)).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

test("a caller slower than a lease uses what it has left and never waits", () => {
  for (const [requests, seconds, everyMs] of [
    [20, 60, 3_000],
    [100, 60, 5_000],
    [10, 1, 5_000],
    [1_000, 60, 2_500],
  ] as const) {
    const one = world(1, { requests, per: seconds * 1_000, burst: requests });
    one.run(300_000, [1 / everyMs]);
    const late = one.requests.filter(({ allowed, waitedMs }) => !allowed || waitedMs > 0);
    expect([requests, seconds, late]).toEqual([requests, seconds, []]);
  }
});

test("one gateway refuses nothing that the limit allows, and exceeds the limit by at most one opening", () => {
  // Bursts and pauses, counted in spacings of the limit.
  const steps = fc.array(
    fc.record({ pause: fc.double({ min: 0, max: 6, noNaN: true }), burst: fc.integer({ min: 1, max: 12 }) }),
    { minLength: 1, maxLength: 60 },
  );
  fc.assert(
    fc.property(policies, steps, legs, (policy, given, legMs) => {
      const one = world(1, policy, { legMs });
      const spacing = (policy.per as number) / policy.requests;
      let atMs = 0;
      for (const { pause, burst } of given) {
        atMs += pause * spacing;
        for (let i = 0; i < burst; i++) one.ask(0, atMs);
      }
      one.run(atMs + 1_000);
      // Which of its debts are forgiven is of no matter here.
      const exact = new RateLimiter({ workers: 1_000 });
      const rate = { requests: policy.requests, perMs: policy.per as number, burst: policy.burst };
      for (const { atMs: asked, allowed, waitedMs } of one.requests) {
        expect(allowed).toBeDefined();
        expect(waitedMs).toBeLessThanOrEqual(2 * LEASE_WAIT_MS);
        const right = exact.take("k", rate, asked).allowed;
        if (right) expect(allowed).toBe(true);
        else if (allowed) exact.spend("k", spacing, asked);
      }
      expect(one.total()).toBeLessThanOrEqual(most(policy, atMs + LEASE_WAIT_MS, 1));
    }),
    { numRuns: 300 },
  );
});
test("gateways under a load far beyond the limit let through the limit and its burst, and exceed them only by the openings", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.double({ min: 0.05, max: 2, noNaN: true }), { minLength: 4, maxLength: 4 }),
      fc.integer({ min: 1, max: 40 }),
      (count, loads, delayMs) => {
        const shared = world(count, RATE, { legMs: () => delayMs / 2 });
        const perMs = loads.slice(0, count);
        const seconds = 10;
        shared.run(seconds * 1_000, perMs);
        const asked = perMs.reduce((a, b) => a + b, 0) * seconds * 1_000;
        const limit = 100 * seconds + 100;
        expect(shared.total()).toBeLessThanOrEqual(most(RATE, seconds * 1_000, count));
        // And hardly less: what is there is found by those who want it.
        expect(shared.total()).toBeGreaterThanOrEqual(Math.min(asked, limit) * 0.8);
        // A call now and then, not for each request.
        expect(shared.calls.length).toBeLessThanOrEqual(count * seconds * 60);
      },
    ),
    { numRuns: 40 },
  );
});

test("in no time do gateways let through more than the limit, its burst, and what each may hold", () => {
  const loads = fc.array(
    fc.record({
      gateway: fc.nat(4),
      after: fc.double({ min: 0, max: 3, noNaN: true }),
      burst: fc.integer({ min: 1, max: 40 }),
    }),
    { minLength: 1, maxLength: 80 },
  );
  fc.assert(
    fc.property(policies, fc.integer({ min: 1, max: 5 }), loads, legs, (policy, count, given, legMs) => {
      const shared = world(count, policy, { legMs });
      const spacing = (policy.per as number) / policy.requests;
      let atMs = 0;
      for (const { gateway, after, burst } of given) {
        atMs += after * spacing;
        for (let i = 0; i < burst; i++) shared.ask(gateway % count, atMs);
      }
      shared.run(atMs + 1_000);
      const passed = shared.requests
        .filter(({ allowed }) => allowed)
        .map(({ atMs: asked, waitedMs }) => asked + waitedMs);
      passed.sort((a, b) => a - b);
      const held = count * Math.max(openingOf(policy.burst, policy.requests), Math.ceil(2_000 / spacing));
      // Requests beyond what any two moments leave room for. One expectation, because there are millions of pairs.
      let beyond = -Infinity;
      for (const [from, start] of passed.entries()) {
        for (let to = from; to < passed.length; to++) {
          const room = policy.burst + ((passed[to] as number) - start + LEASE_WAIT_MS) / spacing + held;
          beyond = Math.max(beyond, to - from + 1 - room);
        }
      }
      expect(beyond).toBeLessThanOrEqual(1e-6);
      expect(shared.total()).toBeLessThanOrEqual(most(policy, atMs + LEASE_WAIT_MS, count));
    }),
    { numRuns: 200 },
  );
});

test("more gateways than a limit has requests keep to it over hours", () => {
  const policy = { requests: 1, per: 60_000, burst: 1 };
  const shared = world(10, policy);
  shared.run(
    2 * 3_600_000,
    Array.from({ length: 10 }, () => 1 / 5_000),
  );
  expect(shared.total()).toBeLessThanOrEqual(most(policy, 2 * 3_600_000, 10));
  expect(shared.total()).toBeGreaterThanOrEqual(110);
});

test("as many concurrent requests as the limit has are let through on an unused key", () => {
  for (const [requests, delayMs] of [
    [8, 5],
    [20, 5],
    [20, 20],
    [20, 45],
  ] as const) {
    const shared = world(1, { requests: 20, per: 60_000, burst: 20 }, { legMs: () => delayMs / 2 });
    for (let i = 0; i < requests; i++) shared.ask(0, i / 10);
    shared.ask(0, 40);
    shared.run(1_000);
    expect([requests, delayMs, shared.total()]).toEqual([requests, delayMs, Math.min(20, requests + 1)]);
  }
});

test("a caller over the limit is refused at once, with the time to retry", () => {
  const limits = new LeasedLimits(() => {});
  const policy = { requests: 20, per: 60_000, burst: 20 };
  limits.take("k", policy, 0);
  limits.granted(limits.asks(32, 0), [{ key: "k", granted: 0, remaining: 0, resetMs: 60_000, validMs: 2_000 }], 5);
  expect(limits.take("k", policy, 1_000)).toMatchObject({
    allowed: false,
    remaining: 0,
    retryMs: 2_000,
    resetMs: 59_000,
  });
  // The next is due within the time that a request may wait.
  expect(limits.take("k", policy, 2_960)).toMatchObject({ forMs: 40, untilMs: 3_010 });
  expect(limits.take("k", policy, 2_961)).toMatchObject({ allowed: false, retryMs: 3_039 });
});

test("a control plane that is silent holds a request up for so long and no longer; those that follow it not at all", () => {
  const shared = world(1, { requests: 20, per: 60_000, burst: 20 });
  shared.become("silent");
  for (let i = 0; i < 25; i++) shared.ask(0, 0);
  shared.run(LEASE_WAIT_MS + 1);
  expect(shared.total()).toBe(20);
  expect(Math.max(...shared.requests.map(({ waitedMs }) => waitedMs))).toBe(LEASE_WAIT_MS);
  shared.ask(0, 3_100);
  shared.run(5_000);
  expect(shared.requests.at(-1)).toMatchObject({ allowed: true, waitedMs: 0 });
});

test("a quota of a day is never passed by more than the openings, and is used up", () => {
  const shared = world(3, { requests: 1_000, per: "day", burst: 1_000 });
  shared.run(20_000, [0.5, 0.1, 0.02]);
  expect(shared.total()).toBeLessThanOrEqual(1_000 + 3 * 50);
  expect(shared.total()).toBeGreaterThanOrEqual(990);
});

test("a quota starts again with its period: the first request of a day is let through at once", () => {
  const policy = { requests: 1_000, per: "day", burst: 1_000 } as const;
  const one = world(1, policy, { startMs: 20_000 * DAY_MS + 3_600_000 });
  one.run(4 * DAY_MS, [1 / 90_000]);
  expect(one.requests.filter(({ allowed, waitedMs }) => !allowed || waitedMs > 0)).toEqual([]);
});

test("at the turn of a day each gateway opens once, and exceeds the new day's quota by at most that", () => {
  const policy = { requests: 1_000, per: "day", burst: 1_000 } as const;
  const shared = world(3, policy, { startMs: 20_001 * DAY_MS - 20_000 });
  shared.run(20_000, [0.1, 0.1, 0.05]);
  const yesterday = shared.total();
  expect(yesterday).toBeLessThanOrEqual(1_000 + 3 * 50);
  shared.run(40_000, [0.1, 0.1, 0.05]);
  expect(shared.total() - yesterday).toBeGreaterThanOrEqual(1_000);
  expect(shared.total() - yesterday).toBeLessThanOrEqual(1_000 + 3 * 50);
});

test("while the control plane is away each goes on with about what it had, and shares again when it is back", () => {
  const shared = world(2, RATE);
  shared.run(10_000, [0.3, 0.3]);
  const before = shared.total();
  shared.become("away");
  shared.run(10_000, [0.3, 0.3]);
  const alone = shared.total() - before;
  expect(alone).toBeGreaterThan(300);
  expect(alone).toBeLessThan(2_500);
  shared.become("here");
  shared.run(2_000, [0.3, 0.3]);
  const back = shared.total();
  shared.run(10_000, [0.3, 0.3]);
  expect(shared.total() - back).toBeLessThanOrEqual(1_120);
});

test("a gateway that never reached the control plane has the whole limit to itself", () => {
  const shared = world(1, RATE);
  shared.become("away");
  shared.run(10_000, [1]);
  expect(shared.total()).toBeGreaterThan(900);
  expect(shared.total()).toBeLessThan(1_200);
});

test("a gateway that knows its month to be used up refuses while the control plane is away", () => {
  const month: SharedPolicy = { requests: 60, per: "month", burst: 60 };
  const limits = new LeasedLimits(() => {});
  const allowed = (nowMs: number) => {
    const verdict = limits.take("k", month, nowMs);
    return "allowed" in verdict && verdict.allowed;
  };
  for (let i = 0; i < 3; i++) expect(allowed(0)).toBe(true);
  const first = limits.asks(32, 10);
  limits.granted(first, [{ key: "k", granted: 0, remaining: 0, resetMs: DAY_MS, validMs: DAY_MS }], 20);
  expect(allowed(30)).toBe(false);
  limits.failed(limits.asks(32, 6_000), 6_010);
  for (let i = 0; i < 5; i++) expect(allowed(6_020 + i)).toBe(false);
});

test("a gateway that had no lease of a month yet goes on with what the last answer left", () => {
  const month: SharedPolicy = { requests: 60, per: "month", burst: 60 };
  const limits = new LeasedLimits(() => {});
  const allowed = (nowMs: number) => {
    const verdict = limits.take("k", month, nowMs);
    return "allowed" in verdict && verdict.allowed;
  };
  for (let i = 0; i < 3; i++) expect(allowed(0)).toBe(true);
  const first = limits.asks(32, 10);
  limits.granted(first, [{ key: "k", granted: 0, remaining: 4, resetMs: DAY_MS, validMs: DAY_MS }], 20);
  limits.take("k", month, 30);
  limits.failed(limits.asks(32, 30), 40);
  const verdicts = Array.from({ length: 10 }, (_, i) => allowed(50 + i));
  expect(verdicts.filter(Boolean)).toHaveLength(4);
});

test("the largest and the smallest limit that a config may have are asked for in words that the control plane takes", () => {
  const policies: SharedPolicy[] = [
    { requests: 1_000_000_000, per: "month", burst: 1_000_000_000 },
    sharedRate({ requests: 10_000_000, perMs: 1, burst: 1 }),
    { requests: 1, per: 86_400_000, burst: 1 },
  ];
  for (const policy of policies) {
    const limits = new LeasedLimits(() => {});
    for (let i = 0; i < OPENING_MAX; i++) limits.take("k".repeat(400), policy, 0);
    const [ask] = limits.asks(32, 10);
    expect([ask, Value.Check(QuotaRequest, { asks: [ask] })]).toEqual([ask, true]);
  }
});

test("a limit that changes is asked for as it is now, with nothing counted twice, and an answer to the old one is void", () => {
  const limits = new LeasedLimits(() => {});
  const use = (burst: number, nowMs: number) => limits.take("k", { ...RATE, burst }, nowMs);
  for (let i = 0; i < 5; i++) expect(use(100, 0)).toMatchObject({ allowed: true });
  const old = limits.asks(32, 0);
  expect(old).toMatchObject([{ burst: 100, spent: 5 }]);
  use(10, 1);
  limits.granted(old, [{ key: "k", granted: 50, remaining: 50, resetMs: 500, validMs: 2_000 }], 5);
  expect(use(10, 6)).toMatchObject({ forMs: LEASE_WAIT_MS });
  expect(limits.asks(32, 7)).toMatchObject([{ burst: 10, waiting: 2, spent: 0 }]);
});

test("usage during an outage of the control plane is reported once, in the next ask that it answers", () => {
  const limits = new LeasedLimits(() => {});
  const ask = (nowMs: number) => {
    limits.take("k", RATE, nowMs);
    return limits.asks(32, nowMs);
  };
  for (let i = 0; i < 4; i++) limits.take("k", RATE, 0);
  const lost = ask(0);
  expect(lost).toMatchObject([{ spent: 5 }]);
  limits.failed(lost, 10);
  const told = ask(2_000);
  expect(told).toMatchObject([{ spent: 6 }]);
  limits.granted(told, [{ key: "k", granted: 1, remaining: 0, resetMs: 500, validMs: 2_000 }], 2_010);
  expect(ask(4_000)).toMatchObject([{ spent: 0 }]);
});
