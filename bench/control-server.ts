/** A control API in a separate process on the first core, and helpers to load it. */
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Agent, request } from "undici";
import { type Running, startPinned } from "./kit.ts";

const CORE = 0;

export interface Server extends AsyncDisposable {
  readonly running: Running;
  readonly url: string;
  readonly token: string;
  /** Its authorities, with `--tls on`. */
  readonly ca: string | undefined;
  call(method: "GET" | "PUT" | "POST", path: string, body?: unknown): Promise<{ status: number; text: string }>;
}

export async function startServer(folder: string, token?: string, more: readonly string[] = []): Promise<Server> {
  const args = [
    "bin/posthouse",
    "up",
    "--data",
    folder,
    "--roles",
    "registry",
    "config-server",
    "--dns",
    "off",
    ...more,
  ];
  const running = await startPinned(CORE, process.execPath, [...args, "--port", "0"], /is up[^]*\n\n/);
  const url = /^ {2}control API +(\S+)$/m.exec(running.output())?.[1] as string;
  const bearer: string | undefined = token ?? /^ {2}(ph_\S+)$/m.exec(running.output())?.[1];
  if (bearer === undefined) throw new Error("no token was printed");
  const ca = url.startsWith("https:") ? await authorityOf(url) : undefined;
  const dispatcher = new Agent({ connections: 64, pipelining: 1, ...(ca === undefined ? {} : { connect: { ca } }) });
  return {
    running,
    url,
    token: bearer,
    ca,
    async call(method, path, body) {
      const answer = await request(`${url}${path}`, {
        method,
        dispatcher,
        headers: {
          authorization: `Bearer ${bearer}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await answer.body.text();
      if (answer.statusCode >= 400) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
      return { status: answer.statusCode, text };
    },
    async [Symbol.asyncDispose]() {
      await dispatcher.destroy();
      await running[Symbol.asyncDispose]();
    },
  };
}

/** The root of the chain that the server presents. It was started here, so no other server can answer. */
async function authorityOf(url: string): Promise<string> {
  const socket = connectTls({ host: "127.0.0.1", port: Number(new URL(url).port), rejectUnauthorized: false });
  await once(socket, "secureConnect");
  let certificate = socket.getPeerCertificate(true);
  while (!certificate.issuerCertificate.raw.equals(certificate.raw)) certificate = certificate.issuerCertificate;
  socket.destroy();
  return new X509Certificate(certificate.raw).toString();
}

/** Runs `work` on the numbers below `count`, a fixed number at a time. */
export async function each(count: number, atOnce: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

export async function ready(server: Server): Promise<void> {
  for (;;) {
    const up = await server.call("GET", "/readyz").catch(() => undefined);
    if (up?.status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A minimal watch: a socket, and its frames as text. */
export class FrameSocket {
  readonly #socket: Socket;
  #rest = "";

  constructor({ url, token }: Server, path: string) {
    const { hostname, port, host } = new URL(url);
    this.#socket = connect(Number(port), hostname);
    this.#socket.write(
      `GET ${path} HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer ${token}\r\naccept: text/event-stream\r\n\r\n`,
    );
  }

  /** Resolves when it is synced. Each delta is passed on then and later. */
  start(onDelta: (frame: string) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.on("error", reject);
      this.#socket.on("data", (chunk: Buffer) => {
        const text = this.#rest + chunk.toString("latin1");
        const end = text.lastIndexOf("\n\n");
        if (end < 0) {
          this.#rest = text;
          return;
        }
        this.#rest = text.slice(end + 2);
        for (const frame of text.slice(0, end).split("\n\n")) {
          if (frame.includes("event: synced")) resolve();
          if (frame.includes("event: delta")) onDelta(frame);
        }
      });
    });
  }

  end(): void {
    this.#socket.destroy();
  }
}
