/** The `type` of a problem leads to its meaning at the server that answered: the control API, an agent, a gateway's operations port. */
import { createConnection } from "node:net";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { call, startPosthouse, tempFolder } from "#test/kit";

/** Follows `type` as a browser and as a program would. */
async function expectResolved(origin: string, problem: Record<string, unknown>): Promise<void> {
  const { type, code, title } = problem as Record<string, string>;
  const address = new URL(type as string, origin);
  expect([address.origin, address.hash]).toEqual([origin, `#${code}`]);
  const page = await call(address.href, { headers: { accept: "text/html" } });
  expect(page.status, address.href).toBe(200);
  expect(page.text).toContain(`<section id="${code}">`);
  const { json } = await call(address.href);
  expect(json["errors"]).toContainEqual(expect.objectContaining({ code, title }));
  expect((await call(`${origin}/errors/${code}`)).json).toMatchObject({ code, title });
}

/** The body of an answer to bytes that no HTTP client would send. */
async function answerTo(origin: string, bytes: string): Promise<Record<string, unknown>> {
  const { hostname, port } = new URL(origin);
  const socket = createConnection(Number(port), hostname, () => socket.write(bytes));
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return JSON.parse(text.slice(text.indexOf("\r\n\r\n"))) as Record<string, unknown>;
}

test("problems of the control API, of the agent and of bytes that are not HTTP lead to their meaning", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({
    data: data.path,
    args: ["--roles", "registry", "config-server", "agent", "--dns", "off"],
  });
  const { api, agent } = posthouse;
  for (const url of ["/v1/services", "/v1/nowhere"]) await expectResolved(api, (await call(`${api}${url}`)).json);
  await expectResolved(api, await answerTo(api, "nonsense\r\n\r\n"));
  for (const url of ["/v1/agent/services", "/v1/nowhere"])
    await expectResolved(agent, (await call(`${agent}${url}`)).json);
});

test("a gateway alone explains the codes of its operations port; those of requests are names", async () => {
  await using folder = await tempFolder();
  const file = join(folder.path, "gateway.yaml");
  await writeFile(file, "routes: []\n");
  const args = ["--roles", "gateway", "--gateway-file", file];
  await using posthouse = await startPosthouse({ data: join(folder.path, "data"), args });
  const { operations, gateway } = posthouse;
  await expectResolved(operations, (await call(`${operations}/v1/nowhere`)).json);
  const { json } = await call(`${gateway}/docs/errors`);
  expect(json["type"]).toBe("urn:posthouse:error:GATEWAY_ROUTE_NOT_FOUND");
  // The name after the last colon is the code, which every server's page has.
  const page = await call(`${operations}/docs/errors`);
  expect(page.text).toContain("GATEWAY_ROUTE_NOT_FOUND");
});
