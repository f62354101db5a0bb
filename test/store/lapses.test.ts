/** When leases lapse over etcd: never early, not for the absence of members, and not all at once. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openStore } from "#store";
import { eventually, testHost, withEtcd } from "#test/kit";
import { AWAY_MS, Lapses } from "../../kernel/store/etcd/lapses.ts";

/** Rounds of a quarter of a second, in which etcd answers or not; what `silentMs` says of each lease. */
function live(
  lapses: Lapses,
  {
    fromMs,
    untilMs,
    answers,
    silentMs,
  }: {
    fromMs: number;
    untilMs: number;
    answers: (nowMs: number) => boolean;
    silentMs: (id: string, nowMs: number) => number;
  },
): Map<string, number> {
  const ended = new Map<string, number>();
  for (let nowMs = fromMs; nowMs <= untilMs; nowMs += 250) {
    if (!answers(nowMs)) continue;
    lapses.answered(nowMs);
    const due = lapses.due(nowMs);
    const silences = new Map(due.map((id) => [id, Math.max(0, Math.floor((silentMs(id, nowMs) - 1) / 1000) * 1000)]));
    for (const id of lapses.judge(silences, nowMs).end) {
      lapses.forget(id);
      ended.set(id, nowMs);
    }
  }
  return ended;
}

describe("the decision", () => {
  test("a lease lapses once etcd says that it was not renewed for its time, and at most 1.5 s later", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.array(fc.integer({ min: 1, max: 59_000 }), { maxLength: 5 }),
        (ttl, renewals) => {
          const lapses = new Lapses(0);
          lapses.track("a", ttl * 1000, 0);
          // Renewals on another member, of which only etcd knows; none comes after the lease is over.
          const times = [0];
          for (const atMs of renewals.toSorted((a, b) => a - b))
            if (atMs < (times.at(-1) ?? 0) + ttl * 1000) times.push(atMs);
          const last = times.at(-1) ?? 0;
          const silentMs = (_id: string, nowMs: number) => nowMs - (times.findLast((atMs) => atMs <= nowMs) ?? 0);
          const ended =
            live(lapses, { fromMs: 0, untilMs: 200_000, answers: () => true, silentMs }).get("a") ?? Infinity;
          expect(ended).toBeGreaterThanOrEqual(last + ttl * 1000);
          expect(ended).toBeLessThanOrEqual(last + ttl * 1000 + 1_500);
        },
      ),
    );
  });

  test("nothing lapses for a time in which etcd did not answer: its full time runs again from the first answer", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: AWAY_MS + 250, max: 200_000 }), (ttl, awayMs) => {
        const lapses = new Lapses(0);
        lapses.track("a", ttl * 1000, 0);
        const backMs = 500 + awayMs;
        const answers = (nowMs: number) => nowMs < 500 || nowMs >= backMs;
        const ended =
          live(lapses, { fromMs: 0, untilMs: 400_000, answers, silentMs: (_id, nowMs) => nowMs }).get("a") ?? 0;
        if (ended >= 500) expect(ended).toBeGreaterThanOrEqual(backMs + ttl * 1000);
      }),
    );
  });

  test("most leases at once are held for their time again, and then lapse a tenth per second; a few are not held", () => {
    const run = (silent: number) => {
      const lapses = new Lapses(0);
      for (let i = 0; i < 20; i++) lapses.track(`l${i}`, 10_000, 0);
      const silentMs = (id: string, nowMs: number) => (Number(id.slice(1)) < silent ? nowMs : 0);
      return [...live(lapses, { fromMs: 0, untilMs: 60_000, answers: () => true, silentMs }).values()];
    };
    expect(run(4).every((atMs) => atMs <= 11_500)).toBe(true);
    const mass = run(20);
    expect(mass).toHaveLength(20);
    expect(Math.min(...mass)).toBeGreaterThanOrEqual(20_000);
    // Two per second for as long as it is a mass; the last few do not count as one.
    expect(mass.filter((atMs) => atMs < 25_000).length).toBeLessThanOrEqual(12);
  });
});

test("leases outlive the absence of every member, and lapse in their time once one has returned", async () => {
  await using etcd = await withEtcd();
  const open = (namespace = "n/") => openStore(testHost(), { engine: "etcd", endpoints: [etcd.endpoint], namespace });
  const put = (key: string, lease: string) => ({
    then: [{ type: "put" as const, key, value: new Uint8Array(), lease }],
  });
  let kept: string;
  {
    await using store = await open();
    kept = (await store.grant(2)).id;
    await store.txn(put("kept", kept));
    await store.txn(put("silent", (await store.grant(2)).id));
    // Another cluster in the same etcd, whose members live on, does not end them either.
    await using _other = await open("other/");
  }
  await using other = await open("other/");
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  await using store = await open();
  const startMs = performance.now();
  await store.keepAlive(kept);
  expect((await store.range({ prefix: "" })).entries.map(({ key }) => key)).toEqual(["kept", "silent"]);
  await eventually("the lease without renewals lapses", async () => {
    await store.keepAlive(kept);
    return (await store.range({ key: "silent" })).count === 0;
  });
  expect(performance.now() - startMs).toBeGreaterThan(1_900);
  expect((await store.range({ key: "kept" })).count).toBe(1);
  expect((await other.range({ prefix: "" })).count).toBe(0);
});
