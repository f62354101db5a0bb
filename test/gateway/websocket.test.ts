/**
 * WebSockets through the gateway, by a real client and a real server: the upstream switches first, or neither side
 * does.
 */
import type { IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { eventually } from "#test/kit";
import { authority } from "./certificates.ts";
import { instance, oneRoute, rawUpstream, runGateway, sendRaw } from "./kit.ts";
import { echoService } from "./websocket-kit.ts";

function open(url: string, options: object = {}): Promise<WebSocket> {
  const peer = new WebSocket(url.replace("http:", "ws:"), ["chat"], options);
  return new Promise((resolve, reject) => {
    peer.once("open", () => resolve(peer));
    peer.once("error", reject);
  });
}

test("10,000 messages come back whole and in order, and the exchange counts until the socket closes", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const peer = await open(`${running.url}/chat?room=1`, {
    origin: "https://app.example",
    headers: { authorization: "x" },
  });
  const [handshake] = service.handshakes;
  expect(handshake?.url).toBe("/chat?room=1");
  expect(handshake?.headers).toMatchObject({
    origin: "https://app.example",
    authorization: "x",
    "x-forwarded-for": "127.0.0.1",
    "sec-websocket-protocol": "chat",
  });
  expect(running.gateway.status().inFlight).toBe(1);
  let received = 0;
  let wrong = 0;
  peer.on("message", (data: Buffer) => {
    if (data.toString() !== `message ${received}`) wrong += 1;
    received += 1;
  });
  for (let i = 0; i < 10_000; i++) peer.send(`message ${i}`);
  await eventually("all came back", () => received === 10_000);
  expect(wrong).toBe(0);
  // A route that changes is for the next handshake.
  running.plane.release({ routes: [] });
  await eventually("the route is gone", async () => (await fetch(running.url)).status === 404);
  peer.send(`message ${received}`);
  await eventually("it still answers", () => received === 10_001);
  peer.close();
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
  expect((await running.host.metrics.expose()).text).toContain(
    'posthouse_gateway_requests_total{route="orders",method="GET",status="101"} 1',
  );
}, 300_000);

test("a WebSocket comes in over TLS, beside HTTP/2 on the same port", async () => {
  const trusted = await authority();
  const tls = await trusted.issue(["127.0.0.1"]);
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port)], { tls });
  const peer = await open(`wss://127.0.0.1:${running.ports.httpsPort}`, { ca: trusted.pem });
  const echoed = new Promise<string>((resolve) => {
    peer.once("message", (data: Buffer) => resolve(data.toString()));
  });
  peer.send("sealed");
  expect(await echoed).toBe("sealed");
  expect(service.handshakes[0]?.headers["x-forwarded-proto"]).toBe("https");
  peer.terminate();
});

test("an upstream that does not switch is passed on as the answer it gave", async () => {
  await using service = await echoService(() => 401);
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const peer = new WebSocket(running.url.replace("http:", "ws:"));
  const answer = await new Promise<IncomingMessage>((resolve) => {
    peer.on("error", () => {});
    peer.on("unexpected-response", (_request, response) => resolve(response));
  });
  expect([answer.statusCode, answer.headers["x-why"]]).toEqual([401, "because"]);
  answer.destroy();
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
});

const HANDSHAKE =
  "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n" +
  "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

test("a switch to something else than was asked for is 502 UP, and no byte of it reaches the client", async () => {
  await using service = await rawUpstream(
    ({ socket }) => void socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\nsecret"),
  );
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const answer = await sendRaw(running.ports.httpPort, HANDSHAKE);
  expect([answer.status, answer.headers["x-posthouse-flag"]]).toEqual([502, "UP"]);
  expect(answer.text).not.toContain("secret");
});

test("a switch without a request for it is not a valid answer", async () => {
  await using service = await rawUpstream(
    ({ socket }) => void socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"),
  );
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  expect((await fetch(running.url)).headers.get("x-posthouse-flag")).toBe("UP");
});

