/** The Unix socket of the agent: its place, mode and group by setting, and never a moment in which others can open it. */
import { chmod, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { AGENT_DEFAULTS } from "#agent";
import { tempFolder } from "#test/kit";
import { systemId } from "../../agent/system-ids.ts";
import { callHttp, startAgent } from "./agent-kit.ts";
import { FakeControlPlane } from "./fake-control-plane.ts";

test("the socket has the place, mode and group of the settings, and leaves nothing behind", async () => {
  await using folder = await tempFolder();
  const run = join(folder.path, "run");
  await mkdir(run);
  await chmod(run, 0o755);
  const path = join(run, "agent.sock");
  const group = String(process.getgid?.() ?? 0);
  {
    const socket = { ...AGENT_DEFAULTS.socket, path, mode: 0o660, group };
    await using agent = await startAgent(new FakeControlPlane(), folder.path, { socket });
    expect(agent.socket).toBe(path);
    const { mode, gid } = await stat(path);
    expect({ mode: mode & 0o777, gid }).toEqual({ mode: 0o660, gid: Number(group) });
    expect((await callHttp(path, "GET", "/v1/agent/status")).status).toBe(200);
    expect(await readdir(run)).toEqual(["agent.sock"]);
  }
  expect(await readdir(run)).toEqual([]);
});

test("by default only the agent's user can open it, and what a killed start left is removed", async () => {
  await using folder = await tempFolder();
  const left = join(folder.path, "data", "agent.sock.new");
  await mkdir(left, { recursive: true });
  await writeFile(join(left, "s"), "");
  await using agent = await startAgent(new FakeControlPlane(), folder.path);
  expect((await stat(agent.socket)).mode & 0o777).toBe(0o600);
  expect(await readdir(join(folder.path, "data"))).not.toContain("agent.sock.new");
});

test("an unknown group ends the start with its name", async () => {
  await using folder = await tempFolder();
  const socket = { ...AGENT_DEFAULTS.socket, group: "no-such-group" };
  await expect(startAgent(new FakeControlPlane(), folder.path, { socket })).rejects.toMatchObject({
    code: "AGENT_OWNER_UNKNOWN",
    extra: { field: "group" },
  });
});

test("names of users and groups come from the system's files, numbers are themselves", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "group");
  await writeFile(path, "root:x:0:\nshop:x:1234:alice\n");
  expect(await systemId("group", "shop", path)).toBe(1234);
  expect(await systemId("group", "77", path)).toBe(77);
  await expect(systemId("group", "sho", path)).rejects.toMatchObject({ code: "AGENT_OWNER_UNKNOWN" });
});
