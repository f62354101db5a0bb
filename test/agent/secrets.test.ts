/** Secrets on a host: an agent writes them into files and keeps them to itself, and writes no mask where it may read none. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createAgent } from "#agent";
import { Client, injectTransport } from "#client";
import { eventually, tempFolder, type TestControl, testHost, withControl } from "#test/kit";
import { environmentOf } from "../../cli/environment.ts";
import { heldKeys, key, SET, tokensOf } from "../config-server/secrets-kit.ts";
import { callHttp, settingsIn } from "./agent-kit.ts";

const MASK = "••••••";
const secret = (value: string) => ({ format: "text" as const, value, secret: true });

async function agentWith(control: TestControl, folder: string, authorization: string) {
  const token = authorization.replace("Bearer ", "");
  const client = new Client(testHost(), { transport: injectTransport(control.app), token });
  const agent = await createAgent(testHost(), { client, settings: await settingsIn(folder) });
  const { socket = "" } = await agent.listen();
  await agent.ready(AbortSignal.timeout(5_000)).catch(() => {});
  await callHttp(socket, "PUT", "/v1/agent/files/password", { app: SET.app, profile: SET.profile, key: "password" });
  return { agent, socket };
}

test("an agent writes a secret into a file as it changes, and its snapshot is for its owner's eyes", async () => {
  await using folder = await tempFolder();
  await using control = await withControl({ secretKeys: heldKeys(key("k1", 1)) });
  const tokens = await tokensOf(control);
  await control.client.config.publish(SET, { items: { password: secret("first") } });
  const { agent } = await agentWith(control, folder.path, tokens.agent.authorization);
  await using _ = agent;
  const { filesDir, dataDir } = await settingsIn(folder.path);
  const written = (value: string) =>
    eventually(value, async () => (await readFile(join(filesDir, "password"), "utf8")) === value);
  await written("first");
  await control.client.config.publish(SET, { items: { password: secret("second") } });
  await written("second");
  const snapshot = join(dataDir, "agent.json");
  await eventually("it is kept", async () => (await readFile(snapshot, "utf8")).includes("second"));
  expect(((await stat(snapshot)).mode & 0o777).toString(8)).toBe("600");
  expect(((await stat(join(filesDir, "password"))).mode & 0o007).toString(8)).toBe("0");
});

test("an agent whose token may read no secrets says so, and writes no mask", async () => {
  await using folder = await tempFolder();
  await using control = await withControl({ secretKeys: heldKeys(key("k1", 1)) });
  const tokens = await tokensOf(control);
  await control.client.config.publish(SET, { items: { password: secret("first") } });
  const { agent, socket } = await agentWith(control, folder.path, tokens.operator.authorization);
  await using _ = agent;
  const failed = await eventually("it says so", async () => {
    const { body } = await callHttp<{ files: { state: string; error?: string }[] }>(socket, "GET", "/v1/agent/files");
    return body.files.find(({ state }) => state === "failed")?.error;
  });
  expect(failed).toContain("policy agent");
  const { filesDir } = await settingsIn(folder.path);
  await expect(readFile(join(filesDir, "password"))).rejects.toMatchObject({ code: "ENOENT" });
});

test.each([
  ["all of a set", []],
  ["a variable by hand", [{ name: "PASSWORD", key: "password", path: [] }]],
])("a mask becomes no variable of a command: %s", (_what, variables) => {
  const origin = { profile: "default", version: 1 };
  const item = { format: "text" as const, value: MASK, secret: true as const, origin };
  const made = environmentOf([{ app: "web", profile: "default", items: { password: item } }], {
    prefix: "",
    variables,
  });
  expect(made).toEqual({ problem: expect.stringContaining("use a token with the policy agent") as string });
});

test("a command gets the problem with a secret without the secret itself", () => {
  const origin = { profile: "default", version: 1 };
  const item = { format: "json" as const, value: "hunter2", secret: true as const, origin };
  const made = environmentOf([{ app: "web", profile: "default", items: { a: item } }], { prefix: "", variables: [] });
  expect(made).toEqual({ problem: "web/default a is not valid json" });
});

test("an agent answers a config with secrets as not to be stored", async () => {
  await using folder = await tempFolder();
  await using control = await withControl({ secretKeys: heldKeys(key("k1", 1)) });
  const tokens = await tokensOf(control);
  await control.client.config.publish(SET, { items: { password: secret("first") } });
  const { agent, socket } = await agentWith(control, folder.path, tokens.agent.authorization);
  await using _ = agent;
  const path = `/v1/agent/config/${SET.namespace}/${SET.app}/${SET.profile}`;
  const { status, headers, body } = await callHttp(socket, "GET", path);
  expect([status, headers["cache-control"]]).toEqual([200, "no-store"]);
  expect(JSON.stringify(body)).toContain("first");
});
