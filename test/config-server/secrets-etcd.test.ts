/**
 * Secrets in a cluster: a secret encrypted by one member is readable on the other, and without shared keys there are
 * none.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { call, eventually, startPosthouse, tempFolder, withEtcd } from "#test/kit";
import { CANARY, key, PATH, secret, valuesOf } from "./secrets-kit.ts";

test("members of a cluster tell each other's secrets and change keys together; without keys secrets are refused", async () => {
  await using folder = await tempFolder();
  await using etcd = await withEtcd();
  const file = join(folder.path, "keys");
  await writeFile(file, key("k1", 1), { mode: 0o600 });
  const args = ["--roles", "registry,config-server", "--dns", "off", "--store", "etcd", "--etcd-urls", etcd.endpoint];
  const start = (name: string, more: readonly string[]) =>
    startPosthouse({ data: join(folder.path, name), args: [...args, ...more] });
  await using without = await start("without", []);
  const { token } = without;
  const items = Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`key-${i}`, secret(`${CANARY} ${i}`)]));
  const release = (api: string) => call(`${api}${PATH}/releases`, { method: "POST", token, body: { items } });
  expect((await release(without.api)).json["code"]).toBe("CONFIG_SECRETS_UNCONFIGURED");

  await using first = await start("first", ["--secret-key-file", file]);
  await using second = await start("second", ["--secret-key-file", file]);
  expect((await release(first.api)).status).toBe(201);
  const made = await call(`${first.api}/v1/tokens`, {
    method: "POST",
    token,
    body: { name: "a", policies: ["agent"], apps: ["*"] },
  });
  const agent = String(made.json["token"]);
  const told = async (api: string) => {
    const answer = await call(`${api}${PATH}`, { token: agent });
    return answer.status === 200 ? valuesOf(answer.json)["key-249"] : answer.json["code"];
  };
  await eventually("the other member serves it", async () => (await told(second.api)) === `${CANARY} 249`);
  await eventually(
    "the one without keys says so",
    async () => (await told(without.api)) === "CONFIG_SECRET_UNREADABLE",
  );

  await writeFile(file, `${key("k2", 2)}\n${key("k1", 1)}`, { mode: 0o600 });
  const both = [first, second].map(({ api }) => call(`${api}/v1/config-secrets/rewrap`, { method: "POST", token }));
  const counts = (await Promise.all(both)).map(({ json }) => Number(json["rewrapped"]));
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(250);
  const { json } = await call(`${second.api}/v1/config-secrets`, { token });
  expect(json["keys"]).toEqual([
    { id: "k2", values: 250, here: true },
    { id: "k1", values: 0, here: true },
  ]);
});
