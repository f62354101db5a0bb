/** TLS of a listener over real sockets: versions, suites, both versions of HTTP, renewal, client certificates, and the limits. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect as connectHttp2, constants, type ClientHttp2Session } from "node:http2";
import { request as httpsRequest } from "node:https";
import { connect, type AddressInfo, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AuditEvent, closeHttpServer, createHttpServer, peerCertificateOf, requireSameOrigin } from "#http";
import { connectionsMax } from "../../kernel/http/connections.ts";
import { authority } from "../gateway/certificates.ts";
import { eventually, ManualClock, testHost, type TestTls, testTls } from "#test/kit";

interface Rig extends AsyncDisposable {
  readonly app: FastifyInstance;
  readonly tls: TestTls;
  readonly port: number;
  readonly host: ReturnType<typeof testHost>;
  readonly refusals: readonly AuditEvent[];
}

interface RigOptions {
  readonly descriptorsMax?: number;
  readonly clock?: ManualClock;
  readonly isPlainOnLoopback?: boolean;
}

async function startRig({ isPlainOnLoopback = false, ...options }: RigOptions = {}): Promise<Rig> {
  const tls = await testTls();
  const host = { ...testHost(), ...options };
  const refusals: AuditEvent[] = [];
  const app = createHttpServer(host, {
    name: "test",
    audit: { record: (event) => void refusals.push(event) },
    tls: { source: tls, requestClientCertificate: true, isPlainOnLoopback },
  });
  app.get("/", (request) => ({
    version: request.raw.httpVersion,
    host: request.headers.host,
    protocol: request.protocol,
    peer: peerCertificateOf(request)?.length ?? 0,
  }));
  app.post("/", (request) => ({ got: request.body }));
  app.get("/own", (request) => {
    requireSameOrigin(request);
    return { ok: true };
  });
  app.get("/held", () => new Promise(() => {}));
  await app.listen({ port: 0, host: "127.0.0.1" });
  const { port } = app.server.address() as AddressInfo;
  return { app, tls, host, port, refusals, [Symbol.asyncDispose]: () => closeHttpServer(host, app) };
}

let rig: Rig;
beforeAll(async () => void (rig = await startRig()));
afterAll(async () => rig[Symbol.asyncDispose]());

/** OpenSSL's own client: what it prints and how it ends. */
function openssl(port: number, ...args: string[]): Promise<{ code: number; text: string }> {
  return new Promise((resolve) => {
    const child = execFile("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...args], (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, text: stdout + stderr }),
    );
    child.stdin?.end();
  });
}

async function openSession({ port, tls }: Rig, more: object = {}): Promise<ClientHttp2Session> {
  const session = connectHttp2(`https://127.0.0.1:${port}`, { ca: tls.authority.pem, ...more });
  session.on("error", () => {});
  await once(session, "connect");
  return session;
}

async function get(session: ClientHttp2Session, headers: Record<string, string> = {}) {
  const stream = session.request({ ":path": "/", ...headers });
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const [head] = (await once(stream, "response")) as [Record<string, unknown>];
  await once(stream, "end");
  return { status: head[":status"], json: JSON.parse(text) as Record<string, unknown> };
}

