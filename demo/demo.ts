/**
 * The demo: three small services as separate processes, registered and checked through the agent, and routes to them, which are released
 * when no gateway config is live. The demo prints only commands that work: through the gateway once it answers for every service, else
 * directly to the services.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { extname } from "node:path";
import type { Readable } from "node:stream";
import { deadline, type Host } from "#base";
import { Client, fetchTransport, type Transport } from "#client";
import { ConfigErrors } from "#config-server/api";
import type { Addresses } from "#server";

const SERVICES = ["riders", "horses", "dispatches"];
/** Milliseconds that the agent of this process may take to answer. */
const REGISTER_MS_MAX = 10_000;
/** Milliseconds until the gateway must answer for the services. Two seconds are usual; a busy machine takes longer. */
const ANSWER_MS_MAX = 20_000;
const ANSWER_PAUSE_MS = 50;
/** Milliseconds for a service to end before it is killed. */
const STOP_MS_MAX = 3_000;

export interface DemoTarget {
  readonly addresses: Readonly<Addresses>;
  readonly ownToken: string | undefined;
  readonly controlTransport: Transport | undefined;
}

export async function startDemo(host: Host, target: DemoTarget): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const { addresses, ownToken: token, controlTransport: transport } = target;
  const { agentSocket, gateway } = addresses;
  if (agentSocket === undefined || transport === undefined || token === undefined) {
    throw new Error(
      "--demo requires the roles registry, config-server and agent in this process, and a data folder with a short path",
    );
  }
  const agent = stack.use(fetchTransport({ urls: ["http://localhost"], socketPath: agentSocket }));
  const services: Started[] = [];
  for (const name of SERVICES) {
    const service = stack.use(await startService(name));
    services.push(service);
    await register(agent, name, service.port);
  }
  const hasRoutes = await releaseRoutes(new Client(host, { transport, token }));
  const whyNot = await whyNotThroughGateway(host, { gateway, hasRoutes });
  process.stdout.write(offerOf(services, { gateway, whyNot }));
  const owned = stack.move();
  return { [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** The commands to try, and the reason if they do not use the gateway. */
function offerOf(
  services: readonly Started[],
  by: { gateway: string | undefined; whyNot: string | undefined },
): string {
  const lines = ["demo: three services run; try"];
  for (const { name, port } of services)
    lines.push(by.whyNot === undefined ? `  curl ${by.gateway}/${name}` : `  curl http://127.0.0.1:${port}/`);
  if (by.whyNot !== undefined) lines.push(`demo: these commands call the services directly. ${by.whyNot}`);
  return `${lines.join("\n")}\n\n`;
}

/** Undefined once the gateway answers for every service. */
async function whyNotThroughGateway(
  host: Host,
  { gateway, hasRoutes }: { gateway: string | undefined; hasRoutes: boolean },
): Promise<string | undefined> {
  if (gateway === undefined) return "This process has no gateway.";
  if (!hasRoutes) {
    const [name = ""] = SERVICES;
    const route = `{ name: ${name}, match: { path: { prefix: /${name} } }, service: ${name} }`;
    return `The live gateway.yaml is not the demo's, so the demo does not change it.\nTo call them through the gateway, add routes to it such as ${route}`;
  }
  await using transport = fetchTransport({ urls: [gateway] });
  using late = deadline(host.clock, ANSWER_MS_MAX);
  for (const name of SERVICES) {
    while (!(await answers(transport, `/${name}`, late.signal))) {
      if (late.signal.aborted) return `The gateway does not answer for /${name} yet.`;
      await host.clock.sleep(ANSWER_PAUSE_MS, late.signal).catch(() => {});
    }
  }
  return undefined;
}

async function answers(transport: Transport, path: string, signal: AbortSignal): Promise<boolean> {
  try {
    const answer = await transport.request({ method: "GET", path, signal });
    await answer.text();
    return answer.status < 400;
  } catch {
    return false;
  }
}

interface Started extends AsyncDisposable {
  readonly name: string;
  readonly port: number;
}

async function startService(name: string): Promise<Started> {
  const file = new URL(`./service${extname(import.meta.filename)}`, import.meta.url).pathname;
  const child = spawn(process.execPath, [file, "--name", name], { stdio: ["ignore", "pipe", "inherit", "ipc"] });
  const [line] = (await once(createInterface(child.stdout as Readable), "line")) as [string];
  return { name, port: Number(line.split(" ").at(-1)), [Symbol.asyncDispose]: () => end(child) };
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
  if (answer.status >= 400) throw new Error(`the agent rejected the service ${name}: ${await answer.text()}`);
}

/** Whether the demo's routes are live. The user's own routes are never changed. */
async function releaseRoutes(client: Client): Promise<boolean> {
  const routes = SERVICES.map((name) => ({ name, match: { path: { prefix: `/${name}` } }, service: name }));
  const value = `${JSON.stringify({ routes }, null, 2)}\n`;
  const set = { namespace: "default", app: "gateway", profile: "default" };
  try {
    const items = { "gateway.yaml": { format: "yaml", value } } as const;
    await client.config.publish(set, { items, reason: "demo", expectedVersion: 0 });
    return true;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === ConfigErrors.VERSION_CONFLICT.code)) throw error;
    const { items } = await client.config.effective(set);
    return items["gateway.yaml"]?.value === value;
  }
}
