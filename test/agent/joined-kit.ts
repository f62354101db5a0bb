/** A control plane with TLS on one loopback address, and hosts on another that join it, each with a clock that a test moves. */
import { join } from "node:path";
import { Client, fetchTransport } from "#client";
import type { IssuedJoinToken } from "#identity/api";
import { createServer, joinHost, type Server } from "#server";
import { loadSettings, type Settings } from "#settings";
import { tempFolder, testHost } from "#test/kit";
import { WallClock } from "../identity/kit.ts";
import { callHttp } from "./agent-kit.ts";

export const HOUR_MS = 3_600_000;

export function settingsOf(flags: Record<string, string>): Settings {
  return loadSettings({ environment: {}, flags: { dns: "off", logLevel: "warn", ...flags } }).values;
}

export interface Plane extends AsyncDisposable {
  readonly url: string;
  readonly clock: WallClock;
  /** The operator's client. */
  readonly client: Client;
  readonly token: string;
  call<T>(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<{ status: number; body: T }>;
  joinToken(request?: object): Promise<string>;
  stop(): Promise<void>;
  /** After a stop: again, at the same place and over the same store. */
  restart(): Promise<void>;
}

export async function startPlane(clock = new WallClock(Date.now())): Promise<Plane> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const flags = { data: folder.path, roles: "registry,config-server", tls: "on", agentPort: "0" };
  const host = testHost({ clock });
  let server: Server = await createServer(host, settingsOf({ ...flags, port: "0" }));
  stack.defer(() => server[Symbol.asyncDispose]());
  const url = server.addresses.controlApi ?? "";
  // Verified by the certificate authority that the first answer names, as an operator does on the same machine.
  const fingerprint = await fingerprintAt(url);
  const transport = stack.use(fetchTransport({ urls: [url], tls: { fingerprint } }));
  const token = server.firstToken ?? "";
  const client = new Client(testHost(), { transport, token });
  const owned = stack.move();
  const plane: Plane = {
    url,
    clock,
    client,
    token,
    async call(method, path, body) {
      const headers = { authorization: `Bearer ${token}` };
      const signal = AbortSignal.timeout(60_000);
      const answer = await transport.request({ method, path, headers, signal, ...(body ? { body } : {}) });
      const text = await answer.text();
      return { status: answer.status, body: (text === "" ? undefined : JSON.parse(text)) as never };
    },
    async joinToken(request = {}) {
      const { body } = await plane.call<IssuedJoinToken>("POST", "/v1/join-tokens", { kind: "agent", ...request });
      return body.token;
    },
    stop: async () => server[Symbol.asyncDispose](),
    async restart() {
      server = await createServer(host, settingsOf({ ...flags, port: new URL(url).port }));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
  return plane;
}

async function fingerprintAt(url: string): Promise<string> {
  const { connect } = await import("node:tls");
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false });
  await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  let certificate = socket.getPeerCertificate(true);
  while (certificate.issuerCertificate && certificate.issuerCertificate !== certificate) {
    if (certificate.issuerCertificate.fingerprint256 === certificate.fingerprint256) break;
    certificate = certificate.issuerCertificate;
  }
  socket.destroy();
  return certificate.fingerprint256;
}

export interface JoinedHost extends AsyncDisposable {
  readonly data: string;
  readonly clock: WallClock;
  readonly identity: string;
  join(
    plane: Pick<Plane, "url">,
    token: string,
    /** `name: null`: none is chosen. */
    more?: { name?: string | null; replace?: boolean },
  ): ReturnType<typeof joinHost>;
  start(flags?: Record<string, string>): Promise<Server>;
  stop(): Promise<void>;
  /** Over the agent's socket. */
  call<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ readonly status: number; readonly body: T }>;
}

/** A host that has not joined yet, and whose agent does not run yet. */
export async function newHost(clock = new WallClock(Date.now())): Promise<JoinedHost> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const data = folder.path;
  const host = testHost({ clock });
  let server: Server | undefined;
  const stop = async () => {
    await server?.[Symbol.asyncDispose]();
    server = undefined;
  };
  stack.defer(stop);
  const owned = stack.move();
  return {
    data,
    clock,
    identity: join(data, "agent", "identity"),
    join: (plane, token, { name = "web-1", replace = false } = {}) =>
      joinHost(host, settingsOf({ data }), { urls: [plane.url], token, name: name ?? undefined, replace }),
    async start(flags = {}) {
      server = await createServer(host, settingsOf({ data, roles: "agent", agentPort: "0", ...flags }));
      return server;
    },
    stop,
    call: (method, path, body) => callHttp(join(data, "agent", "agent.sock"), method, path, body),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
