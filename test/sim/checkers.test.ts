/** The checkers themselves: each way to break the plane is noticed for what it is, and so is a run that differs from itself. */
import { expect, test, vi } from "vitest";
import { StoreErrors } from "#store";
import { CHECKERS, judge } from "./checkers.ts";
import { MUTATIONS, NO_MUTATION, replaced } from "./mutations.ts";
import { live } from "./world.ts";

vi.mock("node:fs/promises", async (original) => (await import("./disk.ts")).withSimDisk(await original()));
vi.mock("ajv", async (original) => (await import("./compiled-once.ts")).withCompiledOnce(await original()));

/** The checkers do not detect a fault that does not show within this number of bad weeks. */
const SEEDS_MAX = 50;

test.for(MUTATIONS)("it is noticed when $when", { timeout: 300_000 }, async ({ breaks, ...mutation }) => {
  expect(Object.keys(CHECKERS)).toContain(breaks);
  const others = new Set<string>();
  for (let seed = 1; seed <= SEEDS_MAX; seed++) {
    const { history } = await live(seed, { ...NO_MUTATION, ...mutation });
    const violations = judge(history);
    if (violations.some((violation) => violation.startsWith(breaks))) return;
    for (const violation of violations) others.add(violation.slice(0, 100));
  }
  expect.fail(`not noticed in ${SEEDS_MAX} seeds; what was: ${[...others].join(" | ")}`);
});

test("wrapping alone breaks nothing", async () => {
  const { history } = await live(1, {
    engine: (store) => replaced(store, {}),
    member: (store) => replaced(store, {}),
    agentClient: (client) => replaced(client, { registry: replaced(client.registry, {}) }),
    followerClient: (client) => replaced(client, { config: replaced(client.config, {}) }),
    tornFiles: false,
  });
  expect(judge(history)).toEqual([]);
});

test("a run that rests on anything but its seed leaves another trace", async () => {
  // Goes on from one run to the next: the second run has none of the failures.
  let calls = 0;
  const mutation = {
    ...NO_MUTATION,
    member: (store: Parameters<typeof NO_MUTATION.member>[0]) =>
      replaced(store, {
        txn(request) {
          // Not a release, since a world without its first ones never begins.
          const isRelease = JSON.stringify(request).includes("/config/live/");
          if (++calls <= 400 && calls % 20 === 0 && !isRelease)
            throw StoreErrors.UNAVAILABLE("A call of the first run.");
          return store.txn(request);
        },
      }),
  };
  const first = await live(1, mutation);
  const second = await live(1, mutation);
  expect(second.trace.hash()).not.toBe(first.trace.hash());
});
