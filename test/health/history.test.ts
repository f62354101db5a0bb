/** The history of health: transitions and outputs, for a day, and never more than its limits. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { HealthHistory, HISTORY_MS, OUTPUTS_MAX, TRANSITIONS_MAX } from "#health";
import { ManualClock } from "#test/kit";

test("equal words in a row are one with a count, and a change keeps the words that came with it", async () => {
  const clock = new ManualClock();
  const history = new HealthHistory(clock);
  for (let i = 0; i < 3; i++) {
    history.said("web", "up", "passing", "200 OK");
    history.is("web", "up", "passing");
    await clock.advance(1_000);
  }
  history.said("web", "up", "critical", "503");
  history.is("web", "up", "critical");
  const { transitions, outputs } = history.view("web");
  expect(outputs.map(({ output, times }) => [output, times])).toEqual([
    ["503", 1],
    ["200 OK", 3],
  ]);
  expect(transitions).toMatchObject([
    { from: "passing", status: "critical", output: "503" },
    { status: "passing", output: "200 OK" },
  ]);
});

test("after a day the history is empty", async () => {
  const clock = new ManualClock();
  const history = new HealthHistory(clock);
  history.said("web", "up", "critical", "503");
  history.is("web", "up", "critical");
  await clock.advance(HISTORY_MS + 1);
  expect(history.view("web")).toEqual({ transitions: [], outputs: [] });
});

test("an instance that is well from the start costs nothing until something happens", () => {
  const history = new HealthHistory(new ManualClock());
  history.is("web", "up", "unknown");
  history.is("web", "up", "passing");
  expect(history.bytes).toBe(0);
  history.is("web", "up", "critical");
  expect(history.bytes).toBeGreaterThan(0);
});

test("for any reports, the limits hold, and the instance that was quiet for longest is forgotten first", () => {
  const status = fc.constantFrom("passing" as const, "critical" as const);
  const word = fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 2 }), status, fc.string());
  fc.assert(
    fc.property(fc.array(word, { maxLength: 400 }), (words) => {
      const history = new HealthHistory(new ManualClock(), { bytesMax: 8_000 });
      for (const [instance, check, status, text] of words) {
        history.said(`i-${instance}`, `c-${check}`, status, text.repeat(50));
        history.is(`i-${instance}`, `c-${check}`, status);
        const { transitions, outputs } = history.view(`i-${instance}`);
        expect(transitions.length).toBeLessThanOrEqual(TRANSITIONS_MAX);
        expect(outputs.length).toBeLessThanOrEqual(3 * OUTPUTS_MAX);
        expect(outputs.length).toBeGreaterThan(0);
      }
      for (let i = 0; i <= 20; i++) history.forget(`i-${i}`);
      expect(history.bytes).toBe(0);
    }),
  );
});
