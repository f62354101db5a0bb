/** An agent in a folder of its own, over a fake control plane, with a few words to speak to its local API. */
import { mkdir, readFile } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { AGENT_DEFAULTS, createAgent, localTokenPath, type AgentSettings, type RunningAgent } from "#agent";
import { testHost, type RecordingLog } from "#test/kit";
import type { FakeControlPlane } from "./fake-control-plane.ts";

export interface Answer<Body = Record<string, unknown>> {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Body;
}

export interface TestAgent extends AsyncDisposable {
  readonly running: RunningAgent;
  readonly port: number;
  readonly socket: string;
  readonly settings: AgentSettings;
  readonly log: RecordingLog;
  /** With the agent's own token, unless the headers say otherwise. */
  call<Body = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer<Body>>;
}

export async function settingsIn(folder: string, changes: Partial<AgentSettings> = {}): Promise<AgentSettings> {
  const servicesDir = join(folder, "services");
  await mkdir(servicesDir, { recursive: true });
  return {
    ...AGENT_DEFAULTS,
    node: "host-a",
    port: 0,
    dataDir: join(folder, "data"),
    filesDir: join(folder, "files"),
    servicesDir,
    fullSyncSeconds: 1,
    ...changes,
  };
}

export async function startAgent(
  plane: FakeControlPlane,
  folder: string,
  changes: Partial<AgentSettings> = {},
): Promise<TestAgent> {
  const settings = await settingsIn(folder, changes);
  const host = testHost();
  const running = await createAgent(host, { client: plane.client(), settings });
  const { port, socket } = await running.listen().catch(async (error: unknown) => {
    await running[Symbol.asyncDispose]();
    throw error;
  });
  // Read once: a test may take the folder away.
  const authorization = await authorizationOf(settings);
  return {
    running,
    port,
    socket: socket ?? "",
    settings,
    log: host.log,
    call: (method, path, body, headers) => callHttp(port, method, path, body, { authorization, ...headers }),
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
}

/** The header of a call with the agent's own token. */
export async function authorizationOf({ dataDir, token }: Pick<AgentSettings, "dataDir" | "token">): Promise<string> {
  return `Bearer ${token ?? (await readFile(localTokenPath(dataDir), "utf8")).trim()}`;
}

/** Over a port, or a Unix socket by its path. */
export function callHttp<Body>(
  port: number | string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<Body>> {
  const text = typeof body === "string" ? body : body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        ...(typeof port === "number" ? { host: "127.0.0.1", port } : { socketPath: port }),
        method,
        path,
        agent: false,
        headers: {
          ...(text === undefined
            ? {}
            : { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
          ...headers,
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          const answer = Buffer.concat(chunks).toString();
          const json = String(response.headers["content-type"]).includes("json");
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: (json && answer !== "" ? JSON.parse(answer) : answer) as Body,
          });
        });
      },
    );
    sent.on("error", reject);
    sent.end(text);
  });
}

export interface Service extends AsyncDisposable {
  readonly port: number;
  status: number;
}

/** A service that answers every request with a status that a test may change. */
export async function startService(): Promise<Service> {
  const service = { port: 0, status: 200 };
  const server: Server = createServer((_request, response) => void response.writeHead(service.status).end("said so"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  service.port = (server.address() as AddressInfo).port;
  return Object.assign(service, {
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  });
}
