/** The guide migration.md as its reader uses it: two exports, a registration, a split and the way back, against a real process. */
import { expect, test } from "vitest";
import { followGuide, startPosthouse, tempFolder } from "#test/kit";

test("config and routes move as the guide says", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({
    data: data.path,
    args: ["--roles", "registry", "config-server", "gateway", "--dns", "off"],
  });
  expect(await followGuide("migration.md", { posthouse, data: data.path })).toBe(8);
});
