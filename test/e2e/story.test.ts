/** The README's story, pasted line by line into a shell as a newcomer would, on real processes. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  call,
  eventually,
  freePort,
  openShell,
  type Posthouse,
  projectRoot,
  restartByKill,
  restartBySigterm,
  startPosthouse,
  tempFolder,
} from "#test/kit";

/** The story's blocks, in order. */
async function blocks(file: string): Promise<string[]> {
  const text = await readFile(join(projectRoot, file), "utf8");
  return [...text.matchAll(/<!-- story -->\n```sh\n([\s\S]*?)```/g)].map((match) => match[1] as string);
}

test("both READMEs tell the same story", async () => {
  expect(await blocks("README.zh-CN.md")).toEqual(await blocks("README.md"));
});

test("the README's story comes true, line by line", { timeout: 300_000 }, async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path });
  const ports: Record<string, string> = {
    "8500": new URL(posthouse.api).port,
    "8501": new URL(posthouse.agent).port,
    "8080": new URL(posthouse.gateway).port,
    "4000": String(await freePort()),
    "4001": String(await freePort()),
    "4002": String(await freePort()),
  };
  // Only what must differ from machine to machine is replaced: ports, the data folder and the token.
  const here = (line: string) =>
    line
      .replaceAll(/\b(8500|8501|8080|400[012])\b/g, (port) => ports[port] ?? port)
      .replaceAll("./data/", `${data.path}/`)
      .replace("TOKEN=ph_…", `TOKEN=${posthouse.token}`);

  await using shell = openShell();
  const paste = async (block: string) => (await shell.paste(here(block))).output.trim();
  const answers: string[] = [];
  const told = await blocks("README.md");
  for (const block of told) answers.push(await paste(block));
  const [, , config = "", routed = "", killed = ""] = answers;
  /** What a block shows after its pause, which is too short where the machine is busy: then it is asked again. */
  const shows = async (block: number, wanted: RegExp) => {
    const [, question] = /\n(?:.*; )?sleep \d+; (.*)\n$/.exec(told[block] ?? "") as unknown as [string, string];
    let shown = answers[block] ?? "";
    await eventually(
      `${question} shows ${wanted}`,
      async () => {
        if (wanted.test(shown)) return true;
        shown = await paste(question);
        return wanted.test(shown);
      },
      60_000,
    );
  };

  await shows(1, /"service":"orders","instances":2,"passing":2/);
  expect(config).toMatch(/"version":1/);
  await shows(2, /greeting: hello$/);
  expect(routed).toContain("GATEWAY_TOKEN_MISSING");
  expect(routed).toMatch(/"service":"orders","pid":\d+,"path":"\/orders\/1"/);
  expect(killed).toMatch(/^(200 ){8}/m);
  await shows(4, /"instances":2,"passing":1,"warning":0,"critical":1/);

  // Everything is found again: what the agent registered and keeps, what was released, what routes there are.
  const jwt = await paste('echo "$JWT"');
  const file = join(data.path, "agent/files/orders.yaml");
  const findsAll = async (running: Posthouse) => {
    const { token } = posthouse;
    await eventually("services are known", async () => {
      const { text } = await call(`${running.api}/v1/services`, { token });
      return text.includes('"instances":2,"passing":1,"warning":0,"critical":1');
    });
    const headers = { authorization: `Bearer ${jwt}` };
    await eventually(
      "the route works",
      async () => (await call(`${running.gateway}/orders/1`, { headers })).status === 200,
    );
    expect((await call(`${running.gateway}/orders/1`)).status).toBe(401);
    expect(await readFile(file, "utf8")).toMatch(/greeting: hello$/);
    // It follows the config still: a release reaches the file.
    const greeting = `greeting: hello from ${running.child.pid}`;
    const items = { "app.yaml": { format: "yaml", value: greeting } };
    const released = await call(`${running.api}/v1/config/default/orders/default/releases`, {
      method: "POST",
      token,
      body: { items },
    });
    expect(released.status).toBe(201);
    await eventually("the release is in the file", async () => (await readFile(file, "utf8")) === greeting);
    // Back to what the story wrote, for the next restart.
    const back = { "app.yaml": { format: "yaml", value: "greeting: hello" } };
    await call(`${running.api}/v1/config/default/orders/default/releases`, {
      method: "POST",
      token,
      body: { items: back },
    });
    await eventually("and the one after it", async () => (await readFile(file, "utf8")) === "greeting: hello");
    expect(running.child.exitCode).toBeNull();
  };
  await using stopped = await restartBySigterm(posthouse);
  await findsAll(stopped);
  await using found = await restartByKill(stopped);
  await findsAll(found);
  expect(await found.stop()).toEqual({ code: 0, signal: null });
});
