/** Clients of TLS listeners that show what certificate they like, ask for any host, and resume sessions. */
import { createHash, X509Certificate } from "node:crypto";
import { connect as http2Connect } from "node:http2";
import { connect as tlsConnect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { parseAnswer, type RawAnswer } from "./kit.ts";

export interface TlsAnswer extends RawAnswer {
  /** The reason for a missing answer. */
  readonly error: string | undefined;
  readonly reused: boolean;
  /** Of the server's certificate, SHA-256. */
  readonly certificate: string | undefined;
  readonly session: Buffer | undefined;
}

/** One request of HTTP/1.1 over a TLS connection of its own. */
export function askTls(
  port: number,
  options: ConnectionOptions & { host?: string; path?: string; headers?: readonly string[] },
): Promise<TlsAnswer> {
  const { host = options.servername ?? "a.example", path = "/", headers = [], ...tls } = options;
  return new Promise((resolve) => {
    let text = "";
    let error: string | undefined;
    let session: Buffer | undefined;
    let seen: { reused: boolean; certificate: string | undefined } = { reused: false, certificate: undefined };
    const socket: TLSSocket = tlsConnect({ rejectUnauthorized: false, ...tls, host: "127.0.0.1", port });
    socket.setTimeout(3_000, () => socket.destroy(new Error("silence")));
    socket.on("session", (one) => (session = one));
    socket.on("secureConnect", () => {
      seen = { reused: socket.isSessionReused(), certificate: fingerprintOf(socket) };
      socket.write(
        [`GET ${path} HTTP/1.1`, `host: ${host}`, "connection: close", ...headers, "", ""].join("\r\n"),
        "latin1",
      );
    });
    socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    socket.on("error", (reason: Error & { code?: string }) => (error = reason.code ?? reason.message));
    socket.on("close", () => resolve({ ...parseAnswer(text), ...seen, session, error }));
  });
}

function fingerprintOf(socket: TLSSocket): string | undefined {
  const { raw } = socket.getPeerCertificate() as { raw?: Buffer };
  return raw && createHash("sha256").update(raw).digest("hex");
}

export function fingerprint(pem: string): string {
  return createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
}

/** Requests of HTTP/2, one after the other over one connection: the status and body of each, or the error. */
export async function askHttp2(
  port: number,
  options: ConnectionOptions & { requests: readonly Record<string, string>[] },
): Promise<readonly (readonly [status: number | string, body: string])[]> {
  const { requests, ...tls } = options;
  const session = http2Connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, ...tls });
  session.on("error", () => {});
  const answers: (readonly [number | string, string])[] = [];
  for (const headers of requests) {
    answers.push(
      await new Promise((resolve) => {
        const stream = session.request({ ":path": "/", ...headers });
        let status = 0;
        let body = "";
        stream.on("response", (answer) => (status = Number(answer[":status"])));
        stream.on("data", (chunk: Buffer) => (body += chunk.toString()));
        stream.on("error", (error: Error & { code?: string }) => resolve([error.code ?? error.message, body]));
        stream.on("close", () => resolve([status, body]));
      }),
    );
  }
  session.destroy();
  return answers;
}
