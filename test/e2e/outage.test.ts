/** Each part killed while the others go on: service, server, agent and gateway, all real processes. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { call, eventually, freePort, type Posthouse, startPosthouse, startService, tempFolder } from "#test/kit";

const CONTROL = ["--roles", "registry", "config-server", "--port"];

interface Plane extends AsyncDisposable {
  readonly folder: string;
  readonly token: string;
  server: Posthouse;
  agent: Posthouse;
  gateway: Posthouse;
  readonly startServer: () => Promise<void>;
  readonly startAgent: () => Promise<void>;
  readonly startGateway: () => Promise<void>;
  statuses(): Promise<string[]>;
  files(): string;
}

/** Server, agent and gateway as three processes. */
async function plane(): Promise<Plane> {
  await using stack = new AsyncDisposableStack();
  const { path: folder } = stack.use(await tempFolder());
  const ports = { api: await freePort(), gateway: await freePort(), agent: await freePort() };
  const control = `http://127.0.0.1:${ports.api}`;
  const run = async (name: string, args: string[]) => {
    const program = await startPosthouse({ data: join(folder, name), args });
    stack.use(program);
    return program;
  };
  const server = await run("server", [...CONTROL, String(ports.api)]);
  const token = server.token as string;
  const remote = ["--control-urls", control, "--token", token];
  const services = join(folder, "definitions");
  await mkdir(services);
  const agentArgs = ["--roles", "agent", "--agent-port", String(ports.agent), "--agent-session-seconds", "6"];
  const gatewayArgs = ["--roles", "gateway", "--gateway-port", String(ports.gateway), "--gateway-drain-seconds", "1"];
  const agent = await run("agent", [...agentArgs, "--agent-services", services, ...remote]);
  const gateway = await run("gateway", [...gatewayArgs, ...remote]);
  const owned = stack.move();
  const self: Plane = {
    folder,
    token,
    server,
    agent,
    gateway,
    async startServer() {
      self.server = owned.use(
        await startPosthouse({ data: join(folder, "server"), args: [...CONTROL, String(ports.api)] }),
      );
    },
    async startAgent() {
      const args = [...agentArgs, "--agent-services", services, ...remote];
      self.agent = owned.use(await startPosthouse({ data: join(folder, "agent"), args }));
    },
    async startGateway() {
      self.gateway = owned.use(
        await startPosthouse({ data: join(folder, "gateway"), args: [...gatewayArgs, ...remote] }),
      );
    },
    async statuses() {
      const { json } = await call(`${control}/v1/services/orders/instances`, { token });
      return ((json["instances"] ?? []) as { status: string }[]).map(({ status }) => status).sort();
    },
    files: () => join(folder, "agent", "agent", "files"),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
  return self;
}

const CHECK = { id: "http", type: "http", path: "/health", intervalSeconds: 0.2, fall: 2 };

async function publish(api: string, token: string, app: string, key: string, value: string): Promise<number> {
  const url = `${api}/v1/config/default/${app}/default/releases`;
  const { status, json } = await call(url, {
    method: "POST",
    token,
    body: { items: { [key]: { format: "yaml", value } } },
  });
  expect([status, json]).toEqual([201, expect.anything()]);
  return json["version"] as number;
}

test(
  "service, server and agent are killed in turn; calls go on and everything comes back",
  { timeout: 300_000 },
  async () => {
    await using world = await plane();
    const { server, agent, gateway, token, folder } = world;
    await using one = await startService("orders");
    await using two = await startService("orders");
    await writeFile(
      join(folder, "definitions", "orders.yaml"),
      JSON.stringify({
        services: [one, two].map(({ port }) => ({ name: "orders", port, checks: [CHECK] })),
        files: [{ app: "orders", profile: "default", key: "app.yaml", path: join(world.files(), "app.yaml") }],
      }),
    );
    await publish(server.api, token, "orders", "app.yaml", "greeting: hello\n");
    const routes = { routes: [{ name: "orders", match: { path: { prefix: "/" } }, service: "orders" }] };
    await publish(server.api, token, "gateway", "gateway.yaml", JSON.stringify(routes));
    await eventually("both instances pass", async () => (await world.statuses()).join() === "passing,passing");
    const file = () => readFile(join(world.files(), "app.yaml"), "utf8").catch(() => "");
    await eventually("the file", async () => (await file()) === "greeting: hello\n");
    const ok = async () => (await call(`${gateway.gateway}/x`)).status === 200;
    /** Every call is answered, and what was not says why. */
    const serves = async (calls: number) => {
      for (let i = 0; i < calls; i++) {
        const { status, text } = await call(`${gateway.gateway}/x`);
        expect([status, status === 200 ? "" : text]).toEqual([200, ""]);
      }
    };
    await eventually("the route", ok);

    // An instance dies: every call goes on succeeding, and its health turns critical.
    one.kill();
    await serves(50);
    await eventually("one is critical", async () => (await world.statuses()).join() === "critical,passing");

    // The server dies: the gateway serves from what it knows, the agent answers from its snapshot.
    server.kill();
    await server.exited;
    await serves(50);
    const cached = await call(`${agent.agent}/v1/agent/config/default/orders/default`, { token: agent.agentToken });
    expect(cached.json).toMatchObject({ items: { "app.yaml": { value: "greeting: hello\n" } } });

    // The agent dies too, and starts while the server is still away: it has what it had.
    agent.kill();
    await agent.exited;
    await world.startAgent();
    const again = await call(`${world.agent.agent}/v1/agent/config/default/orders/default`, {
      token: world.agent.agentToken,
    });
    expect(again.json).toMatchObject({ items: { "app.yaml": { value: "greeting: hello\n" } } });

    // The gateway dies as well, and starts with neither of them: routes and endpoints are its last good ones.
    gateway.kill();
    await gateway.exited;
    await world.startGateway();
    await eventually("the gateway serves without a control plane", ok);

    await world.startServer();
    // The session may have lapsed meanwhile: then the instances are registered again, with the verdicts of their agent.
    const seen = new Set<string>();
    await eventually("the agent repaired the registry", async () => {
      const statuses = await world.statuses();
      for (const status of statuses) seen.add(status);
      return statuses.includes("passing");
    });
    expect(seen).not.toContain("unknown");
    await eventually("the route", ok);
    await publish(world.server.api, token, "orders", "app.yaml", "greeting: again\n");
    await eventually("the new release arrived", async () => (await file()) === "greeting: again\n");
    await serves(20);

    // Each is also stopped and started again; a stopped agent takes its services along, and brings them back.
    for (const [name, start] of [
      ["gateway", world.startGateway],
      ["server", world.startServer],
      ["agent", world.startAgent],
    ] as const) {
      expect(await world[name].stop()).toEqual({ code: 0, signal: null });
      await start();
      await eventually("one passes", async () => (await world.statuses()).includes("passing"));
      await eventually("the route", ok);
      expect(await file()).toBe("greeting: again\n");
    }
  },
);

test("a killed agent's services leave when its session lapses, not before, and return with it", async () => {
  await using world = await plane();
  await using service = await startService("orders");
  await writeFile(
    join(world.folder, "definitions", "orders.yaml"),
    JSON.stringify({ services: [{ name: "orders", port: service.port, checks: [CHECK] }] }),
  );
  await eventually("it passes", async () => (await world.statuses()).join() === "passing");
  const killedMs = performance.now();
  world.agent.kill();
  await world.agent.exited;
  await eventually("it left", async () => (await world.statuses()).length === 0);
  expect(performance.now() - killedMs).toBeGreaterThan(2_000);
  await world.startAgent();
  await eventually("it is back", async () => (await world.statuses()).join() === "passing");
  expect(await world.agent.stop()).toMatchObject({ code: 0 });
  await eventually("a clean stop takes its services along", async () => (await world.statuses()).length === 0);
});
