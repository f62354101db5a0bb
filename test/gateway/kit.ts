/**
 * A gateway on real sockets with a control plane of two hand-fed streams, upstreams that follow a script, and a client
 * that writes bytes and reads bytes, so that a test can say exactly what crossed.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, createServer as createNetServer, type AddressInfo, type Socket } from "node:net";
import type { EffectiveConfig } from "#config-server/api";
import {
  createGateway,
  GATEWAY_SETTINGS,
  type Gateway,
  type GatewayClient,
  type GatewayPorts,
  type GatewaySettings,
} from "#gateway";
import type { Frame } from "#http/frames";
import type { IdentitySource } from "#identity/core";
import type { Instance, ServiceDelta } from "#registry/api";
import { testHost, hangSignal } from "#test/kit";
import { testInstance } from "../kit/instance.ts";

/** A watch that a test feeds. Ends with its reader's signal. */
export class Feed<Data> {
  readonly #queue: Frame<Data>[] = [];
  #wake = () => {};
  #revision = 0;

  send(event: Frame["event"], data?: Data): void {
    this.#queue.push({ event, revision: ++this.#revision, ...(data === undefined ? {} : { data }) });
    this.#wake();
  }

  setBack(): void {
    this.#revision = 0;
  }

  async *watch(signal: AbortSignal): AsyncGenerator<Frame<Data>> {
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal.aborted) {
      const frame = this.#queue.shift();
      if (frame) yield frame;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

export function instance(port: number, over: Partial<Instance> = {}): Instance {
  return testInstance({ id: `i-${port}`, address: "127.0.0.1", port, ...over });
}

export class FakeControlPlane implements GatewayClient {
  /** Of namespace `default`. */
  readonly catalog = new Feed<ServiceDelta>();
  /** Of all others. */
  readonly otherCatalog = new Feed<ServiceDelta>();
  readonly configs = new Feed<EffectiveConfig>();
  #version = 0;

  readonly registry: GatewayClient["registry"] = {
    watch: ({ namespace }, { signal, onState }) => {
      onState?.("connected");
      return (namespace === "default" ? this.catalog : this.otherCatalog).watch(signal);
    },
  };
  readonly config: GatewayClient["config"] = {
    watch: (_name, { signal, onState }) => {
      onState?.("connected");
      return this.configs.watch(signal);
    },
    effectiveOtherThan: async (_name, releaseKey) =>
      this.unheard?.releaseKey === releaseKey ? undefined : this.unheard,
    acknowledger: () => (config, error) => void this.acknowledged.push({ releaseKey: config.releaseKey, error }),
  };
  /** Absent: it shares no limits. */
  quotas?: NonNullable<GatewayClient["quotas"]>;
  /** A config that the server has and the push does not deliver. */
  unheard: EffectiveConfig | undefined;
  /** The gateway's acknowledgements of its configs. */
  readonly acknowledged: { releaseKey: string; error: unknown }[] = [];

  /** Releases a config, as YAML or as a tree. */
  release(config: object | string): void {
    const version = ++this.#version;
    this.configs.send(version === 1 ? "snapshot" : "delta", {
      namespace: "default",
      app: "gateway",
      profile: "default",
      releaseKey: `release-${version}`,
      revision: version,
      items: {
        "gateway.yaml": {
          format: "yaml",
          value: typeof config === "string" ? config : JSON.stringify(config),
          origin: { profile: "default", version },
        },
      },
    });
    if (version === 1) this.configs.send("synced");
  }

  /** Its store is lost, or set back to what it was at first. */
  setBack(): void {
    this.#version = 0;
    this.configs.setBack();
  }

  nothingReleased(): void {
    const name = { namespace: "default", app: "gateway", profile: "default" };
    this.configs.send("snapshot", { ...name, releaseKey: "none", revision: 0, items: {} });
    this.configs.send("synced");
    this.setBack();
  }

  /** The first word of the registry: these instances, whole. */
  snapshot(...instances: Instance[]): void {
    for (const service of new Set(instances.map(({ service }) => service))) {
      this.catalog.send(
        "snapshot",
        delta(
          service,
          instances.filter((one) => one.service === service),
        ),
      );
    }
    this.catalog.send("synced");
  }

  change(...instances: Instance[]): void {
    for (const one of instances) this.catalog.send("delta", delta(one.service, [one]));
  }

  remove(service: string, id: string): void {
    this.catalog.send("delta", { namespace: "default", service, instances: [], panic: false, removed: [id] });
  }
}

function delta(service: string, instances: readonly Instance[]): ServiceDelta {
  return { namespace: "default", service, instances, panic: false, removed: [] };
}

export interface Running extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly plane: FakeControlPlane;
  readonly host: ReturnType<typeof testHost>;
  readonly ports: GatewayPorts;
  readonly url: string;
}

export const baseSettings: GatewaySettings = {
  ...GATEWAY_SETTINGS,
  namespace: "default",
  host: "127.0.0.1",
  port: 0,
  tlsPort: 0,
  tls: undefined,
  dataFile: undefined,
  drainMs: 2_000,
};

/** A gateway that is ready, with this config and these instances. */
export async function runGateway(
  config: object | string,
  instances: readonly Instance[],
  given: Partial<GatewaySettings> & {
    host?: never;
    quotas?: NonNullable<GatewayClient["quotas"]>;
    traffic?: NonNullable<GatewayClient["traffic"]>;
    identity?: IdentitySource;
  } = {},
  host = testHost(),
): Promise<Running> {
  const { quotas, traffic, identity, ...over } = given;
  const plane = new FakeControlPlane();
  if (quotas) plane.quotas = quotas;
  const gateway = createGateway(host, {
    client: traffic ? Object.assign(plane, { traffic }) : plane,
    settings: { ...baseSettings, ...over },
    identity,
  });
  plane.release(config);
  plane.snapshot(...instances);
  await gateway.ready(hangSignal()).catch(async (error: unknown) => {
    const { problems } = gateway.status();
    await gateway[Symbol.asyncDispose]();
    throw problems.length === 0 ? error : new Error(JSON.stringify(problems), { cause: error });
  });
  const ports = await gateway.listen().catch(async (error: unknown) => {
    await gateway[Symbol.asyncDispose]();
    throw error;
  });
  return {
    gateway,
    plane,
    host,
    ports,
    url: `http://127.0.0.1:${ports.httpPort}`,
    [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
  };
}

/** A config of one route for everything under a prefix. */
export function oneRoute(over: object = {}, rest: object = {}): object {
  return { ...rest, routes: [{ name: "orders", match: { path: { prefix: "/" } }, service: "orders", ...over }] };
}

export interface Upstream extends AsyncDisposable {
  readonly port: number;
  readonly requests: {
    method: string;
    url: string;
    headers: IncomingMessage["headers"];
    rawHeaders: string[];
    body: string;
  }[];
  readonly server: Server;
}

/** An HTTP service; by default it answers 200 with its port. */
export async function upstream(
  handle: (request: IncomingMessage, response: ServerResponse, body: string) => void = (_request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ ok: true }));
  },
  options: { eager?: (request: IncomingMessage, response: ServerResponse) => boolean } = {},
): Promise<Upstream> {
  const requests: Upstream["requests"] = [];
  const server = createServer((request, response) => {
    if (options.eager?.(request, response)) return;
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      const { method = "", url = "", headers, rawHeaders } = request;
      requests.push({ method, url, headers, rawHeaders, body });
      handle(request, response, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    server,
    requests,
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface RawUpstream extends AsyncDisposable {
  readonly port: number;
  readonly connections: { socket: Socket; received: string }[];
}

/** A server below HTTP: what it does with a connection's bytes is the test's. */
export async function rawUpstream(
  onData: (connection: RawUpstream["connections"][number], chunk: string, count: number) => void,
): Promise<RawUpstream> {
  const connections: RawUpstream["connections"] = [];
  let count = 0;
  const server = createNetServer((socket) => {
    const connection = { socket, received: "" };
    connections.push(connection);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      connection.received += chunk.toString("latin1");
      onData(connection, chunk.toString("latin1"), ++count);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const { socket } of connections) socket.destroy();
      }),
  };
}

export interface RawAnswer {
  readonly text: string;
  readonly status: number;
  /** Names in lower case; several values joined. */
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Sends bytes on a new connection and reads until it closes, or stays silent for `idleMs`. */
export async function sendRaw(port: number, bytes: string, { idleMs = 300 } = {}): Promise<RawAnswer> {
  const text = await new Promise<string>((resolve) => {
    let received = "";
    const socket = connect(port, "127.0.0.1");
    let timer = setTimeout(() => finish(), 5_000);
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(received);
    };
    socket.on("error", finish);
    socket.on("close", finish);
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      clearTimeout(timer);
      timer = setTimeout(finish, idleMs);
    });
    socket.write(bytes, "latin1");
  });
  return parseAnswer(text);
}

export function parseAnswer(text: string): RawAnswer {
  const end = text.indexOf("\r\n\r\n");
  const [first = "", ...lines] = text.slice(0, Math.max(0, end)).split("\r\n");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return { text, status: Number(first.split(" ")[1] ?? 0), headers, body: end < 0 ? "" : text.slice(end + 4) };
}

/** The problem document of an answer, with what belongs around it checked. */
export async function problemOf(response: Response): Promise<{ code: string; status: number; detail: string }> {
  const type = response.headers.get("content-type");
  if (type !== "application/problem+json") throw new Error(`no problem document but ${type}: ${await response.text()}`);
  const problem = (await response.json()) as { code: string; status: number; detail: string };
  if (problem.status !== response.status) throw new Error("the document and the status line differ");
  return problem;
}
