/** The guide to the embedded store, as its reader uses it: store.md. */
import { expect, test } from "vitest";
import { followGuide } from "#test/kit";

test("a damaged store is listed and repaired as the guide says", { timeout: 120_000 }, async () => {
  expect(await followGuide("store.md")).toBe(2);
});
