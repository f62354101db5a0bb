/**
 * Answers that come before the request is whole: the gateway's own and those of services, on every protocol. Each of
 * them reaches its client, even a client that writes everything before it reads, and harms no other request.
 */
import { Agent, request as httpRequest } from "node:http";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { authority } from "./certificates.ts";
import { frame } from "./frames.ts";
import { instance, oneRoute, parseAnswer, runGateway, upstream } from "./kit.ts";
import { block, END_HEADERS, END_STREAM, frameService, goaway, HEADERS, http2Client, rst } from "./wire-kit.ts";

const MIB = 1024 * 1024;
const UPLOAD_BYTES = 20 * MIB;

/** Writes all of it, and reads only then, as many clients do. */
function writeThenRead(
  socket: Socket,
  head: string,
  bytes: number,
  chunked: boolean,
): Promise<{ text: string; error: string }> {
  return new Promise((resolve) => {
    let text = "";
    let error = "";
    const piece = Buffer.alloc(64 * 1024, "x");
    const framed = chunked ? Buffer.concat([Buffer.from("10000\r\n"), piece, Buffer.from("\r\n")]) : piece;
    socket.pause();
    socket.on("error", (failure: Error & { code?: string }) => (error = failure.code ?? failure.message));
    socket.on("close", () => resolve({ text, error }));
    socket.write(head);
    let sent = 0;
    const more = () => {
      while (sent < bytes) {
        sent += piece.length;
        if (!socket.write(framed)) {
          socket.once("drain", more);
          return;
        }
      }
      if (chunked) socket.write("0\r\n\r\n");
      socket.on("data", (data) => (text += data.toString("latin1")));
      socket.on("end", () => socket.end());
      socket.resume();
    };
    more();
  });
}

const upload = (path: string, bytes: number, chunked: boolean, extra = "") =>
  `POST ${path} HTTP/1.1\r\nhost: a\r\n${extra}${chunked ? "transfer-encoding: chunked" : `content-length: ${bytes}`}\r\n\r\n`;

const CONFIG = {
  jwt: [
    {
      name: "idp",
      issuer: "https://i.example",
      audience: ["a"],
      algorithms: ["ES256"],
      jwks: { url: "http://127.0.0.1:1/" },
    },
  ],
  routes: [
    { name: "small", match: { path: { prefix: "/small" } }, service: "orders", bodyBytesMax: 1_000 },
    {
      name: "limited",
      match: { path: { prefix: "/limited" } },
      service: "orders",
      bodyBytesMax: 1e9,
      rateLimit: { requests: 1, perSeconds: 3600, by: "ip" },
    },
    { name: "gone", match: { path: { prefix: "/gone" } }, service: "gone", bodyBytesMax: 1e9 },
    {
      name: "closed",
      match: { path: { prefix: "/closed" } },
      service: "orders",
      bodyBytesMax: 1e9,
      jwt: { provider: "idp" },
    },
    { name: "open", match: { path: { prefix: "/open" } }, service: "orders" },
  ],
};

const OWN: [path: string, status: number][] = [
  ["/small", 413],
  ["/nowhere", 404],
  ["/limited", 429],
  ["/gone", 503],
  ["/closed", 401],
];

test("the gateway's own answer to a large upload reaches a client that reads last, and a pool's next request", async () => {
  const trusted = await authority();
  const tls = await trusted.issue(["127.0.0.1"]);
  await using service = await upstream();
  await using running = await runGateway(CONFIG, [instance(service.port)], { tls });
  expect((await fetch(`${running.url}/limited`)).status).toBe(200);
  const { httpPort, httpsPort = 0 } = running.ports;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (const [path, status] of OWN) {
    for (const chunked of [false, true]) {
      const sockets = [
        connect(httpPort, "127.0.0.1"),
        tlsConnect({ host: "127.0.0.1", port: httpsPort, ca: trusted.pem }),
      ];
      for (const [at, socket] of sockets.entries()) {
        const { text, error } = await writeThenRead(socket, upload(path, UPLOAD_BYTES, chunked), UPLOAD_BYTES, chunked);
        const told = `${path}, ${chunked ? "chunked" : "of a length"}, ${at === 0 ? "in the clear" : "over TLS"}`;
        const { status: got, headers } = parseAnswer(text);
        expect([told, got, headers["connection"], error]).toEqual([told, status, "close", ""]);
      }
      // The pool's next request does not meet a closing connection.
      const pooled = await pooledUpload(agent, httpPort, path, chunked);
      expect([path, pooled]).toEqual([path, status]);
      expect(await pooledGet(agent, httpPort, "/open")).toBe(200);
    }
    await using client = await http2Client(httpPort);
    const got = await client.ask({ ":method": "POST", ":path": path }, Buffer.alloc(8 * MIB));
    expect([path, got.status, got.ending]).toEqual([path, status, "whole"]);
    // It ended its stream by itself.
    expect(client.frames.some(({ type }) => type === 3)).toBe(false);
    expect((await client.ask({ ":path": "/open" })).status).toBe(200);
  }
  agent.destroy();
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
}, 60_000);

