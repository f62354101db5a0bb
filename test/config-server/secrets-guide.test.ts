/** The guide's examples are what is run here: each command against a real process, each answer as it is printed there. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { call, eventually, projectRoot, startPosthouse, tempFolder } from "#test/kit";

const run = promisify(execFile);

test("secrets are as the guide says", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path });
  const { api, token } = posthouse;
  const { json } = await call(`${api}/v1/tokens`, { method: "POST", token, body: { name: "web", role: "agent" } });
  const guide = await readFile(join(projectRoot, "docs/guides/secrets.md"), "utf8");
  const examples = [...guide.matchAll(/<!-- run -->\n```sh\n([^]*?)```/g)]
    .flatMap(([, block = ""]) => block.split(/^\$ /m).slice(1))
    .map((example) => example.split("\n"));
  expect(examples).toHaveLength(10);
  const at = api.replace("http://", "");
  const environment = {
    ...process.env,
    TOKEN: token,
    AGENT: String(json["token"]),
    SET: `${at}/v1/config/default/orders/default`,
    KEYS: join(data.path, "secret-keys"),
  };
  const posthouseFunction = `posthouse() { "${process.execPath}" "${join(projectRoot, "cli/main.ts")}" "$@"; }`;
  for (const [command = "", ...answer] of examples) {
    const script = `${posthouseFunction}; ${command.replaceAll("127.0.0.1:8500", at)}`;
    const ask = async () => {
      const { stdout } = await run("bash", ["-c", script], { env: environment });
      expect(JSON.parse(stdout), command).toMatchObject(JSON.parse(answer.join("\n")) as object);
      return true;
    };
    // What was released is told a moment later.
    await (command.includes(" -sX") ? ask() : eventually(command, ask));
  }
});
