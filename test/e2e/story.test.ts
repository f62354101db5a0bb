/**
 * The README's story, pasted block by block into a shell as a newcomer would, on real processes; and what comes after it:
 * stop, start, kill -9, start, and the story once more on the same data folder.
 */
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
async function storyBlocks(file: string): Promise<string[]> {
  const text = await readFile(join(projectRoot, file), "utf8");
  return [...text.matchAll(/<!-- story -->\n```sh\n([\s\S]*?)```/g)].map((match) => match[1] as string);
}

/**
 * Pastes the story of a README into a new shell and checks what it prints. Resolves with the token that it got from its
 * identity provider, which runs until the shell is disposed of.
 */
async function tellStory(
  file: string,
  posthouse: Posthouse,
  { data, token, demoPorts }: { data: string; token: string; demoPorts: Readonly<Record<string, string>> },
) {
  const ports: Readonly<Record<string, string>> = {
    "8500": new URL(posthouse.api).port,
    "8501": new URL(posthouse.agent).port,
    "8080": new URL(posthouse.gateway).port,
    ...demoPorts,
  };
  // Only what must differ from machine to machine is replaced: ports, the data folder and the token.
  const here = (line: string) =>
    line
      .replaceAll(/\b(8500|8501|8080|400[012])\b/g, (port) => ports[port] ?? port)
      .replaceAll("./data/", `${data}/`)
      .replace("TOKEN=ph_…", `TOKEN=${token}`);
  await using stack = new AsyncDisposableStack();
  const shell = stack.use(openShell({ environment: { POSTHOUSE_CONTROL_URLS: posthouse.api } }));
  const paste = async (block: string) => (await shell.paste(here(block))).output.trim();
  const blocks = await storyBlocks(file);
  const answers: string[] = [];
  for (const block of blocks) answers.push(await paste(block));
  const [, , config = "", routed = "", killed = ""] = answers;
  /** The output of a block after its pause. On a busy machine the pause is too short: then the question is repeated. */
  const shows = async (block: number, wanted: RegExp) => {
    const [, question] = /\n(?:.*; )?sleep \d+; (.*)\n$/.exec(blocks[block] ?? "") as unknown as [string, string];
    let shown = answers[block] ?? "";
    await eventually(`${question} shows ${wanted}`, async () => {
      if (wanted.test(shown)) return true;
      shown = await paste(question);
      return wanted.test(shown);
    });
  };
  // The last block killed one of the two, so by now it is critical.
  expect(answers[1], shell.errors()).not.toContain('"code"');
  expect(config).toMatch(/"version":\d/);
  await shows(2, /greeting: hello$/);
  expect(routed).toContain("GATEWAY_TOKEN_MISSING");
  expect(routed, routed).toMatch(/"service":"orders","pid":\d+,"path":"\/orders\/1"/);
  expect(killed).toMatch(/^(200 ){8}/m);
  await shows(4, /^orders\t2\t1\t0\t1\t/m);
  const jwt = await paste('echo "$JWT"');
  const owned = stack.move();
  return { jwt, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Expects the story's results: services with their health, the route, the file, and that the file is still followed. */
async function findsStory({ api, gateway }: Posthouse, given: { data: string; token: string; jwt: string }) {
  const { token, jwt } = given;
  const greetingFile = () => readFile(join(given.data, "agent/files/orders.yaml"), "utf8");
  await eventually("services are known", async () => {
    const { text } = await call(`${api}/v1/services`, { token });
    return text.includes('"instances":2,"passing":1,"warning":0,"critical":1');
  });
  const headers = { authorization: `Bearer ${jwt}` };
  await eventually("the route works", async () => (await call(`${gateway}/orders/1`, { headers })).status === 200);
  expect((await call(`${gateway}/orders/1`)).status).toBe(401);
  expect(await greetingFile()).toMatch(/greeting: hello$/);
  for (const greeting of ["greeting: hello again", "greeting: hello"]) {
    const items = { "app.yaml": { format: "yaml", value: greeting } };
    const url = `${api}/v1/config/default/orders/default/releases`;
    expect((await call(url, { method: "POST", token, body: { items } })).status).toBe(201);
    await eventually("the release is in the file", async () => (await greetingFile()) === greeting);
  }
}

test("both READMEs tell the same story", async () => {
  expect(await storyBlocks("README.zh-CN.md")).toEqual(await storyBlocks("README.md"));
});

test(
  "the README's story comes true twice on one data folder, and outlives a stop and a kill each time",
  { timeout: 400_000 },
  async () => {
    await using folder = await tempFolder();
    const data = folder.path;
    await using first = await startPosthouse({ data });
    const token = first.token as string;
    const demoPorts = {
      "4000": String(await freePort()),
      "4001": String(await freePort()),
      "4002": String(await freePort()),
    };
    let running: Posthouse = first;
    for (const file of ["README.md", "README.zh-CN.md"]) {
      await using story = await tellStory(file, running, { data, token, demoPorts });
      await using stopped = await restartBySigterm(running);
      await findsStory(stopped, { data, token, jwt: story.jwt });
      await using killed = await restartByKill(stopped);
      await findsStory(killed, { data, token, jwt: story.jwt });
      // The next telling begins after one more stop, as on another day.
      running = await restartBySigterm(killed);
    }
    await using last = running;
    expect(await last.stop()).toEqual({ code: 0, signal: null });
  },
);
