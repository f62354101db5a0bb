/** The guide's examples are what is run here: its file, its commands and its program, against a real process. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { projectRoot, startPosthouse, tempFolder } from "#test/kit";

const run = promisify(execFile);

test("feature flags are as the guide says", async () => {
  await using folder = await tempFolder();
  await using posthouse = await startPosthouse({ data: folder.path, args: ["--store", "memory"] });
  const guide = await readFile(join(projectRoot, "docs/guides/flags.md"), "utf8");
  const block = (mark: string, language: string) =>
    new RegExp(`<!-- ${mark} -->\n\`\`\`${language}\n([^]*?)\`\`\``).exec(guide)?.[1] ?? "";
  await writeFile(join(folder.path, "flags.yaml"), block("flags.yaml", "yaml"));
  const env = {
    ...process.env,
    TOKEN: posthouse.token,
    URL: posthouse.api,
    API: posthouse.api.replace("http://", ""),
  };
  const examples = block("run", "sh")
    .split(/^\$ /m)
    .slice(1)
    .map((example) => example.split("\n"));
  expect(examples.length).toBe(5);
  for (const [command = "", ...answer] of examples) {
    const { stdout } = await run("bash", ["-c", command], { env, cwd: folder.path });
    expect(JSON.parse(stdout), command).toMatchObject(JSON.parse(answer.join("\n")) as object);
  }
  // The package is not built here, so its name stands for the file that it is built from.
  const program = block("run", "js").replace(
    "posthouse/openfeature",
    pathToFileURL(join(projectRoot, "client/openfeature.ts")).href,
  );
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", program], { env, cwd: projectRoot });
  const printed = /prints\n\n```json\n(.*)\n```/.exec(guide)?.[1] ?? "";
  expect(JSON.parse(stdout)).toEqual(JSON.parse(printed));
});
