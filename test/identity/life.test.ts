/** The authority of real processes: through kills and restarts, and of the members of a cluster that start at the same moment. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { call, eventually, restartByKill, startPosthouse, tempFolder, withEtcd } from "#test/kit";
import { leafOf, requestFor, SPIFFE_ORDERS } from "./kit.ts";

interface Api {
  readonly api: string;
  readonly token: string | undefined;
}

const post = ({ api, token }: Api, path: string, body: object) =>
  call(`${api}${path}`, { method: "POST", token, body });
const get = async ({ api, token }: Api, path: string) => (await call(`${api}${path}`, { token })).json;

async function issue(one: Api, folder: string): Promise<string> {
  const { pem } = await requestFor(folder, [`URI:${SPIFFE_ORDERS}`]);
  const issued = await post(one, "/v1/certificates", { csr: pem });
  expect(issued.status).toBe(201);
  return String(issued.json["serial"]);
}

test("the authority, certificates, revocations, nodes and used tokens survive a kill", async () => {
  await using folder = await tempFolder();
  await using first = await startPosthouse({ data: join(folder.path, "data") });
  const before = { api: first.api, token: first.token };
  const [kept, revoked] = [await issue(before, folder.path), await issue(before, folder.path)];
  await call(`${first.api}/v1/certificates/${revoked}`, { method: "DELETE", token: first.token });
  const { json } = await post(before, "/v1/join-tokens", { kind: "agent", name: "web-1" });
  const { pem } = await requestFor(folder.path, []);
  const body = { token: json["token"], csr: pem };
  const joined = await call(`${first.api}/v1/joins`, { method: "POST", body });
  expect(joined.status).toBe(201);
  const bundle = await get(before, "/v1/trust-bundle");

  await using second = await restartByKill(first);
  const after = { api: second.api, token: first.token };
  expect((await get(after, "/v1/trust-bundle"))["pem"]).toBe(bundle["pem"]);
  expect(await get(after, `/v1/certificates/${kept}`)).not.toHaveProperty("revoked");
  expect(await get(after, `/v1/certificates/${revoked}`)).toHaveProperty("revoked");
  expect(await get(after, "/v1/nodes")).toMatchObject({ nodes: [{ kind: "agent", name: "web-1" }] });
  const again = await call(`${second.api}/v1/joins`, { method: "POST", body });
  expect(again.json["code"]).toBe("IDENTITY_JOIN_TOKEN_USED");
  expect(leafOf(String(joined.json["certificate"])).issuer).toContain("intermediate");
  await issue(after, folder.path);
});

test("members of a cluster that start at once have one authority, and a join token is used once among them", async () => {
  await using folder = await tempFolder();
  await using etcd = await withEtcd();
  const file = join(folder.path, "keys");
  await writeFile(file, `k1:${Buffer.alloc(32, 7).toString("base64")}\n`, { mode: 0o600 });
  const args = [
    "--roles",
    "registry,config-server",
    "--dns",
    "off",
    "--store",
    "etcd",
    "--etcd-urls",
    etcd.endpoint,
    "--secret-key-file",
    file,
  ];
  const members = await Promise.all(["a", "b"].map((name) => startPosthouse({ data: join(folder.path, name), args })));
  await using _stop = {
    [Symbol.asyncDispose]: async () => void (await Promise.all(members.map((one) => one[Symbol.asyncDispose]()))),
  };
  const token = members.map((one) => one.token).find(Boolean) ?? "";
  const apis = members.map(({ api }): Api => ({ api, token }));
  const [a, b] = apis as [Api, Api];
  await Promise.all(apis.map((one) => issue(one, folder.path)));
  expect((await get(a, "/v1/trust-bundle"))["fingerprints"]).toEqual(
    (await get(b, "/v1/trust-bundle"))["fingerprints"],
  );

  const { json } = await post(a, "/v1/join-tokens", { kind: "agent" });
  const joins = await Promise.all(
    [a, b, a, b].map(async ({ api }, at) => {
      const { pem } = await requestFor(folder.path, []);
      return call(`${api}/v1/joins`, { method: "POST", body: { token: json["token"], csr: pem, name: `web-${at}` } });
    }),
  );
  expect(joins.map(({ status }) => status).toSorted((x, y) => x - y)).toEqual([201, 401, 401, 401]);
  await eventually("both members list the node", async () => {
    const lists = await Promise.all(apis.map((one) => get(one, "/v1/nodes")));
    return lists.every(({ nodes }) => (nodes as object[]).length === 1);
  });
});
