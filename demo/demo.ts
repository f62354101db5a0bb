/**
 * Something to see: three small services as processes of their own, registered through the agent and checked by it, and
 * routes to them, released when nothing is released yet.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { extname } from "node:path";
import { type Host, messageOf } from "#base";
import { Client, fetchTransport, type Transport } from "#client";
import { ConfigErrors } from "#config-server/api";
import type { Addresses } from "#server";

const SERVICES = ["riders", "horses", "dispatches"];
/** Milliseconds that the agent of this process may take to answer. */
const REGISTER_MS_MAX = 10_000;
/** Milliseconds a service gets to end by itself. */
const STOP_MS_MAX = 3_000;

export interface DemoTarget {
  readonly addresses: Readonly<Addresses>;
  readonly ownToken: string | undefined;
}

export async function startDemo(host: Host, { addresses, ownToken }: DemoTarget): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const { agentSocket, controlApi, gateway } = addresses;
  if (agentSocket === undefined || controlApi === undefined || ownToken === undefined) {
    throw new Error("--demo needs all roles in this process, and a data folder with a short path");
  }
  const agent = stack.use(fetchTransport({ urls: ["http://localhost"], socketPath: agentSocket }));
  for (const name of SERVICES) {
    const { port } = stack.use(await startService(name));
    await register(agent, name, port);
  }
  const transport = stack.use(fetchTransport({ urls: [controlApi] }));
  await releaseRoutes(new Client(host, { transport, token: ownToken }));
  process.stdout.write(`demo: three services run; try\n`);
  for (const name of SERVICES) process.stdout.write(`  curl ${gateway}/${name}\n`);
  process.stdout.write("\n");
  const owned = stack.move();
  return { [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function startService(name: string): Promise<{ port: number } & AsyncDisposable> {
  const file = new URL(`./service${extname(import.meta.filename)}`, import.meta.url).pathname;
  const child = spawn(process.execPath, [file, "--name", name], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  return { port: Number(line.split(" ").at(-1)), [Symbol.asyncDispose]: () => end(child) };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const hard = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
  child.kill("SIGTERM");
  await once(child, "exit");
  clearTimeout(hard);
}

async function register(agent: Transport, name: string, port: number): Promise<void> {
  const answer = await agent.request({
    method: "PUT",
    path: `/v1/agent/services/${name}-1`,
    body: {
      name,
      port,
      checks: [{ id: "http", type: "http", path: "/health", intervalSeconds: 1, fall: 2 }],
    },
    signal: AbortSignal.timeout(REGISTER_MS_MAX),
  });
  if (answer.status >= 400) throw new Error(`the agent did not take ${name}: ${await answer.text()}`);
}

async function releaseRoutes(client: Client): Promise<void> {
  const routes = SERVICES.map((name) => ({ name, match: { path: { prefix: `/${name}` } }, service: name }));
  const value = `${JSON.stringify({ routes }, null, 2)}\n`;
  try {
    await client.config.publish(
      { namespace: "default", app: "gateway", profile: "default" },
      { items: { "gateway.yaml": { format: "yaml", value } }, reason: "demo", expectedVersion: 0 },
    );
  } catch (error) {
    // Routes of an earlier run or of the user's own are left as they are.
    if (!(error instanceof Error && "code" in error && error.code === ConfigErrors.VERSION_CONFLICT.code)) throw error;
    process.stdout.write(`demo: routes are left as they are (${messageOf(error)})\n`);
  }
}
