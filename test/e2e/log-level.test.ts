/** Log levels by config: what is refused, what each level lets through, and that every process takes them over while it runs. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { Client, fetchTransport } from "#client";
import { logReleaseCheck, parseLogLevels } from "../../server/log-level.ts";
import { eventually, restartByKill, restartBySigterm, startPosthouse, tempFolder, testHost } from "#test/kit";

const SET = { namespace: "default", app: "posthouse", profile: "default" };
const WEB = { namespace: "default", app: "web", profile: "default" };

test.each([
  ["level: loud", "/level", 1, "a level must be one of debug, info, warn, error"],
  [
    "level: info\ncomponents:\n  gatway: debug",
    "/components/gatway",
    3,
    'unknown field "gatway"; use one of registry, config-server',
  ],
  ["components: { agent: 7 }", "/components/agent", 1, "a level must be one of debug"],
  ["leval: debug", "/leval", 1, 'unknown field "leval"; use one of level, components'],
  ["- debug", "", 1, "must be object"],
  ["level: [", "", 1, "Flow sequence"],
  ["a: &a debug\nlevel: *a", "", undefined, "Alias"],
])("%j is refused with its place", (value, pointer, line, message) => {
  const [problem, ...others] = logReleaseCheck(SET, { "log.yaml": { format: "yaml", value } });
  expect(problem).toMatchObject({ key: "log.yaml", pointer, message: expect.stringContaining(message) });
  expect(problem?.line).toBe(line);
  expect(others).toEqual([]);
  expect(logReleaseCheck(WEB, { "log.yaml": { format: "yaml", value } })).toEqual([]);
});

test("levels for all and for some are taken", () => {
  expect(parseLogLevels("level: warn\ncomponents: { agent: debug }")).toEqual({
    levels: { level: "warn", components: { agent: "debug" } },
  });
});

test("server and agent take over a level while they run, and go back to their setting when the key goes", async () => {
  await using folder = await tempFolder();
  const roles = ["--roles", "registry", "config-server", "--dns", "off"];
  await using first = await startPosthouse({ data: join(folder.path, "server"), args: roles });
  let server = first;
  const token = server.token ?? "";
  const agentArgs = ["--roles", "agent", "--dns", "off", "--control-urls", server.api, "--token", token];
  await using agent = await startPosthouse({ data: join(folder.path, "agent"), args: agentArgs });
  await using transport = fetchTransport({ urls: [server.api] });
  const { config } = new Client(testHost(), { transport, token });
  const levels = (value: string) => config.publish(SET, { items: { "log.yaml": { format: "yaml", value } } });
  let n = 0;
  const releases = () => (server.errors().match(/"role":"config-server".*config released/g) ?? []).length;
  const publish = async () => {
    await config.publish(WEB, { items: { a: { format: "text", value: String(++n) } } });
    return releases();
  };
  // Several, so that the line of the first has come by the time the last is done.
  const isQuiet = async () => {
    const seen = releases();
    for (let i = 0; i < 3; i++) await publish();
    return releases() === seen;
  };
  await expect(levels("level: loud")).rejects.toMatchObject({ code: "CONFIG_VALUE_INVALID" });
  expect(await publish()).toBe(0);
  await levels("level: debug");
  await eventually("both say so", () => [server, agent].every((one) => one.errors().includes("log levels changed")));
  const before = await publish();
  expect(before).toBeGreaterThan(0);

  // A level outlives its process, and each takes it over at its start.
  await using stopped = await restartBySigterm(server);
  await using killed = await restartByKill(agent);
  await eventually("both say so again", () =>
    [stopped, killed].every((one) => one.errors().includes("log levels changed")),
  );
  server = stopped;

  await levels("components: { agent: debug }");
  await eventually("the config server is quiet again", isQuiet);
  await levels("components: { config-server: info }");
  await eventually("one component speaks", async () => {
    const seen = releases();
    return (await publish()) > seen;
  });
  await config.publish(SET, { items: {} });
  await eventually("all is as the settings say", isQuiet);
});
