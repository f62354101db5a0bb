/** Two sidecars and real TLS between them: bytes, certificates, rules, and the ends of connections. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttpServer, request, type IncomingMessage } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { connect, type AddressInfo, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { stat } from "node:fs/promises";
import { connect as tlsConnect } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import { eventually, freePort, tempFolder } from "#test/kit";
import {
  callerOf,
  exchange,
  ingressOf,
  instanceAt,
  meshAuthority,
  spiffeOf,
  tcpService,
  TestMesh,
  testIdentity,
  type MeshAuthority,
} from "./mesh-kit.ts";

let authority: MeshAuthority;
beforeAll(async () => {
  authority = await meshAuthority();
});

/** `orders` calls `stock`, each behind a sidecar of its own. */
async function pair(handler?: (socket: Socket) => void, protocol = "tcp") {
  await using stack = new AsyncDisposableStack();
  const mesh = new TestMesh(authority);
  const service = stack.use(await tcpService(handler));
  const callee = stack.use(await mesh.sidecar([ingressOf("stock", service.port, protocol)]));
  const ingressPort = await callee.ingressPort("stock-1");
  mesh.setInstances("stock", [instanceAt("stock", "stock-1", ingressPort)]);
  const caller = stack.use(await mesh.sidecar([callerOf("orders", "stock")]));
  const port = await caller.upstreamPort();
  const owned = stack.move();
  return { mesh, service, callee, caller, ingressPort, port, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** The same for a server that listens already, which ends with it. */
async function meshFor(server: Server, protocol: string) {
  await using stack = new AsyncDisposableStack();
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  stack.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const mesh = new TestMesh(authority);
  const { port: localPort } = server.address() as AddressInfo;
  const callee = stack.use(await mesh.sidecar([ingressOf("stock", localPort, protocol)]));
  mesh.setInstances("stock", [instanceAt("stock", "stock-1", await callee.ingressPort("stock-1"))]);
  const caller = stack.use(await mesh.sidecar([callerOf("orders", "stock")]));
  const port = await caller.upstreamPort();
  const owned = stack.move();
  return { port, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test("10 MB arrive byte for byte, in both directions, with the end after the last one", async () => {
  await using mesh = await pair();
  const bytes = randomBytes(10 * 1024 * 1024);
  const { received, failed } = await exchange(mesh.port, bytes);
  expect(failed).toBe(false);
  expect(received.equals(bytes)).toBe(true);
  expect(await mesh.callee.metrics()).toContain(
    `posthouse_sidecar_bytes_total{service="stock",direction="received"} ${bytes.length}`,
  );
  expect(await mesh.caller.metrics()).toContain(
    'posthouse_sidecar_egress_connections_total{service="orders",upstream="stock",outcome="admitted"} 1',
  );
});

test("a side that ended may still read for as long as it likes", async () => {
  await using mesh = await pair((socket) => {
    let text = "";
    socket.on("data", (chunk) => (text += String(chunk)));
    socket.on("end", () => setTimeout(() => socket.end(`late answer to ${text}`), 100));
  });
  const { received } = await exchange(mesh.port, "hello");
  expect(String(received)).toBe("late answer to hello");
});

test("a service that speaks first is heard before its caller says a word", async () => {
  await using mesh = await pair((socket) => socket.write("220 ready\r\n"));
  const socket = connect(mesh.port, "127.0.0.1");
  const [greeting] = (await once(socket, "data")) as [Buffer];
  expect(String(greeting)).toBe("220 ready\r\n");
  socket.destroy();
});

test("a cut stream never looks complete", async () => {
  await using mesh = await pair((socket) => {
    socket.write("half");
    socket.once("data", () => socket.resetAndDestroy());
  });
  const socket = connect(mesh.port, "127.0.0.1");
  let ended = false;
  socket.on("end", () => (ended = true));
  const failure = new Promise<Error>((resolve) => void socket.once("error", resolve));
  await once(socket, "data");
  socket.write("go");
  expect(((await failure) as { code?: string }).code).toBe("ECONNRESET");
  expect(ended).toBe(false);
});

test("a caller that is cut cuts its connection to the service", async () => {
  const ends: string[] = [];
  await using mesh = await pair((socket) => {
    socket.on("end", () => ends.push("end"));
    socket.on("error", (error) => ends.push((error as { code?: string }).code ?? ""));
    socket.on("data", () => socket.write("here"));
  });
  const socket = connect(mesh.port, "127.0.0.1");
  socket.write("hello");
  await once(socket, "data");
  socket.resetAndDestroy();
  await eventually("the service's connection ends", () => mesh.service.sockets.size === 0);
  expect(ends).toEqual(["ECONNRESET"]);
});

test("a reader that stops reading stops its writer, within bounded memory", async () => {
  let written = 0;
  await using mesh = await pair((socket) => {
    const chunk = Buffer.alloc(65_536);
    const fill = () => {
      while (written < 256 * 1024 * 1024 && socket.write(chunk)) written += chunk.length;
    };
    socket.on("drain", fill);
    fill();
  });
  const socket = connect(mesh.port, "127.0.0.1");
  socket.pause();
  // The writer stops long before it has written everything: once for a while nothing more fits.
  let before = -1;
  await eventually("the writer stops", async () => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    const stopped = written > 0 && written === before;
    before = written;
    return stopped;
  });
  expect(written).toBeLessThan(64 * 1024 * 1024);
  socket.destroy();
});

test("HTTP/1.1 with keep-alive passes unparsed", async () => {
  const server = createHttpServer(
    (incoming, response) => void incoming.pipe(response.writeHead(200, { "x-path": incoming.url })),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  await using mesh = await meshFor(server, "http");
  for (const path of ["/a", "/b"]) {
    const sent = request({ port: mesh.port, host: "127.0.0.1", path, method: "POST" });
    sent.end("body");
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    expect(response.headers["x-path"]).toBe(path);
    response.resume();
    await once(response, "end");
  }
});

test("a WebSocket stays open, and its frames pass in both directions", async () => {
  const server = createHttpServer();
  server.on("upgrade", (_request, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
    socket.on("error", () => {}).pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  await using mesh = await meshFor(server, "http");
  const sent = request({
    port: mesh.port,
    host: "127.0.0.1",
    headers: { connection: "upgrade", upgrade: "websocket" },
  });
  sent.end();
  const [, socket] = (await once(sent, "upgrade")) as [unknown, Socket];
  for (const frame of ["one", "two"]) {
    socket.write(frame);
    expect(String((await once(socket, "data"))[0])).toBe(frame);
  }
  socket.destroy();
});

test("HTTP/2 streams with trailers, as gRPC has them, pass unparsed", async () => {
  const server = createHttp2Server();
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.pipe(stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  await using mesh = await meshFor(server, "grpc");
  const session = connectHttp2(`http://127.0.0.1:${mesh.port}`);
  const streams = Array.from({ length: 3 }, async (_, i) => {
    const stream = session.request({ ":method": "POST", ":path": "/echo" });
    const trailers = once(stream, "trailers");
    let text = "";
    stream.on("data", (chunk) => (text += String(chunk)));
    stream.write(`first ${i}, `);
    stream.end("last");
    const [fields] = (await trailers) as [Record<string, string>];
    return `${text} ${fields["grpc-status"]}`;
  });
  expect(await Promise.all(streams)).toEqual([0, 1, 2].map((i) => `first ${i}, last 0`));
  session.destroy();
});

test("a Unix socket of an upstream can be opened by its owner alone", async () => {
  await using folder = await tempFolder();
  await using mesh = await pair();
  const path = join(folder.path, "stock.sock");
  mesh.caller.sidecar.define([
    { ...callerOf("orders"), upstreams: [{ namespace: "shop", service: "stock", at: { socket: path, mode: 0o600 } }] },
  ]);
  await eventually("the socket is there", () => stat(path));
  await eventually("its mode is set", async () => ((await stat(path)).mode & 0o777) === 0o600);
  expect(String((await exchange(path, "over a socket")).received)).toBe("over a socket");
});

test("a rule closes a destination, and ends the connections that it no longer allows", async () => {
  await using mesh = await pair();
  const running = connect(mesh.port, "127.0.0.1");
  running.on("error", () => {});
  running.write("x");
  await once(running, "data");
  const ended = new Promise<void>((resolve) => void running.once("close", () => resolve()));
  mesh.mesh.setRules("rules: [web may call stock]");
  await ended;
  expect(String((await exchange(mesh.port, "hello")).received)).toBe("");
  expect(mesh.service.sockets.size).toBe(0);
  const view = mesh.callee.sidecar.view();
  expect(view.denials[0]).toMatchObject({
    caller: spiffeOf("orders"),
    service: "stock",
    explanation: '1 rule is about stock, and none allows orders; to allow it, add "orders may call stock"',
  });
  expect(view.pairs).toMatchObject([{ caller: spiffeOf("orders"), service: "stock", denied: 2, reportOnly: 0 }]);
  expect(mesh.callee.refusals.at(-1)).toMatchObject({ reason: "denied", caller: spiffeOf("orders") });
  // The caller's side says why, too.
  expect(mesh.caller.sidecar.view().upstreams[0]?.problem).toBe("a rule of the destination denies the connection");
  mesh.mesh.setRules("rules: [orders may call stock]");
  expect(String((await exchange(mesh.port, "hello")).received)).toBe("hello");
});

test("report-only lets through and counts", async () => {
  await using mesh = await pair();
  mesh.mesh.setRules("{ reportOnly: true, rules: [web may call stock] }");
  expect(String((await exchange(mesh.port, "hello")).received)).toBe("hello");
  expect(mesh.callee.sidecar.view().pairs).toMatchObject([{ denied: 0, reportOnly: 1 }]);
  expect(await mesh.callee.metrics()).toContain('service="stock",outcome="reported"} 1');
});

test("rules that are not known close an ingress", async () => {
  const mesh = new TestMesh(authority);
  mesh.forgetRules();
  await using service = await tcpService();
  await using callee = await mesh.sidecar([ingressOf("stock", service.port)]);
  mesh.setInstances("stock", [instanceAt("stock", "stock-1", await callee.ingressPort("stock-1"))]);
  await using caller = await mesh.sidecar([callerOf("orders", "stock")]);
  const port = await caller.upstreamPort();
  expect(String((await exchange(port, "hello")).received)).toBe("");
  mesh.setRules(undefined);
  await eventually("the ingress answers", async () => String((await exchange(port, "hello")).received) === "hello");
});

/** A caller with any certificate, straight at the ingress. Returns what it received and whether its handshake succeeded. */
async function knock(
  port: number,
  material: { key: string; certificate: string; bundle: string } | undefined,
  alpn?: string[],
) {
  const socket = tlsConnect({
    port,
    host: "127.0.0.1",
    ...(material ? { key: material.key, cert: material.certificate } : {}),
    rejectUnauthorized: false,
    ...(alpn ? { ALPNProtocols: alpn } : {}),
  });
  let received = "";
  let error: string | undefined;
  socket.on("data", (chunk) => (received += String(chunk)));
  socket.on("error", (cause) => (error = cause.message));
  socket.write("hello");
  const done = new Promise<void>((resolve) => void socket.once("close", () => resolve()));
  await Promise.race([done, eventually("it is answered", () => received.includes("hello"))]);
  const protocol = socket.alpnProtocol;
  socket.destroy();
  await done;
  return { received, error, protocol };
}

const bad: Record<string, () => Promise<{ key: string; certificate: string; bundle: string } | undefined>> = {
  "no-certificate": async () => undefined,
  expired: () => authority.issue(spiffeOf("orders"), { notAfterMs: Date.now() - 60_000 }),
  "not-yet-valid": () =>
    authority.issue(spiffeOf("orders"), { notBeforeMs: Date.now() + 3_600_000, notAfterMs: Date.now() + 7_200_000 }),
  "unknown-issuer": async () => (await meshAuthority("foreign")).issue(spiffeOf("orders")),
  "wrong-name": () => authority.issue("", { names: [{ type: "dns", value: "orders.example" }] }),
};

test.for(Object.keys(bad))("a caller is refused and counted: %s", async (reason) => {
  await using mesh = await pair();
  const { received } = await knock(mesh.ingressPort, await bad[reason]?.());
  expect(received).toBe("");
  expect(mesh.service.sockets.size).toBe(0);
  await eventually("it is counted", () => mesh.callee.refusals.length > 0);
  expect(mesh.callee.refusals).toMatchObject([{ reason, service: "stock", address: "127.0.0.1" }]);
  expect(await mesh.callee.metrics()).toContain(
    `posthouse_sidecar_handshake_failures_total{service="stock",side="ingress",reason="${reason}"} 1`,
  );
});

test("an id of another trust domain, two ids, and a name that looks like an id are refused", async () => {
  await using mesh = await pair();
  const ids = ["spiffe://elsewhere/ns/shop/service/orders"];
  const two = [spiffeOf("orders"), spiffeOf("web")].map((value) => ({ type: "url" as const, value }));
  for (const options of [{}, { names: two }, { names: [{ type: "dns" as const, value: "spiffe" }] }]) {
    const { received } = await knock(mesh.ingressPort, await authority.issue(ids[0] as string, options));
    expect(received).toBe("");
  }
  expect(mesh.callee.refusals.map(({ reason }) => reason)).toEqual(["wrong-name", "wrong-name", "wrong-name"]);
});

test("a self-made certificate with the right name is refused", async () => {
  await using mesh = await pair();
  const own = await meshAuthority("mesh");
  const { received } = await knock(mesh.ingressPort, await own.issue(spiffeOf("orders")));
  expect(received).toBe("");
  expect(mesh.callee.refusals).toMatchObject([{ reason: "unknown-issuer" }]);
});

test("a root that leaves the bundle takes its certificates with it", async () => {
  await using mesh = await pair();
  const orders = await authority.issue(spiffeOf("orders"));
  expect((await knock(mesh.ingressPort, orders)).received).toBe("hello");
  const next = await meshAuthority("next");
  mesh.mesh.identities.get("stock")?.set(await next.issue(spiffeOf("stock"), { bundle: next.bundle }));
  expect((await knock(mesh.ingressPort, orders)).received).toBe("");
  expect(mesh.callee.refusals.at(-1)).toMatchObject({ reason: "unknown-issuer" });
});

test("a caller of another make needs no protocol of ours, and gets the service's own by ALPN", async () => {
  await using mesh = await pair(undefined, "http");
  const orders = await authority.issue(spiffeOf("orders"));
  expect(await knock(mesh.ingressPort, orders)).toMatchObject({ received: "hello", protocol: false });
  expect(await knock(mesh.ingressPort, orders, ["h2", "http/1.1"])).toMatchObject({ protocol: "http/1.1" });
  expect((await knock(mesh.ingressPort, orders, ["h2"])).error).toContain("no application protocol");
});

test("a destination with the certificate of another service is not trusted", async () => {
  await using mesh = await pair();
  mesh.mesh.identities.get("stock")?.set(await authority.issue(spiffeOf("payments")));
  expect(String((await exchange(mesh.port, "secret")).received)).toBe("");
  expect(mesh.service.sockets.size).toBe(0);
  expect(await mesh.caller.metrics()).toContain('side="egress",reason="wrong-name"} 1');
  expect(mesh.caller.sidecar.view().upstreams[0]?.problem).toContain(`${spiffeOf("stock")} is required`);
});

test("an instance without an ingress gets nothing, and the reason names the remedy", async () => {
  await using mesh = await pair();
  mesh.mesh.setInstances("stock", [instanceAt("stock", "stock-1", undefined)]);
  expect(String((await exchange(mesh.port, "secret")).received)).toBe("");
  expect(mesh.caller.sidecar.view().upstreams[0]?.problem).toContain("give the service `sidecar: { ingress: {} }`");
  expect(await mesh.caller.metrics()).toContain('outcome="no-endpoint"} 1');
});

test("an ingress that is gone, one that hangs and one whose service is gone are passed over", async () => {
  await using mesh = await pair();
  const gone = await freePort();
  await using hung = await tcpService(() => {});
  const down = await freePort();
  await using downstairs = await mesh.mesh.sidecar([{ ...ingressOf("stock", down), id: "stock-2" }]);
  const empty = await downstairs.ingressPort("stock-2");
  for (const bad of [gone, hung.port, empty]) {
    mesh.mesh.setInstances("stock", [
      instanceAt("stock", "bad", bad),
      instanceAt("stock", "stock-1", mesh.ingressPort),
    ]);
    // At once, so that the balancing core uses every endpoint.
    const calls = Array.from({ length: 6 }, (_, i) => exchange(mesh.port, `call ${i}`));
    const answers = await Promise.all(calls);
    expect(answers.map(({ received }) => String(received))).toEqual(answers.map((_, i) => `call ${i}`));
  }
  expect(await downstairs.metrics()).toContain('service="stock",outcome="unreachable"}');
});

test("certificates rotate under load, and no byte is lost", async () => {
  await using mesh = await pair();
  let failed = 0;
  let done = 0;
  const bytes = randomBytes(20_000);
  const stop = new AbortController();
  const long = connect({ port: mesh.port, host: "127.0.0.1" });
  long.write("first");
  await once(long, "data");
  const load = Array.from({ length: 4 }, async () => {
    while (!stop.signal.aborted) {
      const { received } = await exchange(mesh.port, bytes);
      if (received.equals(bytes)) done += 1;
      else failed += 1;
    }
  });
  const next = await meshAuthority("next");
  const both = `${authority.bundle}\n${next.bundle}`;
  const replace = async (issuer: MeshAuthority, bundle: string) => {
    for (const service of ["stock", "orders"]) {
      mesh.mesh.identities.get(service)?.set(await issuer.issue(spiffeOf(service), { bundle }));
      const before = done;
      await eventually("calls go on", () => done > before + 8);
    }
  };
  // A new leaf, then a root in two phases: trusted, used, and the old one no longer trusted.
  await replace(authority, authority.bundle);
  await replace(authority, both);
  await replace(next, both);
  await replace(next, next.bundle);
  stop.abort();
  await Promise.all(load);
  expect(failed).toBe(0);
  long.write("still here");
  expect(String((await once(long, "data"))[0])).toBe("still here");
  long.destroy();
});

test("an ingress opens and is registered only with a certificate", async () => {
  const mesh = new TestMesh(authority);
  await using service = await tcpService();
  const identity = testIdentity();
  mesh.identities.set("stock", identity);
  await using callee = await mesh.sidecar([ingressOf("stock", service.port)]);
  expect(callee.sidecar.view().ingresses).toMatchObject([{ port: undefined }]);
  expect(callee.ports.get("stock-1")).toBeUndefined();
  identity.set(await authority.issue(spiffeOf("stock")));
  expect(await callee.ingressPort("stock-1")).toBeGreaterThan(0);
  callee.sidecar.define([]);
  expect(callee.ports.get("stock-1")).toBeUndefined();
});

test("a definition that comes or goes touches no other, and what it leaves drains", async () => {
  const mesh = new TestMesh(authority);
  await using service = await tcpService();
  await using callee = await mesh.sidecar([ingressOf("stock", service.port)], 60_000);
  mesh.setInstances("stock", [instanceAt("stock", "stock-1", await callee.ingressPort("stock-1"))]);
  await using caller = await mesh.sidecar([callerOf("orders", "stock")]);
  const running = connect(await caller.upstreamPort(), "127.0.0.1");
  running.write("a");
  await once(running, "data");
  const port = await callee.ingressPort("stock-1");
  await mesh.identity("web");
  callee.sidecar.define([ingressOf("stock", service.port), callerOf("web", "stock")]);
  expect(callee.sidecar.view().ingresses[0]?.port).toBe(port);
  callee.sidecar.define([]);
  // The listener is closed, and the connection under way goes on.
  await expect(exchange(port, "x")).resolves.toMatchObject({ failed: true });
  running.write("b");
  expect(String((await once(running, "data"))[0])).toBe("b");
  running.end();
  await eventually("it is drained", () => service.sockets.size === 0);
});

test("a port that is in use is tried again", async () => {
  const mesh = new TestMesh(authority);
  const blocker = await tcpService();
  await using caller = await mesh.sidecar([
    {
      ...callerOf("orders"),
      upstreams: [{ namespace: "shop", service: "stock", at: { host: "127.0.0.1", port: blocker.port } }],
    },
  ]);
  await eventually("the problem is shown", () => caller.sidecar.view().upstreams[0]?.problem?.includes("EADDRINUSE"));
  await blocker[Symbol.asyncDispose]();
  await eventually("it listens", () => caller.sidecar.view().upstreams[0]?.port === blocker.port);
});
