/**
 * WebSockets over HTTP/2 (RFC 8441): a stream of a raw client on one side, a real server of HTTP/1.1 on the other. The
 * service switches first, and a 2xx is nothing but that.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { authority } from "./certificates.ts";
import { instance, oneRoute, rawUpstream, runGateway, type Running } from "./kit.ts";
import { echoService, FrameReader, maskedFrame } from "./websocket-kit.ts";

const SWITCHING = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n";

async function session(url: string, options: object = {}): Promise<ClientHttp2Session & Disposable> {
  const one = connect(url, options);
  one.on("error", () => {});
  const [settings] = (await once(one, "remoteSettings")) as [{ enableConnectProtocol?: boolean }];
  expect(settings.enableConnectProtocol).toBe(true);
  return Object.assign(one, { [Symbol.dispose]: () => one.destroy() });
}

interface Asked {
  readonly stream: ClientHttp2Stream;
  readonly headers: Record<string, unknown>;
  /** The body of an answer that refuses the switch, to its end. */
  body(): Promise<string>;
}

async function ask(client: ClientHttp2Session, fields: Record<string, string> = {}): Promise<Asked> {
  const stream = client.request(
    {
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "http",
      ":path": "/chat?room=1",
      ":authority": "app.example",
      "sec-websocket-version": "13",
      ...fields,
    },
    { endStream: false },
  );
  stream.on("error", () => {});
  const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
  return {
    stream,
    headers,
    body: async () => {
      let text = "";
      for await (const chunk of stream) text += String(chunk);
      return text;
    },
  };
}

const nothingLeft = (running: Running) =>
  eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);

test("10,000 messages come back whole and in order, and the exchange counts until the stream closes", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  using client = await session(running.url);
  const { stream, headers } = await ask(client, {
    origin: "https://app.example",
    "sec-websocket-protocol": "chat",
    "sec-websocket-key": "bXkgb3duIGtleSBoZXJlLg==",
    authorization: "x",
  });
  expect(headers).toMatchObject({ ":status": 200, "sec-websocket-protocol": "chat" });
  expect(Object.keys(headers)).not.toEqual(
    expect.arrayContaining([expect.stringMatching(/^(connection|upgrade|sec-websocket-accept)$/)]),
  );
  const [handshake] = service.handshakes;
  expect([handshake?.method, handshake?.url]).toEqual(["GET", "/chat?room=1"]);
  expect(handshake?.headers).toMatchObject({
    origin: "https://app.example",
    authorization: "x",
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-host": "app.example",
    "sec-websocket-version": "13",
    via: "2 posthouse",
  });
  // The gateway's own: two would have answers of which one is not looked at.
  expect(handshake?.headers["sec-websocket-key"]).toMatch(/^[A-Za-z0-9+/]{22}==$/);
  expect(handshake?.headers["sec-websocket-key"]).not.toBe("bXkgb3duIGtleSBoZXJlLg==");
  expect(running.gateway.status().inFlight).toBe(1);
  const reader = new FrameReader();
  let received = 0;
  let wrong = 0;
  stream.on("data", (chunk: Buffer) => {
    for (const text of reader.push(chunk)) if (text !== `message ${received++}`) wrong += 1;
  });
  for (let i = 0; i < 10_000; i++) stream.write(maskedFrame(`message ${i}`));
  await eventually("all came back", () => received === 10_000);
  expect(wrong).toBe(0);
  // A close on both sides, as WebSocket has it.
  stream.write(maskedFrame("", 8));
  await once(stream, "end");
  await nothingLeft(running);
  const { text } = await running.host.metrics.expose();
  expect(text).toContain('posthouse_gateway_requests_total{route="orders",method="GET",status="200"} 1');
  expect(text).not.toContain("refusals_total{");
}, 300_000);

