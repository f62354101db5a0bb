/** Shared limits on the wire: requests within a limit are served, all at once, now and then, and while no answer comes. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { GatewayClient } from "#gateway";
import type { QuotaLease } from "#quotas/api";
import { eventually } from "#test/kit";
import { LEASE_WAIT_MS } from "../../gateway/core/limits/lease-arithmetic.ts";
import { settle, type QuotaRecord } from "../../quotas/core/ledger.ts";
import { instance, oneRoute, runGateway, upstream } from "./kit.ts";

interface Ledger extends NonNullable<GatewayClient["quotas"]> {
  calls: number;
}

/** The control plane's ledger, which takes its time; its leases may be shorter than they are. */
function ledger({ delayMs = 5, validMs = 2_000 } = {}): Ledger {
  const records = new Map<string, QuotaRecord>();
  const quotas: Ledger = {
    calls: 0,
    lease: async (_namespace, { asks }, options) => {
      quotas.calls += 1;
      await sleep(delayMs, undefined, options);
      const leases = asks.map((ask): QuotaLease => {
        const settled = settle(records.get(ask.key), ask, Date.now());
        records.set(ask.key, settled.record);
        return { ...settled.lease, validMs: Math.min(validMs, settled.lease.validMs) };
      });
      return { leases };
    },
  };
  return quotas;
}

const shared = { requests: 20, perSeconds: 60, by: "ip", scope: "cluster" };

async function statuses(url: string, count: number): Promise<number[]> {
  const answers = await Promise.all(Array.from({ length: count }, () => fetch(url)));
  return answers.map(({ status }) => status).toSorted((a, b) => a - b);
}

test("eight concurrent requests on an unused limit of twenty are served, for fewer calls", async () => {
  await using service = await upstream();
  const quotas = ledger();
  await using running = await runGateway(oneRoute({ rateLimit: shared }), [instance(service.port)], { quotas });
  expect(await statuses(running.url, 8)).toEqual(Array(8).fill(200));
  expect(quotas.calls).toBeLessThan(8);
  // And the limit is the limit.
  expect(await statuses(running.url, 20)).toEqual([...Array(12).fill(200), ...Array(8).fill(429)]);
  const refused = await fetch(running.url);
  expect([refused.status, refused.headers.get("x-posthouse-flag")]).toEqual([429, "RL"]);
  expect(Number(refused.headers.get("retry-after"))).toBeLessThanOrEqual(3);
});

test("a caller whose lease has lapsed each time is served each time", async () => {
  await using service = await upstream();
  const quotas = ledger({ validMs: 20 });
  await using running = await runGateway(oneRoute({ rateLimit: shared }), [instance(service.port)], { quotas });
  for (let i = 0; i < 8; i++) {
    expect([i, (await fetch(running.url)).status]).toEqual([i, 200]);
    await sleep(50);
  }
});

test("a request that waits for its quota was counted by the rate before it, once", async () => {
  await using service = await upstream();
  const route = { rateLimit: { requests: 8, perSeconds: 60, by: "ip" }, quota: { requests: 20, per: "day", by: "ip" } };
  await using running = await runGateway(oneRoute(route), [instance(service.port)], { quotas: ledger() });
  expect(await statuses(running.url, 8)).toEqual(Array(8).fill(200));
  expect(await statuses(running.url, 1)).toEqual([429]);
});

test("with a control plane that does not answer, what is within the limit is served after a moment, once", async () => {
  await using service = await upstream();
  const quotas = ledger({ delayMs: 60_000 });
  await using running = await runGateway(oneRoute({ rateLimit: shared }), [instance(service.port)], { quotas });
  expect(await statuses(running.url, 8)).toEqual(Array(8).fill(200));
  // Most no longer wait; delays by other load on the machine are not the gateway's.
  const tookMs: number[] = [];
  for (let i = 0; i < 10; i++) {
    const sinceMs = performance.now();
    expect((await fetch(running.url)).status).toBe(200);
    tookMs.push(performance.now() - sinceMs);
  }
  expect(Math.min(...tookMs)).toBeLessThan(LEASE_WAIT_MS);
});

test("a client that leaves while it waits is gone, and leaves the others what they are due", async () => {
  // One that is let in at the very moment in which its client leaves has taken its part; not each time.
  for (let tries = 1; ; tries++) {
    const { due, served } = await leavings();
    if (served === due) return;
    expect(tries, `${served} of ${due} were served`).toBeLessThan(5);
  }
});

/** Three clients leave while they wait. How many of the twenty are due to others then, and how many of these are served. */
async function leavings(): Promise<{ due: number; served: number }> {
  await using service = await upstream();
  const quotas = ledger({ delayMs: 30 });
  await using running = await runGateway(oneRoute({ rateLimit: shared }), [instance(service.port)], { quotas });
  expect((await fetch(running.url)).status).toBe(200);
  // They wait for milliseconds only; on a busy machine they may be served before all three are seen to wait, and others are sent.
  let areWaiting = false;
  while (!areWaiting && service.requests.length < 14) {
    const leaving = new AbortController();
    const sent = { done: 0 };
    const left = Promise.allSettled(
      [1, 2, 3].map(() => fetch(running.url, { signal: leaving.signal }).finally(() => sent.done++)),
    );
    while (!areWaiting && sent.done < 3) {
      await new Promise((resolve) => setImmediate(resolve));
      areWaiting = running.gateway.status().inFlight === 3;
    }
    leaving.abort();
    await left;
  }
  await eventually("no request waits", () => running.gateway.status().inFlight === 0);
  // Its place is given up when its wait would have been over.
  await sleep(2 * LEASE_WAIT_MS);
  const due = 20 - service.requests.length;
  expect(due).toBeGreaterThan(0);
  const answers = await statuses(running.url, due);
  return { due, served: answers.filter((status) => status === 200).length };
}
