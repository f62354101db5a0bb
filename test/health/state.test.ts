/** The judge: rise and fall by example, and by property. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { observe, startHealth, worstOf, type Health, type HealthResult, type Thresholds } from "#health/core";

function after(results: readonly HealthResult[], thresholds: Thresholds, start: Health = startHealth(0)): Health {
  return results.reduce((health, result, i) => observe(health, result, i + 1, thresholds), start);
}

test("the first result decides at once, whatever the thresholds", () => {
  for (const result of ["passing", "warning", "critical"] as const) {
    expect(after([result], { rise: 5, fall: 5 })).toMatchObject({ status: result, sinceMs: 1 });
  }
});

test("the third bad probe in a row turns a check critical at that moment", () => {
  const thresholds = { rise: 1, fall: 3 };
  const two = after(["passing", "critical", "critical"], thresholds);
  expect(two).toMatchObject({ status: "passing", sinceMs: 1 });
  expect(observe(two, "critical", 77, thresholds)).toMatchObject({ status: "critical", sinceMs: 77 });
});

test("a good probe between bad ones starts the count again", () => {
  expect(
    after(["passing", "critical", "critical", "passing", "critical", "critical"], { rise: 1, fall: 3 }).status,
  ).toBe("passing");
});

test("a critical check needs `rise` good probes in a row to pass again", () => {
  const start = startHealth(0, "critical");
  expect(after(["passing", "critical", "passing"], { rise: 2, fall: 3 }, start).status).toBe("critical");
  expect(after(["passing", "passing"], { rise: 2, fall: 3 }, start)).toMatchObject({ status: "passing", sinceMs: 2 });
});

test("a run of bad probes counts as the mildest of them", () => {
  const start = startHealth(0, "passing");
  expect(after(["critical", "critical", "warning"], { rise: 1, fall: 3 }, start).status).toBe("warning");
});

test("a critical check that answers with warnings rises to warning, not to passing", () => {
  const start = startHealth(0, "critical");
  expect(after(["passing", "warning"], { rise: 2, fall: 3 }, start).status).toBe("warning");
});

test("a known status survives a restart: one bad probe does not turn it", () => {
  expect(after(["critical"], { rise: 1, fall: 3 }, startHealth(0, "passing"))).toMatchObject({
    status: "passing",
    sinceMs: 0,
  });
});

test("an instance's status is that of its worst check, and unknown does not count as healthy", () => {
  expect(worstOf([])).toBe("passing");
  expect(worstOf(["passing", "warning"])).toBe("warning");
  expect(worstOf(["warning", "unknown"])).toBe("unknown");
  expect(worstOf(["unknown", "critical", "passing"])).toBe("critical");
});

const results = fc.array(fc.constantFrom<HealthResult>("passing", "warning", "critical"), { maxLength: 60 });
const thresholds = fc.record({ rise: fc.integer({ min: 1, max: 5 }), fall: fc.integer({ min: 1, max: 5 }) });

test("a status changes only after enough results in a row that agree with it", () => {
  fc.assert(
    fc.property(results, thresholds, (sequence, { rise, fall }) => {
      const level = { passing: 0, warning: 1, critical: 2, unknown: -1 };
      let health = startHealth(0);
      for (const [i, result] of sequence.entries()) {
        const before = health;
        health = observe(health, result, i, { rise, fall });
        if (before.status === "unknown" || health.status === before.status) continue;
        const worse = level[health.status] > level[before.status];
        const run = sequence.slice(i + 1 - (worse ? fall : rise), i + 1);
        expect(run).toHaveLength(worse ? fall : rise);
        for (const one of run) {
          if (worse) expect(level[one]).toBeGreaterThanOrEqual(level[health.status]);
          else expect(level[one]).toBeLessThanOrEqual(level[health.status]);
        }
      }
    }),
  );
});

test("enough equal results in a row always decide", () => {
  fc.assert(
    fc.property(results, thresholds, fc.constantFrom<HealthResult>("passing", "warning", "critical"), (s, t, last) => {
      expect(after([...s, ...Array.from({ length: 5 }, () => last)], t).status).toBe(last);
    }),
  );
});