test("one comes in over TLS, beside requests and another on the same connection", async () => {
  const trusted = await authority();
  const tls = await trusted.issue(["127.0.0.1"]);
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port)], { tls });
  using client = await session(`https://127.0.0.1:${running.ports.httpsPort}`, { ca: trusted.pem });
  const both = await Promise.all([ask(client, { ":scheme": "https" }), ask(client, { ":scheme": "https" })]);
  for (const [at, { stream }] of both.entries()) {
    const echoed = once(stream, "data") as Promise<[Buffer]>;
    stream.write(maskedFrame(`sealed ${at}`));
    expect(new FrameReader().push((await echoed)[0])).toEqual([`sealed ${at}`]);
  }
  const plain = client.request({ ":path": "/", ":authority": "app.example", ":scheme": "https" });
  expect(((await once(plain, "response")) as [Record<string, unknown>])[0][":status"]).toBe(200);
  expect(service.handshakes[0]?.headers["x-forwarded-proto"]).toBe("https");
});

test("a handshake is authorized before the gateway dials a service, and refused with the flag of any request", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute({ filters: [{ name: "key-auth" }] }), [instance(service.port)]);
  using client = await session(running.url);
  const asked = await ask(client);
  expect(asked.headers).toMatchObject({ ":status": 401, "x-posthouse-flag": "AU" });
  expect(await asked.body()).toContain("GATEWAY_KEY_MISSING");
  await eventually("the stream is over", () => asked.stream.destroyed);
  expect(service.handshakes).toHaveLength(0);
  await nothingLeft(running);
});

test("a refusal of the service's own is passed on as it is", async () => {
  await using service = await echoService(() => 403);
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  using client = await session(running.url);
  const asked = await ask(client);
  expect(asked.headers).toMatchObject({ ":status": 403, "x-why": "because" });
  expect(asked.headers["x-posthouse-flag"]).toBeUndefined();
  expect(await asked.body()).toBe("nope");
  await eventually("the stream is over", () => asked.stream.destroyed);
  await nothingLeft(running);
});

test.for([
  ["200 in one piece", "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret"],
  ["200 in pieces", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nsecret\r\n"],
  ["204", "HTTP/1.1 204 No Content\r\n\r\n"],
  ["a switch to something else", "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\nsecret"],
  ["a switch without a word on the key", `${SWITCHING}\r\nsecret`],
  ["a switch for another key", `${SWITCHING}sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nsecret`],
])("%s is not a valid switch: 502 UP, and none of its bytes reach the client", async ([what = "", bytes]) => {
  await using service = await rawUpstream(({ socket }) => void socket.write(bytes as string));
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  using client = await session(running.url);
  const asked = await ask(client);
  expect(asked.headers).toMatchObject({ ":status": 502, "x-posthouse-flag": "UP" });
  const body = await asked.body();
  expect(body).toContain("GATEWAY_UPSTREAM_BAD_ANSWER");
  expect(body).not.toContain("secret");
  await nothingLeft(running);
  // A whole answer leaves a connection that is as good as before.
  if (/one piece|204/.test(what)) return;
  await eventually("the service's side is closed", () => service.connections.every(({ socket }) => socket.destroyed));
});

test("a route that answers itself, a service of HTTP/2 only and a dead one open nothing", async () => {
  const cases = [
    [{ service: undefined, respond: { status: 200, body: "hello" } }, {}, 501, "UG"],
    [{}, { protocol: "h2c" }, 501, "UG"],
    [{}, { status: "critical" as const }, 503, "UH"],
  ] as const;
  for (const [over, of, status, flag] of cases) {
    await using running = await runGateway(oneRoute(over), [instance(9, of)]);
    using client = await session(running.url);
    expect((await ask(client)).headers).toMatchObject({ ":status": status, "x-posthouse-flag": flag });
    await nothingLeft(running);
  }
});

test("a CONNECT without a protocol opens nothing, nor does one of another protocol", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  using client = await session(running.url);
  const plain = client.request({ ":method": "CONNECT", ":authority": "127.0.0.1:22" });
  const [refused] = (await once(plain, "response")) as [Record<string, unknown>];
  expect([refused[":status"], refused["x-posthouse-flag"]]).toEqual([405, "NR"]);
  const other = await ask(client, { ":protocol": "connect-udp" });
  expect([other.headers[":status"], other.headers["x-posthouse-flag"]]).toEqual([405, "NR"]);
  expect(service.handshakes).toHaveLength(0);
});

