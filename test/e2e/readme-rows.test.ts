/** The README's table of tasks: each command in it, pasted unchanged, does its work. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { call, eventually, projectRoot, startPosthouse, tempFolder } from "#test/kit";

/** Commands of the table, in order: the code of a row that begins with a program. */
function commandsOf(file: string): string[] {
  const rows = readFileSync(join(projectRoot, file), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("| "));
  const code = rows.flatMap((row) => [...row.matchAll(/`((?:posthouse|curl|dig|printf|npm) (?:[^`])+)`/g)]);
  return code.map(([, command = ""]) => command.replaceAll("\\|", "|"));
}

/** Those that do not end by themselves, or need a server that is stopped; each has a test of its own. */
const ENDLESS = /^(npm start|posthouse services --watch|posthouse operator-token|posthouse store repair)/;

test("both READMEs have the same commands, and no token is on a command line", () => {
  const commands = commandsOf("README.md");
  expect(commands.length).toBeGreaterThan(12);
  expect(commandsOf("README.zh-CN.md")).toEqual(commands);
  for (const file of ["README.md", "README.zh-CN.md"]) {
    const text = readFileSync(join(projectRoot, file), "utf8");
    expect(text).not.toMatch(/--token\b|npm run posthouse/);
  }
});

test("each command of the table works unchanged", { timeout: 300_000 }, async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path });
  const { api, gateway, dns, token = "" } = posthouse;
  const put = async (path: string, body: string | object) => {
    const answer = await fetch(`${api}${path}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    expect(answer.status, path).toBeLessThan(300);
  };
  // The state after the story: a service, a config and a route.
  await put("/v1/services/orders/instances/orders-4001", { address: "127.0.0.1", port: 4001, zone: "eu" });
  await put("/v1/config/default/orders/default/keys/app.yaml", "greeting: hello\n");
  const route = "routes: [{ name: orders, match: { path: { prefix: /orders } }, service: orders }]\n";
  await put("/v1/config/default/gateway/default/keys/gateway.yaml", route);
  await eventually("seen", async () => (await call(`${api}/v1/services/orders`, { token })).status === 200);

  const ports: Record<string, string> = {
    "8500": new URL(api).port,
    "8080": new URL(gateway).port,
    "8600": dns.split(":").at(-1) ?? "",
  };
  await using folder = await tempFolder();
  for (const command of commandsOf("README.md")) {
    if (ENDLESS.test(command)) continue;
    const here = command.replaceAll(/\b(8500|8080|8600)\b/g, (port) => ports[port] ?? port);
    const done = spawnSync("bash", ["-c", `set -o pipefail; ${here}`], {
      cwd: folder.path,
      encoding: "utf8",
      env: {
        ...process.env,
        PATH: `${join(projectRoot, "bin")}:${join(projectRoot, "node_modules/.bin")}:${process.env["PATH"]}`,
        POSTHOUSE_TOKEN: token,
        POSTHOUSE_CONTROL_URLS: api,
      },
    });
    expect([command, done.status, done.stderr]).toEqual([command, 0, expect.any(String)]);
    expect(done.stdout, command).not.toContain('"code":');
  }
});
