/** The guide to the console as its reader uses it, against a real process. */
import { expect, test } from "vitest";
import { followGuide, startPosthouse, tempFolder } from "#test/kit";

test("sign-ins are as the guide says", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path, args: ["--roles", "registry,config-server"] });
  expect(await followGuide("console.md", { posthouse, data: data.path })).toBe(6);
});