function pooledUpload(agent: Agent, port: number, path: string, chunked: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = chunked ? {} : { "content-length": UPLOAD_BYTES };
    const call = httpRequest({ agent, port, host: "127.0.0.1", path, method: "POST", headers }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.statusCode ?? 0));
    });
    call.on("error", reject);
    call.end(Buffer.alloc(UPLOAD_BYTES));
  });
}

function pooledGet(agent: Agent, port: number, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = httpRequest({ agent, port, host: "127.0.0.1", path }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.statusCode ?? 0));
    });
    call.on("error", reject);
    call.end();
  });
}

test("behind a refused body that is short the connection is kept", async () => {
  await using service = await upstream();
  await using running = await runGateway(CONFIG, [instance(service.port)]);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const sockets = new Set<unknown>();
  agent.on("free", (socket: Socket) => sockets.add(socket.localPort));
  for (let i = 0; i < 5; i++) {
    const response = await new Promise<number>((resolve, reject) => {
      const options = { agent, port: running.ports.httpPort, host: "127.0.0.1", path: "/small", method: "POST" };
      const call = httpRequest({ ...options, headers: { "content-length": 20_000 } }, (answer) => {
        answer.resume();
        answer.on("end", () => resolve(answer.statusCode ?? 0));
      });
      call.on("error", reject);
      call.end(Buffer.alloc(20_000));
    });
    expect(response).toBe(413);
    expect(await pooledGet(agent, running.ports.httpPort, "/open")).toBe(200);
  }
  expect(sockets.size).toBe(1);
  agent.destroy();
});

test.for([
  ["a head that is too large", `GET /open HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(400_000)}\r\n\r\n`, 431],
  ["a request that is not HTTP", `${"nonsense ".repeat(100_000)}\r\n\r\n`, 400],
  ["an invalid chunk", `${upload("/open", 0, true)}zz\r\n${"x".repeat(1_000_000)}`, 400],
  ["CONNECT", `CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n${"x".repeat(1_000_000)}`, 405],
  [
    "a handshake that no route takes",
    `GET /nowhere HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n${"x".repeat(60_000)}`,
    404,
  ],
  [
    "a handshake with a body",
    `GET /nowhere HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\ncontent-length: 400000\r\n\r\n${"x".repeat(400_000)}`,
    404,
  ],
  ["HTTP/0.9", `GET /open HTTP/0.9\r\nhost: a\r\n\r\n${"x".repeat(400_000)}`, 400],
  ["HTTP/2.0 without its frames", "GET /open HTTP/2.0\r\nhost: a\r\n\r\n", 400],
  ["no version", "GET /open\r\nhost: a\r\n\r\n", 400],
] as const)("%s is refused so that the client gets to read it", async ([, bytes, status]) => {
  await using service = await upstream();
  await using running = await runGateway(CONFIG, [instance(service.port)]);
  const socket = connect(running.ports.httpPort, "127.0.0.1");
  const { text, error } = await writeThenRead(socket, bytes, 0, false);
  expect([parseAnswer(text).status, parseAnswer(text).headers["connection"], error]).toEqual([status, "close", ""]);
  expect(service.requests).toHaveLength(0);
});

test("a client that goes on sending and never closes is cut within the limits of a lingering close", async () => {
  await using running = await runGateway(CONFIG, []);
  const socket = connect(running.ports.httpPort, "127.0.0.1");
  let text = "";
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => {});
  socket.on("data", (data) => (text += data.toString("latin1")));
  // It sends half of what it announced, and nothing more.
  socket.write(`${upload("/nowhere", 1_000_000, false)}${"x".repeat(500_000)}`);
  await eventually("it is answered", () => parseAnswer(text).status === 404);
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
  await closed;
}, 30_000);