test("no endpoint of a critical service is dialed, and the client receives a problem", async () => {
  await using running = await runGateway(oneRoute(), [instance(9, { status: "critical" })]);
  const answer = await sendRaw(running.ports.httpPort, HANDSHAKE);
  expect([answer.status, answer.headers["x-posthouse-flag"], answer.headers["connection"]]).toEqual([
    503,
    "UH",
    "close",
  ]);
});

test("endpoints that speak HTTP/2 only cannot be switched: 501 UG", async () => {
  await using running = await runGateway(oneRoute(), [instance(9, { protocol: "h2c" })]);
  const answer = await sendRaw(running.ports.httpPort, HANDSHAKE);
  expect([answer.status, answer.headers["x-posthouse-flag"]]).toEqual([501, "UG"]);
});

test("bytes that either side sends together with its handshake are not lost", async () => {
  await using service = await rawUpstream(({ socket, received }, chunk) => {
    if (chunk.includes("\r\n\r\n")) {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello");
    }
    if (received.endsWith("early")) socket.write("-heard");
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const { text } = await sendRaw(running.ports.httpPort, `${HANDSHAKE}early`);
  expect(text).toContain("HTTP/1.1 101");
  expect(text).toContain("hello-heard");
});

test("a tunnel that is silent for the route's idle time is closed on both sides", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute({ timeouts: { idleMs: 150 } }), [instance(service.port)]);
  const peer = await open(running.url);
  let echoed = 0;
  peer.on("message", () => (echoed += 1));
  const talking = setInterval(() => peer.send("x"), 50);
  await eventually("talk goes on beyond it", () => echoed > 6);
  expect(peer.readyState).toBe(WebSocket.OPEN);
  clearInterval(talking);
  await new Promise((resolve) => peer.once("close", resolve));
  await eventually("the service's side, too", () => service.sockets.clients.size === 0);
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
});

test("a client that vanishes ends the upstream's socket, and the other way round", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const first = await open(running.url);
  first.terminate();
  await eventually("the service's side is gone", () => service.sockets.clients.size === 0);
  const second = await open(running.url);
  for (const one of service.sockets.clients) one.terminate();
  await new Promise((resolve) => second.once("close", resolve));
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
});

test("a side that does not read holds the other back, and nothing is kept in between", async () => {
  let written = 0;
  let stalled: Socket | undefined;
  await using service = await rawUpstream(({ socket }, chunk) => {
    if (!chunk.includes("\r\n\r\n")) return;
    socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
    stalled = socket;
    const block = Buffer.alloc(64 * 1024);
    const more = () => {
      while (written < 256 * 1024 * 1024) {
        written += block.length;
        if (!socket.write(block)) {
          socket.once("drain", more);
          return;
        }
      }
    };
    more();
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const client = connect(running.ports.httpPort, "127.0.0.1");
  client.on("error", () => {});
  client.pause();
  client.write(HANDSHAKE);
  let before = -1;
  await eventually("the upstream is held back", async () => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const same = written > 0 && written === before;
    before = written;
    return same;
  });
  // Socket buffers of the system on two connections, and not the 256 MiB.
  expect(written).toBeLessThan(32 * 1024 * 1024);
  client.destroy();
  await eventually("the upstream's side is closed", () => stalled?.destroyed === true);
});

test("a stop waits for open sockets up to its deadline and then cuts them", async () => {
  await using service = await echoService();
  const running = await runGateway(oneRoute(), [instance(service.port)], { drainMs: 300 });
  const peer = await open(running.url);
  const closed = new Promise((resolve) => peer.once("close", resolve));
  const started = performance.now();
  const stopped = running.gateway[Symbol.asyncDispose]();
  peer.send("still here");
  const echoed = await new Promise<string>((resolve) =>
    peer.once("message", (data: Buffer) => resolve(data.toString())),
  );
  expect(echoed).toBe("still here");
  await stopped;
  await closed;
  expect(performance.now() - started).toBeLessThan(30_000);
});
