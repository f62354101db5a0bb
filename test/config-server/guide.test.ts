/** The guide's examples are what is run here: each command against a real process, each answer as it is printed there. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { call, projectRoot, startPosthouse, tempFolder } from "#test/kit";

const run = promisify(execFile);

test("the life of a change is as the guide says", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path, args: ["--store", "memory"] });
  const { api, token } = posthouse;
  const { json } = await call(`${api}/v1/tokens`, { method: "POST", token, body: { name: "ann", role: "editor" } });
  const guide = await readFile(join(projectRoot, "docs/guides/config.md"), "utf8");
  const examples = [...guide.matchAll(/<!-- run -->\n```sh\n([^]*?)```/g)]
    .flatMap(([, block = ""]) => block.split(/^\$ /m).slice(1))
    .map((example) => example.split("\n"));
  expect(examples.length).toBeGreaterThan(5);
  const environment = {
    ...process.env,
    TOKEN: token,
    ANN: String(json["token"]),
    SET: `${api.replace("http://", "")}/v1/config/default/orders/default`,
  };
  for (const [command = "", ...answer] of examples) {
    const { stdout } = await run("bash", ["-c", command], { env: environment });
    expect(JSON.parse(stdout), command).toMatchObject(JSON.parse(answer.join("\n")) as object);
  }
});