/** Answers as soon as it has a head, and closes with all that the client still sends. */
async function hastyService(answer: string) {
  const sockets = new Set<Socket>();
  let uploads = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", (data) => {
      if (data.toString("latin1").startsWith("GET"))
        return socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      uploads += 1;
      socket.pause();
      return socket.write(answer, () => socket.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    uploads: () => uploads,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

test("a service's early answer reaches every client, and does not count against the service", async () => {
  const answer = "HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 9\r\n\r\ntoo large";
  await using service = await hastyService(answer);
  const over = { bodyBytesMax: 1e9, retry: { attempts: 0 } };
  await using running = await runGateway(oneRoute(over), [instance(service.port)]);
  await using client = await http2Client(running.ports.httpPort);
  for (let i = 0; i < 15; i++) {
    const socket = connect(running.ports.httpPort, "127.0.0.1");
    const head = upload("/", UPLOAD_BYTES, i % 2 === 0);
    const { text, error } = await writeThenRead(socket, head, UPLOAD_BYTES, i % 2 === 0);
    expect([i, parseAnswer(text).status, parseAnswer(text).body, error]).toEqual([i, 413, "too large", ""]);
    const got = await client.ask({ ":method": "POST", ":path": "/" }, Buffer.alloc(2 * MIB));
    expect([i, got.status, got.body.toString()]).toEqual([i, 413, "too large"]);
  }
  expect(service.uploads()).toBe(30);
  expect((await fetch(running.url)).status).toBe(200);
  expect((await running.host.metrics.expose()).text).toContain("posthouse_gateway_ejections_total 0");
}, 60_000);

test("a connection that breaks while a body is written does not count against the service", async () => {
  await using service = await hastyService("");
  const over = { bodyBytesMax: 1e9, retry: { attempts: 0 } };
  await using running = await runGateway(oneRoute(over), [instance(service.port)]);
  for (let i = 0; i < 8; i++) {
    const socket = connect(running.ports.httpPort, "127.0.0.1");
    const { text } = await writeThenRead(socket, upload("/", UPLOAD_BYTES, false), UPLOAD_BYTES, false);
    expect([i, parseAnswer(text).status]).toEqual([i, 502]);
  }
  expect((await fetch(running.url)).status).toBe(200);
  expect((await running.host.metrics.expose()).text).toContain("posthouse_gateway_ejections_total 0");
}, 60_000);

test.for([
  ["nothing more", () => []],
  ["a reset without an error", (stream: number) => [rst(stream, 0)]],
  ["GOAWAY and the end of its connection", (stream: number) => [goaway(stream, 0)]],
] as [string, (stream: number) => Buffer[]][])(
  "an early answer over HTTP/2 with %s behind it reaches its client",
  async ([name, behind]) => {
    await using service = await frameService(({ socket, stream }) => {
      const head: [string, string][] = [
        [":status", "413"],
        ["content-length", "9"],
      ];
      const frames = [
        frame(HEADERS, END_HEADERS, stream, block(head)),
        frame(0, END_STREAM, stream, Buffer.from("too large")),
      ];
      socket.write(Buffer.concat([...frames, ...behind(stream)]));
      if (name.startsWith("GOAWAY")) socket.end();
    });
    const route = { service: undefined, cluster: "c", bodyBytesMax: 1e9, retry: { attempts: 0 } };
    await using running = await runGateway(
      oneRoute(route, { clusters: [{ name: "c", service: "orders", protocol: "h2c" }] }),
      [instance(service.port)],
    );
    await using client = await http2Client(running.ports.httpPort);
    for (let i = 0; i < 8; i++) {
      const socket = connect(running.ports.httpPort, "127.0.0.1");
      const { text, error } = await writeThenRead(
        socket,
        upload("/", UPLOAD_BYTES, i % 2 === 0),
        UPLOAD_BYTES,
        i % 2 === 0,
      );
      expect([i, parseAnswer(text).status, parseAnswer(text).body, error]).toEqual([i, 413, "too large", ""]);
      const got = await client.ask({ ":method": "POST", ":path": "/" }, Buffer.alloc(2 * MIB));
      expect([i, got.status, got.body.toString()]).toEqual([i, 413, "too large"]);
    }
    expect((await running.host.metrics.expose()).text).toContain("posthouse_gateway_ejections_total 0");
  },
);