test("TLS 1.2 and 1.3 only, suites with authenticated encryption only, HTTP/2 by ALPN", async () => {
  const { port } = rig;
  const good = await openssl(port, "-tls1_3", "-alpn", "h2,http/1.1");
  expect(good.text).toMatch(/TLSv1\.3, Cipher is TLS_AES_256_GCM_SHA384/);
  expect(good.text).toContain("ALPN protocol: h2");
  const older = await openssl(port, "-tls1_2", "-alpn", "http/1.1");
  expect(older.text).toMatch(/TLSv1\.2, Cipher is ECDHE-ECDSA-AES\d+-GCM/);
  expect(older.text).toContain("ALPN protocol: http/1.1");
  for (const args of [
    ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
    ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"],
    ["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
  ]) {
    const refused = await openssl(port, ...args);
    expect([args, refused.code]).toEqual([args, 1]);
  }
});

test("the chain ends with its root, so that a client can compare its fingerprint, and no session is resumed", async () => {
  const { text } = await openssl(rig.port, "-tls1_2", "-showcerts");
  expect(text.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
  expect(text).not.toContain("TLS session ticket");
});

test("both versions of HTTP are served, with the host by which the client called", async () => {
  const { port, tls } = rig;
  const session = await openSession(rig);
  expect((await get(session)).json).toEqual({
    version: "2.0",
    host: `127.0.0.1:${port}`,
    protocol: "https",
    peer: 0,
  });
  const own = { ":path": "/own", origin: `https://127.0.0.1:${port}` };
  expect((await get(session, own)).status).toBe(200);
  expect((await get(session, { ":path": "/own", origin: "https://other.example" })).status).toBe(403);
  session.close();
  const request = httpsRequest({ port, host: "127.0.0.1", ca: tls.authority.pem });
  const [answer] = (await once(request.end(), "response")) as [AsyncIterable<Buffer>];
  let text = "";
  for await (const chunk of answer) text += chunk.toString();
  expect(JSON.parse(text)).toMatchObject({ version: "1.1", host: `127.0.0.1:${port}` });
});

test("a client certificate reaches the handler over both versions, from any issuer", async () => {
  const other = await testTls(["spiffe://x/agent/a"], { notAfter: new Date(Date.now() - 1000) });
  const { key, certificate: cert } = other.current;
  const session = await openSession(rig, { key, cert });
  expect((await get(session)).json["peer"]).toBeGreaterThan(200);
  expect((await get(session)).json["peer"]).toBeGreaterThan(200);
  session.close();
  const request = httpsRequest({ port: rig.port, host: "127.0.0.1", ca: rig.tls.authority.pem, key, cert });
  const [answer] = (await once(request.end(), "response")) as [AsyncIterable<Buffer>];
  let text = "";
  for await (const chunk of answer) text += chunk.toString();
  expect((JSON.parse(text) as { peer: number }).peer).toBeGreaterThan(200);
});

test("a renewed certificate serves new connections and ends none", async () => {
  const before = await openSession(rig);
  const serialOf = async () => {
    const socket = connectTls({ port: rig.port, host: "127.0.0.1", ca: rig.tls.authority.pem });
    await once(socket, "secureConnect");
    const fingerprint = socket.getPeerX509Certificate()?.fingerprint256;
    socket.destroy();
    return fingerprint;
  };
  const first = await serialOf();
  await rig.tls.renew();
  expect(await serialOf()).not.toBe(first);
  expect((await get(before)).status).toBe(200);
  before.close();
});

test("plain HTTP is answered with the way out, and other bytes are cut", async () => {
  const talk = async (text: string) => {
    const socket = connect(rig.port, "127.0.0.1");
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString())).on("error", () => {});
    socket.write(text);
    await once(socket, "close");
    return answer;
  };
  expect(await talk("GET / HTTP/1.1\r\nhost: x\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 [\s\S]*HTTP_TLS_ONLY[\s\S]*https:/);
  expect(await talk("\x16\x03\x01\x00\x05hello")).not.toContain("HTTP/1.1 200");
});

test("a program of this machine may use plain HTTP on the same port, where that is allowed", async () => {
  await using local = await startRig({ isPlainOnLoopback: true });
  const answer = await fetch(`http://127.0.0.1:${local.port}/`);
  expect(await answer.json()).toMatchObject({ version: "1.1", protocol: "http", peer: 0 });
  const session = await openSession(local);
  expect((await get(session)).status).toBe(200);
  session.close();
});

test("a client that sends nothing is cut, and so is a request whose body does not arrive", async () => {
  const clock = new ManualClock(Date.now());
  await using slow = await startRig({ clock });
  const silent = connect(slow.port, "127.0.0.1").on("error", () => {});
  await once(silent, "connect");
  const session = await openSession(slow);
  const stream = session.request({ ":path": "/", ":method": "POST", "content-type": "application/json" });
  stream.on("error", () => {});
  stream.write("{");
  const closed = [once(silent.resume(), "close"), once(stream, "close")];
  await eventually("both wait", () => clock.pendingTimers >= 2);
  void clock.advance(10_001);
  await closed[0];
  void clock.advance(20_000);
  await closed[1];
  expect((await get(session)).status).toBe(200);
  session.close();
});

test("heads above the limit and streams above the limit are refused, and the connection goes on", async () => {
  const session = await openSession(rig);
  const large = { "x-large": "a".repeat(20_000) };
  // Before the client knows the limit, and afterwards.
  expect(await get(session, large)).toMatchObject({ status: 431, json: { code: "HTTP_HEADERS_TOO_LARGE" } });
  expect((await get(session)).status).toBe(200);
  await expect(get(session, large)).rejects.toMatchObject({ code: "ERR_HTTP2_STREAM_ERROR" });
  expect((await get(session)).status).toBe(200);
  expect(session.remoteSettings.maxConcurrentStreams).toBe(2_000);
  session.close();
});

test("rapid resets end the connection", async () => {
  const session = await openSession(rig);
  for (let round = 0; round < 60 && !session.destroyed; round++) {
    for (let index = 0; index < 100 && !session.destroyed; index++) {
      const stream = session.request({ ":path": "/held" });
      stream.on("error", () => {});
      stream.close(constants.NGHTTP2_CANCEL);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually("the connection has ended", () => session.destroyed);
});

test("at the limit an idle connection is closed, and one with a stream under way stays", async () => {
  await using small = await startRig({ descriptorsMax: 0 });
  const max = connectionsMax("test", 0);
  const busy = await openSession(small);
  const held = busy.request({ ":path": "/held" });
  held.on("error", () => {});
  const idle: Socket[] = [];
  for (let index = 0; index < max - 1; index++) {
    const socket = connectTls({ port: small.port, host: "127.0.0.1", ca: small.tls.authority.pem });
    socket.on("error", () => {});
    await once(socket, "secureConnect");
    idle.push(socket.resume());
  }
  const later = await openSession(small);
  await eventually("an idle one is closed", () => idle.filter(({ destroyed }) => destroyed).length === 1);
  expect(idle[0]?.destroyed).toBe(true);
  expect((await get(later)).status).toBe(200);
  expect(busy.destroyed).toBe(false);
  busy.destroy();
  later.destroy();
  for (const socket of idle) socket.destroy();
});

test("refused handshakes and client certificates with a false signature are counted, and go to the audit with their address", async () => {
  await using one = await startRig();
  const refused = (code: string) => one.refusals.filter((event) => event.code === code);
  await openssl(one.port, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0");
  await eventually("the handshake is refused", () => refused("TLS_HANDSHAKE_FAILED").length === 1);
  const { key, cert } = await (await authority(one.tls.authority.name)).issue(["spiffe://posthouse/agent/web-1"]);
  const session = connectHttp2(`https://127.0.0.1:${one.port}`, { ca: one.tls.authority.pem, key, cert });
  session.on("error", () => {});
  await once(session, "close");
  await eventually("the certificate is refused", () => refused("TLS_CERTIFICATE_FALSE_SIGNATURE").length === 1);
  expect(one.refusals).toMatchObject(
    one.refusals.map(() => ({ kind: "denied", route: "tls", status: 401, address: "127.0.0.1" })),
  );
  expect((await one.host.metrics.expose()).text).toContain('posthouse_tls_handshakes_failed_total{server="test"} 2');
});
