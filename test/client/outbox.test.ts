/** The outbox of acknowledgements: what is sent, when again, and how a server's answer counts. */
import { expect, test } from "vitest";
import { ManualClock, testHost } from "#test/kit";
import { AcknowledgementOutbox } from "../../client/follow/outbox.ts";

const MINUTE_MS = 60_000;
const set = (app: string) => ({ namespace: "default", app, profile: "default" });
const applied = (releaseKey: string) => ({ releaseKey, outcome: "applied" as const });

test("news of one set does not put off the repetition of another", async () => {
  const host = testHost({ clock: new ManualClock() });
  const sent: string[] = [];
  await using outbox = new AcknowledgementOutbox(host, {
    send: async ({ app }, _subscriber, { releaseKey }) => void sent.push(`${app} ${releaseKey}`),
    repeatMs: 20 * MINUTE_MS,
    onRejected: () => {},
  });
  outbox.put(set("quiet"), "s", applied("1"));
  for (let minute = 0; minute < 60; minute += 15) {
    outbox.put(set("busy"), "s", applied(String(minute)));
    // Due acknowledgements go out before the time moves on.
    await host.clock.advance(0);
    await host.clock.advance(15 * MINUTE_MS);
  }
  expect(sent.filter((one) => one === "quiet 1")).toHaveLength(4);
  expect(sent.filter((one) => one.startsWith("busy"))).toHaveLength(4);
});

test("an unanswered acknowledgement is sent again, and the others wait behind it", async () => {
  const host = testHost({ clock: new ManualClock() });
  const sent: string[] = [];
  const rejected: string[] = [];
  let isAway = true;
  await using outbox = new AcknowledgementOutbox(host, {
    send: async ({ app }) => {
      sent.push(app);
      if (isAway) throw new Error("away");
    },
    onRejected: (_error, { app }) => void rejected.push(app),
  });
  outbox.put(set("a"), "s", applied("1"));
  outbox.put(set("b"), "s", applied("1"));
  await host.clock.advance(0);
  await host.clock.advance(MINUTE_MS);
  expect(new Set(sent)).toEqual(new Set(["a"]));
  expect(sent.length).toBeGreaterThan(2);
  isAway = false;
  sent.length = 0;
  await host.clock.advance(MINUTE_MS);
  expect(sent).toEqual(["a", "b"]);
  outbox.put(set("b"), "s", applied("1"));
  await host.clock.advance(MINUTE_MS);
  expect([sent, rejected]).toEqual([["a", "b"], []]);
  expect(host.clock.pendingTimers).toBe(0);
});
