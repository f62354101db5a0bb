/** The data folder of a server: keys, tokens and configs are in it, so only its owner may read it. */
import { chmod, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createServer } from "#server";
import { loadSettings } from "#settings";
import { testHost } from "../kit/host.ts";
import { tempFolder } from "../kit/temp.ts";

async function modeAfterStart(data: string): Promise<number> {
  const flags = { data, store: "memory", roles: "registry,config-server", port: "0", dns: "off" };
  const { values } = loadSettings({ environment: {}, flags });
  await using _ = await createServer(testHost(), values);
  return (await stat(data)).mode & 0o777;
}

test("a data folder that is missing is made for its owner alone", async () => {
  await using folder = await tempFolder();
  const data = join(folder.path, "deep", "data");
  expect(await modeAfterStart(data)).toBe(0o700);
});

test.each([0o755, 0o750, 0o701, 0o777])("a data folder of mode %o is closed to others at the start", async (mode) => {
  await using folder = await tempFolder();
  const data = join(folder.path, "data");
  await mkdir(data);
  await chmod(data, mode);
  expect(await modeAfterStart(data)).toBe(0o700);
});