test("a client that resets its stream ends the service's socket, and a service that closes ends the stream", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  using client = await session(running.url);
  const first = await ask(client);
  await eventually("it is open", () => service.sockets.clients.size === 1);
  first.stream.close(constants.NGHTTP2_CANCEL);
  await eventually("the service's side is gone", () => service.sockets.clients.size === 0);
  await nothingLeft(running);
  const second = await ask(client);
  for (const peer of service.sockets.clients) peer.close(1000, "bye");
  // The service waits for the client's own close frame.
  second.stream.write(maskedFrame("", 8));
  expect(await second.body()).toContain("bye");
  await eventually("the stream is over", () => second.stream.destroyed);
  expect(second.stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  const third = await ask(client);
  for (const peer of service.sockets.clients) peer.terminate();
  await once(third.stream, "close");
  await nothingLeft(running);
  // A whole connection that goes takes its sockets with it.
  await ask(client);
  client.destroy();
  await eventually("the service's side is gone", () => service.sockets.clients.size === 0);
  await nothingLeft(running);
});

/** A service that switches, and then does with its socket what the test asks. */
function switching(then: (socket: Socket) => void) {
  return rawUpstream(({ socket, received }, chunk) => {
    if (!received.endsWith("\r\n\r\n") || chunk.startsWith("\0")) return;
    const [, key = ""] = /^sec-websocket-key: (.*)\r$/m.exec(received) ?? [];
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.write(`${SWITCHING}sec-websocket-accept: ${accept}\r\n\r\n`);
    then(socket);
  });
}

const BLOCK = Buffer.alloc(64 * 1024);

/** Writes until it is held back, and says how much that was. */
async function flood(to: Socket | ClientHttp2Stream): Promise<number> {
  let written = 0;
  const more = () => {
    while (written < 256 * 1024 * 1024) {
      written += BLOCK.length;
      if (to.write(BLOCK)) continue;
      to.once("drain", more);
      return;
    }
  };
  more();
  let before = -1;
  await eventually("it is held back", async () => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    const same = written === before;
    before = written;
    return same;
  });
  return written;
}

test("a side that does not read holds the other back, either way", async () => {
  let upstream: Socket | undefined;
  await using service = await switching((socket) => (upstream = socket.pause()));
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  using client = await session(running.url);
  const { stream } = await ask(client);
  stream.pause();
  // Windows and buffers of the system, and not 256 MiB.
  expect(await flood(upstream as Socket)).toBeLessThan(32 * 1024 * 1024);
  expect(await flood(stream)).toBeLessThan(32 * 1024 * 1024);
  stream.close(constants.NGHTTP2_CANCEL);
  await eventually("the service's side is closed", () => upstream?.destroyed === true);
  await nothingLeft(running);
});

test.for([100 * 1024, 16 * 1024 * 1024])(
  "of %i bytes that a service says before it closes a client that reads later misses none",
  async (bytes) => {
    await using service = await switching((socket) => socket.end(Buffer.alloc(bytes)));
    await using running = await runGateway(oneRoute(), [instance(service.port)]);
    using client = await session(running.url);
    const { stream } = await ask(client);
    stream.pause();
    await new Promise((resolve) => setTimeout(resolve, 300));
    let received = 0;
    stream.on("data", (chunk: Buffer) => (received += chunk.length));
    stream.resume();
    await once(stream, "close");
    expect([received, stream.rstCode]).toEqual([bytes, constants.NGHTTP2_NO_ERROR]);
    await nothingLeft(running);
  },
);

test("silence for the route's idle time ends both sides, and a stop waits for open ones and then cuts them", async () => {
  await using service = await echoService();
  const route = oneRoute({ timeouts: { idleMs: 300 } });
  const running = await runGateway(route, [instance(service.port)], { drainMs: 200 });
  using client = await session(running.url);
  const { stream } = await ask(client);
  await once(stream, "close");
  await eventually("the service's side, too", () => service.sockets.clients.size === 0);
  const { text } = await running.host.metrics.expose();
  expect(text).toContain('refusals_total{flag="UT"} 1');
  const other = await ask(client);
  const closed = once(other.stream, "close");
  await running[Symbol.asyncDispose]();
  await closed;
  await eventually("no client is left", () => service.sockets.clients.size === 0);
});
