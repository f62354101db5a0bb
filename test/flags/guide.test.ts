/** The guide's examples are what is run here: its file, its commands and its program, against a real process. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { followGuide, projectRoot, startPosthouse, tempFolder } from "#test/kit";

const run = promisify(execFile);

test("feature flags are as the guide says", { timeout: 300_000 }, async () => {
  await using folder = await tempFolder();
  await using posthouse = await startPosthouse({ data: folder.path, args: ["--store", "memory"] });
  const guide = await readFile(join(projectRoot, "docs/guides/flags.md"), "utf8");
  expect(await followGuide("flags.md", { posthouse, data: folder.path })).toBe(6);
  const program = /<!-- run -->\n```js\n([^]*?)```/.exec(guide)?.[1] ?? "";
  const env = { ...process.env, TOKEN: posthouse.token, URL: posthouse.api };
  // The package is not built here, so its name stands for the file that it is built from.
  const here = program.replace("posthouse/openfeature", pathToFileURL(join(projectRoot, "client/openfeature.ts")).href);
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", here], { env, cwd: projectRoot });
  const printed = /prints\n\n```json\n(.*)\n```/.exec(guide)?.[1] ?? "";
  expect(JSON.parse(stdout)).toEqual(JSON.parse(printed));
});
