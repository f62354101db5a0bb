/** The guide to certificates as its reader uses it, against a real process. */
import { expect, test } from "vitest";
import { followGuide, startPosthouse, tempFolder } from "#test/kit";

test("certificates are as the guide says", { timeout: 300_000 }, async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path });
  expect(await followGuide("tls.md", { posthouse, data: data.path })).toBeGreaterThan(7);
});
