/** Logs in definition files: an agent collects them, and follows changes of its definitions. */
import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readDefinitions } from "../../../agent/definitions.ts";
import { logStatePath } from "../../../agent/service-logs/log-state.ts";
import { eventually, tempFolder } from "#test/kit";
import { startAgent } from "../agent-kit.ts";
import { FakeControlPlane } from "../fake-control-plane.ts";
import { linesOf } from "./kit.ts";
import { readText } from "../../../agent/file-sink.ts";

test("an agent collects what a definition names, from its reload on until it is gone, and registers no log", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  const path = join(folder.path, "orders.log");
  const definition = join(folder.path, "services", "orders.yaml");
  await mkdir(join(folder.path, "services"));
  await writeFile(path, "");
  await writeFile(definition, "services: [{ name: orders, id: orders-1, port: 4001 }]\n");
  await using agent = await startAgent(plane, folder.path);
  const { dataDir } = agent.settings;
  expect(await readText(logStatePath(dataDir))).toBeUndefined();

  await writeFile(definition, `services: [{ name: orders, id: orders-1, port: 4001, logs: [{ file: ${path} }] }]\n`);
  await agent.running.reload();
  const state = () => readText(logStatePath(dataDir));
  await eventually("the source is seen", async () => (await state())?.includes(path));
  await appendFile(path, '{"level":50,"msg":"no stock"}\nplain\n');
  const expected = { error: ['{"level":50,"msg":"no stock"}'], unknown: ["plain"] };
  await eventually("both lines", async () => Object.keys(await linesOf(dataDir)).length === 2);
  expect(await linesOf(dataDir)).toEqual(expected);
  await eventually("it is registered", () => plane.instance("orders-1") !== undefined);
  expect(JSON.stringify([...plane.stored.values()])).not.toContain("orders.log");

  await writeFile(definition, "services: [{ name: orders, id: orders-1, port: 4001 }]\n");
  await agent.running.reload();
  await eventually("the source is gone", async () => (await state())?.includes(path) === false);
  await appendFile(path, "ERROR not collected\n");
  await writeFile(definition, `services: [{ name: orders, id: orders-1, port: 4001, logs: [{ file: ${path} }] }]\n`);
  await agent.running.reload();
  await eventually("the source is seen again", async () => (await state())?.includes(path));
  expect(await linesOf(dataDir)).toEqual(expected);
});

test.for(["relative.log", "/var/*/a.log", "/"])("the path %s is not valid", async (file) => {
  await using folder = await tempFolder();
  await writeFile(join(folder.path, "a.yaml"), `services: [{ name: a, port: 1, logs: [{ file: "${file}" }] }]\n`);
  await expect(readDefinitions(folder.path, { node: "host-a", address: "10.0.0.7" })).rejects.toMatchObject({
    code: "AGENT_DEFINITION_INVALID",
    message: expect.stringContaining("/services/0/logs/0/file"),
  });
});
