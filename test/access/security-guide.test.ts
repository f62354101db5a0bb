/** The guides security.md and access.md as their reader uses them: policies, tokens with limits, their rotation, a lost operator token. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ZIP_BYTES_MAX } from "#config-server/api";
import {
  followGuide,
  guideBlocks,
  openShell,
  posthouseOnPath,
  projectRoot,
  startPosthouse,
  tempFolder,
} from "#test/kit";

const blocks = guideBlocks(await readFile(join(projectRoot, "docs/guides/security.md"), "utf8"));
const blockOf = (marker: string) => blocks.find((block) => block.marker === marker)?.text ?? "";

test("tokens have the limits that the guide gives them, and a lost operator token is replaced", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({
    data: data.path,
    args: ["--roles", "registry", "config-server", "--dns", "off"],
  });
  expect(await followGuide("security.md", { posthouse, data: data.path })).toBe(4);
  expect(await followGuide("access.md", { posthouse, data: data.path })).toBeGreaterThanOrEqual(4);
  await posthouse.stop();
  await using shell = openShell({ cwd: data.path, environment: { PATH: await posthouseOnPath(data.path) } });
  const { output, code } = await shell.paste(blockOf("needs a stopped server").replace("./data", data.path));
  expect([code, output.trim()]).toEqual([0, expect.stringMatching(/^ph_\w+$/)]);
  expect(output).not.toContain(posthouse.token);
});

test("the proxy of the guide keeps what the API needs, and hides the open metrics", () => {
  const config = blockOf("nginx");
  expect(config).toContain("proxy_pass http://127.0.0.1:8500;");
  expect(config).toContain("proxy_set_header Host $http_host;");
  expect(config).toContain("proxy_buffering off;");
  expect(config).toMatch(/location = \/metrics \{ return 404; \}/);
  const [, megabytes] = /client_max_body_size (\d+)m;/.exec(config) ?? [];
  expect(Number(megabytes) * 1024 ** 2).toBeGreaterThanOrEqual(ZIP_BYTES_MAX);
});
