/** The guide's examples are what is run here: each command against a real process, each answer as it is printed there. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { eventually, projectRoot, startPosthouse, tempFolder } from "#test/kit";

const run = promisify(execFile);

test("registering and discovering answers as the guide says", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path, args: ["--store", "memory"] });
  const guide = await readFile(join(projectRoot, "docs/guides/discovery.md"), "utf8");
  const examples = [...guide.matchAll(/<!-- run -->\n```sh\n([^]*?)```/g)]
    .flatMap(([, block = ""]) => block.split(/^\$ /m).slice(1))
    .map((example) => example.split("\n"));
  expect(examples.length).toBeGreaterThan(10);
  for (const [command = "", ...answer] of examples) {
    const here = command.replaceAll("127.0.0.1:8500", posthouse.api.replace("http://", ""));
    const expected = JSON.parse(answer.join("\n")) as object;
    await eventually(command, async () => {
      const { stdout } = await run("bash", ["-c", here], { env: { ...process.env, TOKEN: posthouse.token } });
      expect(JSON.parse(stdout)).toMatchObject(expected);
      return true;
    });
  }
});
