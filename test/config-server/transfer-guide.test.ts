/** The guide's examples are what is run here: each command against a real process, each answer as it is printed there. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { call, eventually, projectRoot, startPosthouse, tempFolder } from "#test/kit";
import { repository } from "./transfer-kit.ts";

const run = promisify(execFile);

test("config goes in and out as the guide says", async () => {
  await using data = await tempFolder();
  await using work = await tempFolder();
  const repo = await repository(join(data.path, "repository"));
  await repo.commit({ "web/default/routes.yaml": "routes: []\n" }, "first routes");
  const settings = join(data.path, "posthouse.yaml");
  // JSON is YAML. It looks when it is asked, so that the examples say what is new.
  const source = { name: "platform", type: "git", path: repo.path, namespace: "default", intervalSeconds: 86_400 };
  await writeFile(settings, JSON.stringify({ configSources: [{ ...source, branch: "later" }] }));
  const args = ["--store", "memory", "--roles", "registry", "config-server", "--dns", "off", "--settings", settings];
  await using posthouse = await startPosthouse({ data: join(data.path, "data"), args });
  const { api, token } = posthouse;
  await eventually("its first look found no such branch", async () => {
    const { text } = await call(`${api}/v1/config-sources`, { token });
    return text.includes("CONFIG_SOURCE_UNREADABLE");
  });
  await repo.git("branch", "later");
  const guide = await readFile(join(projectRoot, "docs/guides/config-transfer.md"), "utf8");
  const examples = [...guide.matchAll(/<!-- run -->\n```sh\n([^]*?)```/g)]
    .flatMap(([, block = ""]) => block.split(/^\$ /m).slice(1))
    .map((example) => example.split("\n"));
  expect(examples.length).toBeGreaterThan(15);
  const program = `posthouse() { '${process.execPath}' '${join(projectRoot, "cli/main.ts")}' "$@"; }`;
  const environment = {
    PATH: process.env["PATH"],
    API: api,
    POSTHOUSE_TOKEN: token,
    POSTHOUSE_CONTROL_URLS: api,
  };
  for (const [command = "", ...answer] of examples) {
    const { stdout } = await run("bash", ["-c", `${program}\n${command}`], { cwd: work.path, env: environment });
    expect(stdout.trimEnd(), command).toBe(answer.join("\n").trimEnd());
  }
}, 120_000);
