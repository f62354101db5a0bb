/** The guide to config transfer as its reader uses it, with its settings file, against a real process. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { call, eventually, followGuide, projectRoot, startPosthouse, tempFolder } from "#test/kit";
import { repository } from "./transfer-kit.ts";

test("config goes in and out as the guide says", async () => {
  await using data = await tempFolder();
  const repo = await repository(join(data.path, "repository"));
  await repo.commit({ "deploy/config/web/default/routes.yaml": "routes: []\n" }, "first routes");
  const settings = join(data.path, "posthouse.yaml");
  const guide = await readFile(join(projectRoot, "docs/guides/config-transfer.md"), "utf8");
  const shown = /```yaml\n(configSources:[^]*?)```/.exec(guide)?.[1] ?? "";
  // A branch that is not there yet, and a long interval: the source looks again only when a command of the guide asks.
  const here = shown
    .replace("/srv/config.git", repo.path)
    .replace("branch: main", "branch: later")
    .replace("intervalSeconds: 30", "intervalSeconds: 86400");
  await writeFile(settings, here);
  const args = ["--store", "memory", "--roles", "registry", "config-server", "--dns", "off", "--settings", settings];
  await using posthouse = await startPosthouse({ data: join(data.path, "data"), args });
  const { api, token } = posthouse;
  await eventually("its first look found no such branch", async () => {
    const { text } = await call(`${api}/v1/config-sources`, { token });
    return text.includes("CONFIG_SOURCE_UNREADABLE");
  });
  await repo.git("branch", "later");
  expect(await followGuide("config-transfer.md", { posthouse, data: join(data.path, "data") })).toBe(5);
}, 300_000);
