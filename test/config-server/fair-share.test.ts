/** Shares of the checking threads: no author keeps another waiting for more than one check of its own. */
import { setImmediate as nextTurn } from "node:timers/promises";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ManualClock, testHost } from "#test/kit";
import { checkSchemas } from "../../config-server/releases/check-thread.ts";
import { FairShare } from "../../config-server/core/fair-share.ts";

/** Order in which work begins when the oldest that runs ends first. */
async function orderOf(authors: readonly string[], placesMax: number): Promise<string[]> {
  const share = new FairShare(placesMax);
  const running: string[] = [];
  const begun: string[] = [];
  const works: Promise<void>[] = [];
  for (const author of authors) {
    const begin = () => {
      running.push(author);
      begun.push(author);
      expect(running.length).toBeLessThanOrEqual(placesMax);
      expect(new Set(running).size).toBe(running.length);
    };
    works.push(share.enter(author).then(begin));
  }
  await nextTurn();
  while (running.length > 0) {
    share.leave(running.shift() ?? "");
    await nextTurn();
  }
  await Promise.all(works);
  return begun;
}

test("an author takes one place at a time, and authors take turns", async () => {
  expect(await orderOf(["a", "a", "a", "b"], 2)).toEqual(["a", "b", "a", "a"]);
  expect(await orderOf(["a", "a", "a", "b", "b", "b", "c"], 2)).toEqual(["a", "b", "c", "a", "b", "a", "b"]);
  expect(await orderOf(["a", "a", "b", "c"], 1)).toEqual(["a", "b", "c", "a"]);
});

test("all work begins, and before an author's first every other author has at most one turn", async () => {
  const authors = fc.array(fc.constantFrom("a", "b", "c", "d"));
  await fc.assert(
    fc.asyncProperty(authors, authors, fc.integer({ min: 1, max: 3 }), async (before, after, placesMax) => {
      const begun = await orderOf([...before, "alice", ...after], placesMax);
      expect([...begun].sort()).toEqual([...before, "alice", ...after].sort());
      const earlier = begun.slice(0, begun.indexOf("alice"));
      expect(new Set(earlier).size).toBe(earlier.length);
    }),
  );
});

test("a release is checked while another author's checks never end", async () => {
  const clock = new ManualClock();
  const host = testHost({ clock });
  // Lists are compared item by item: their number squared.
  const lists = Array.from({ length: 250_000 }, (_, index) => `[${index}]`);
  const schema = '{"properties":{"a":{"uniqueItems":true}}}';
  const slow = { key: "a", item: { format: "toml", value: `a = [${lists.join(",")}]` }, schema, where: "" } as const;
  const ended: string[] = [];
  const refused = Array.from({ length: 3 }, async () => {
    await expect(checkSchemas(host, [slow], "mallory")).rejects.toMatchObject({ code: "CONFIG_CHECK_TIMEOUT" });
    ended.push("mallory");
  });
  const quick = { ...slow, item: { format: "toml", value: "a = [[1], [1]]" } } as const;
  expect(await checkSchemas(host, [quick], "alice")).toMatchObject([{ key: "a", pointer: "/a" }]);
  expect(ended).toEqual([]);
  while (ended.length < refused.length) {
    await clock.advance(5_000);
    await nextTurn();
  }
  await Promise.all(refused);
});
