/**
 * HTTP/2, in and out: on both ports beside HTTP/1.1, refused where it is used as a weapon (rows 10, 11 and 19 of
 * gateway.md §0), and to services that speak it.
 */
import {
  connect as http2Connect,
  createSecureServer,
  createServer,
  constants,
  type ClientHttp2Session,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { connect, type AddressInfo, type Socket } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { authority } from "./certificates.ts";
import { instance, oneRoute, rawUpstream, runGateway, sendRaw, upstream } from "./kit.ts";

interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly trailers: Record<string, unknown>;
  readonly body: string;
}

function call(
  session: ClientHttp2Session,
  headers: Record<string, string | string[]>,
  body?: string | Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === undefined });
    let fields: Record<string, unknown> = {};
    let trailers = {};
    let text = "";
    stream.on("response", (given) => (fields = { ...given }));
    stream.on("trailers", (given) => (trailers = { ...given }));
    stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
    stream.on("error", reject);
    stream.on("close", () =>
      resolve({ status: Number(fields[":status"] ?? 0), headers: fields, trailers, body: text }),
    );
    if (body !== undefined) stream.end(body);
  });
}

function session(url: string, options: object = {}) {
  const opened = http2Connect(url, options);
  opened.on("error", () => {});
  return Object.assign(opened, { [Symbol.dispose]: () => opened.destroy() });
}

test("the plain port takes HTTP/1.1 and HTTP/2 side by side, told apart by their first bytes", async () => {
  await using service = await upstream((request, response, body) => {
    response.setHeader("set-cookie", ["a=1", "b=2"]);
    response.end(`${request.method} ${request.url} ${request.headers.cookie} ${request.headers.via} ${body}`);
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  using opened = session(running.url);
  const answer = await call(
    opened,
    { ":method": "POST", ":path": "/a?b", "x-mine": "1", cookie: ["c=1", "d=2"] },
    "hello",
  );
  expect([answer.status, answer.body]).toEqual([200, "POST /a?b c=1; d=2 2 posthouse hello"]);
  expect(answer.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
  expect(await (await fetch(`${running.url}/x`)).text()).toContain("1.1 posthouse");
  // Byte by byte, as slow as a first byte may come.
  const dripped = await new Promise<string>((resolve) => {
    let text = "";
    const socket = connect(running.ports.httpPort, "127.0.0.1");
    const bytes = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".split("");
    const timer = setInterval(() => {
      const byte = bytes.shift();
      if (byte === undefined) clearInterval(timer);
      else socket.write(byte);
    }, 1);
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.on("close", () => resolve(text));
  });
  expect(dripped).toContain("HTTP/1.1 200");
});

test("a method that only begins like the preface of HTTP/2 is HTTP/1.1", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const answer = await sendRaw(running.ports.httpPort, "PROPFIND / HTTP/1.1\r\nhost: a\r\n\r\n");
  expect(answer.status).toBe(405);
});

test("under TLS both are chosen by ALPN", async () => {
  const trusted = await authority();
  const tls = await trusted.issue(["127.0.0.1"]);
  await using service = await upstream(
    (request, response) => void response.end(String(request.headers["x-forwarded-proto"])),
  );
  await using running = await runGateway(oneRoute(), [instance(service.port)], { tls });
  const port = running.ports.httpsPort as number;
  using opened = session(`https://127.0.0.1:${port}`, { ca: trusted.pem });
  expect(await call(opened, { ":path": "/" })).toMatchObject({ status: 200, body: "https" });
  const chosen = await new Promise((resolve) => {
    const socket = tlsConnect({ host: "127.0.0.1", port, ca: trusted.pem, ALPNProtocols: ["http/1.1"] }, () => {
      resolve(socket.alpnProtocol);
      socket.destroy();
    });
  });
  expect(chosen).toBe("http/1.1");
});

test("a client that says nothing is not waited for beyond the time of a head", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)], { headersMs: 200 });
  const socket = connect(running.ports.httpPort, "127.0.0.1");
  await new Promise((resolve) => socket.once("close", resolve));
  expect(running.gateway.status().inFlight).toBe(0);
});

test.for([
  ["two hosts", { ":authority": "a.example", host: "b.example" }, 400, "DPE"],
  ["a path that could be read twice", { ":path": "/a/%2e%2e/b" }, 400, "DPE"],
  ["a method that is not passed on", { ":method": "TRACE" }, 405, "NR"],
  ["an expectation that nobody knows", { expect: "the-moon" }, 417, "DPE"],
] as const)("%s is refused with a problem and the session goes on", async ([, headers, status, flag]) => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  using opened = session(running.url);
  const answer = await call(opened, { ":path": "/", ...headers });
  expect([answer.status, answer.headers["x-posthouse-flag"]]).toEqual([status, flag]);
  expect(answer.headers["content-type"]).toBe("application/problem+json");
  expect(service.requests).toHaveLength(0);
  expect((await call(opened, { ":path": "/" })).status).toBe(200);
});

test("a body over the limit is 413, with its length said or not, and is not waited for", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute({ bodyBytesMax: 1_000 }), [instance(service.port)]);
  using opened = session(running.url);
  const said = await call(opened, { ":method": "POST", ":path": "/", "content-length": "5000" }, Buffer.alloc(5_000));
  expect([said.status, said.headers["x-posthouse-flag"]]).toEqual([413, "PL"]);
  const unsaid = await call(opened, { ":method": "POST", ":path": "/" }, Buffer.alloc(500_000));
  expect([unsaid.status, unsaid.headers["x-posthouse-flag"]]).toEqual([413, "PL"]);
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
});

/** Frames by hand, for what no client library sends. */
function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const literal = (name: string, value: string) =>
  Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name, "latin1"),
    Buffer.from([value.length]),
    Buffer.from(value, "latin1"),
  ]);
const headBlock = (...extra: [string, string][]) =>
  Buffer.concat(
    (
      [[":method", "GET"], [":scheme", "http"], [":path", "/"], [":authority", "a"], ...extra] as [string, string][]
    ).map(([name, value]) => literal(name, value)),
  );
const PREFACE = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);

async function rawSession(port: number): Promise<{ socket: Socket; received: () => Buffer; closed: () => boolean }> {
  let received = Buffer.alloc(0);
  let closed = false;
  const socket = connect(port, "127.0.0.1");
  socket.on("data", (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
  socket.on("error", () => {});
  socket.on("close", () => (closed = true));
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write(PREFACE);
  return { socket, received: () => received, closed: () => closed };
}

/** Whether a GOAWAY came. */
const wentAway = (bytes: Buffer) => {
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) if (bytes[at + 3] === 7) return true;
  return false;
};

test("row 11: of 20,000 streams opened and reset at once next to none reaches the upstream, and the line is cut", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const raw = await rawSession(running.ports.httpPort);
  const block = headBlock();
  for (let i = 0; i < 20_000 && !raw.closed(); i += 100) {
    const burst: Buffer[] = [];
    for (let j = 0; j < 100; j++) {
      const id = 1 + 2 * (i + j);
      burst.push(frame(1, 0x5, id, block), frame(3, 0, id, Buffer.from([0, 0, 0, 8])));
    }
    raw.socket.write(Buffer.concat(burst));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually("it is cut", () => raw.closed() || wentAway(raw.received()));
  expect(service.requests.length).toBeLessThanOrEqual(100);
  raw.socket.destroy();
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
  expect((await fetch(running.url)).status).toBe(200);
});

test.for([
  ["SETTINGS", () => frame(4, 0, 0)],
  ["PING", () => frame(6, 0, 0, Buffer.alloc(8))],
  ["empty DATA on no stream", () => frame(0, 0, 1)],
  ["RST_STREAM on no stream", () => frame(3, 0, 1, Buffer.alloc(4))],
] as [string, () => Buffer][])("a flood of %s frames ends its own connection at most", async ([, make]) => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const raw = await rawSession(running.ports.httpPort);
  raw.socket.pause();
  const burst = Buffer.concat(Array.from({ length: 2_000 }, make));
  for (let i = 0; i < 20 && !raw.closed(); i++) {
    raw.socket.write(burst);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect((await fetch(running.url)).status).toBe(200);
  raw.socket.destroy();
  expect(service.requests).toHaveLength(1);
});

test("an endless head in CONTINUATION frames is no request and no memory", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const raw = await rawSession(running.ports.httpPort);
  raw.socket.write(frame(1, 0x1, 1, headBlock()));
  const more = frame(9, 0, 1, Buffer.concat(Array.from({ length: 50 }, (_, i) => literal(`x-${i}`, "y".repeat(100)))));
  for (let i = 0; i < 200 && !raw.closed(); i++) {
    raw.socket.write(more);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually("it is cut", () => raw.closed() || wentAway(raw.received()));
  raw.socket.destroy();
  expect(service.requests).toHaveLength(0);
});

test.for([
  ["a transfer coding", [["transfer-encoding", "chunked"]]],
  ["a connection header", [["connection", "close"]]],
  ["a name in capitals", [["X-Bad", "1"]]],
  ["a length that no body follows", [["content-length", "5"]]],
] as const)("row 19: a head with %s is a broken stream and no request", async ([, extra]) => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const raw = await rawSession(running.ports.httpPort);
  raw.socket.write(frame(1, 0x5, 1, headBlock(...(extra as unknown as [string, string][]))));
  await eventually("it is answered by a reset or an end", () => {
    const bytes = raw.received();
    for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
      if (bytes[at + 3] === 3 || bytes[at + 3] === 7) return true;
    }
    return raw.closed();
  });
  raw.socket.destroy();
  expect(service.requests).toHaveLength(0);
});

test("row 10: a name or a value with a line end is dropped on the way in, and no byte of it goes on", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const raw = await rawSession(running.ports.httpPort);
  raw.socket.write(frame(1, 0x5, 1, headBlock(["x-a\r\nx-evil", "1"], ["x-b", "1\r\nx-evil: 2"], ["x-c", "3"])));
  const seen = await eventually("it is through", () => service.requests[0]);
  expect(seen.headers["x-c"]).toBe("3");
  expect(JSON.stringify(seen.rawHeaders)).not.toMatch(/evil|x-a|x-b/);
  raw.socket.destroy();
});

interface Http2Service extends AsyncDisposable {
  readonly port: number;
  readonly server: Http2Server;
  readonly sessions: () => number;
}

async function http2Service(
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  options: { tls?: { key: string; cert: string }; settings?: object } = {},
): Promise<Http2Service> {
  const server = options.tls
    ? (createSecureServer({ ...options.tls, ...options }) as unknown as Http2Server)
    : createServer(options);
  let sessions = 0;
  const open = new Set<ServerHttp2Session>();
  server.on("session", (one) => {
    sessions += 1;
    open.add(one);
    one.on("close", () => open.delete(one));
  });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    onStream(stream as ServerHttp2Stream, headers);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    server,
    port: (server.address() as AddressInfo).port,
    sessions: () => sessions,
    async [Symbol.asyncDispose]() {
      for (const one of open) one.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function answerOk(stream: ServerHttp2Stream): ServerHttp2Stream {
  stream.respond({ ":status": 200 });
  return stream.end("ok");
}

const cluster = (protocol: string, tls?: object) =>
  oneRoute(
    { service: undefined, cluster: "c" },
    { clusters: [{ name: "c", service: "orders", protocol, ...(tls ? { tls } : {}) }] },
  );

test("requests of HTTP/1.1 go out over one h2c connection, bodies and trailers with them", async () => {
  await using service = await http2Service((stream, headers) => {
    const chunks: Buffer[] = [];
    let trailers: object = {};
    stream.on("trailers", (given) => (trailers = { x: given["x-sum"] }));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      stream.respond(
        { ":status": 201, "x-seen": JSON.stringify([headers["host"] ?? null, trailers]) },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-after": "1" }));
      stream.end(Buffer.concat(chunks));
    });
  });
  await using running = await runGateway(cluster("h2c"), [instance(service.port)]);
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, i) =>
      fetch(running.url, { method: "POST", body: `body ${i}` }).then((r) => r.text()),
    ),
  );
  expect(answers).toEqual(Array.from({ length: 50 }, (_, i) => `body ${i}`));
  expect(service.sessions()).toBe(1);
  const chunked = await sendRaw(
    running.ports.httpPort,
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n",
  );
  expect(chunked.status).toBe(201);
  expect(chunked.headers["x-seen"]).toBe('[null,{"x":"6"}]');
  expect(chunked.body).toContain("x-after: 1");
});

test("auto takes what the upstream chooses by ALPN, h2 or HTTP/1.1", async () => {
  const trusted = await authority();
  const tls = await trusted.issue(["127.0.0.1"]);
  await using modern = await http2Service(
    (stream) => {
      stream.respond({ ":status": 200 });
      stream.end("two");
    },
    { tls },
  );
  await using old = await (async () => {
    const { createServer: createHttps } = await import("node:https");
    const server = createHttps(tls, (_request, response) => void response.end("one"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
      port: (server.address() as AddressInfo).port,
      [Symbol.asyncDispose]: () =>
        new Promise<void>((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    };
  })();
  for (const [port, text] of [
    [modern.port, "two"],
    [old.port, "one"],
  ] as const) {
    await using running = await runGateway(cluster("auto", { ca: trusted.pem }), [
      instance(port, { protocol: "https" }),
    ]);
    expect(await (await fetch(running.url)).text()).toBe(text);
    expect(await (await fetch(running.url)).text()).toBe(text);
  }
  // Who asks for h2 and gets something else has the wrong cluster.
  await using running = await runGateway(cluster("h2", { ca: trusted.pem }), [
    instance(old.port, { protocol: "https" }),
  ]);
  expect((await fetch(running.url)).headers.get("x-posthouse-flag")).toBe("UF");
});

test("a stream that the upstream refuses, and one that GOAWAY forestalls, go out again and fail nobody", async () => {
  let refused = 0;
  await using service = await http2Service((stream) => {
    if (refused++ % 2 === 0) {
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    answerOk(stream);
    if (refused % 10 === 0) stream.session?.goaway(constants.NGHTTP2_NO_ERROR);
  });
  await using running = await runGateway(cluster("h2c"), [instance(service.port)]);
  for (let i = 0; i < 40; i++) {
    // Not idempotent, and yet safe: the upstream says that it did nothing.
    const response = await fetch(running.url, { method: "POST" });
    expect([i, response.status]).toEqual([i, 200]);
    await response.text();
  }
});

test("more requests than the upstream takes on one connection go out on more of them", async () => {
  const { promise: gate, resolve: release } = Promise.withResolvers<void>();
  let seen = 0;
  await using service = await http2Service(
    (stream) => {
      seen += 1;
      void gate.then(() => answerOk(stream));
    },
    { settings: { maxConcurrentStreams: 10 } },
  );
  await using running = await runGateway(cluster("h2c"), [instance(service.port)]);
  // The first tells the limit.
  const first = fetch(running.url);
  await eventually("it is there", () => seen === 1);
  const rest = Array.from({ length: 24 }, () => fetch(running.url));
  await eventually("all are there", () => seen === 25);
  release();
  for (const response of await Promise.all([first, ...rest])) expect(response.status).toBe(200);
  expect(service.sessions()).toBeGreaterThanOrEqual(3);
});

test.for([
  ["a reset of its stream", () => frame(3, 0, 1, Buffer.from([0, 0, 0, 2])), "UC"],
  ["a broken rule", () => frame(3, 0, 1, Buffer.from([0, 0, 0, 1])), "UP"],
  ["a lost connection", () => undefined, "UC"],
] as [string, () => Buffer | undefined, string][])(
  "an answer over HTTP/2 that breaks off by %s is cut for the client, too",
  async ([, last, flag]) => {
    await using service = await rawUpstream(({ socket }, _chunk, count) => {
      if (count !== 1) return;
      socket.write(frame(4, 0, 0));
      setTimeout(() => {
        socket.write(Buffer.concat([frame(1, 0x4, 1, Buffer.from([0x88])), frame(0, 0, 1, Buffer.from("some"))]));
        const bytes = last();
        if (bytes) socket.write(bytes);
        else socket.end();
      }, 30);
    });
    await using running = await runGateway(cluster("h2c"), [instance(service.port)]);
    await expect(fetch(`${running.url}/reset`).then((response) => response.text())).rejects.toThrow();
    await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
    expect((await running.host.metrics.expose()).text).toContain(`posthouse_gateway_refusals_total{flag="${flag}"} 1`);
  },
);

test("a client that leaves resets its stream at the upstream and no other", async () => {
  let ended = 0;
  await using service = await http2Service((stream) => {
    stream.on("close", () => (ended += 1));
    stream.respond({ ":status": 200 });
    stream.write("some");
  });
  await using running = await runGateway(cluster("h2c"), [instance(service.port)]);
  const leaving = new AbortController();
  const held = await fetch(running.url, { signal: leaving.signal });
  const other = await fetch(running.url);
  expect([held.status, other.status]).toEqual([200, 200]);
  leaving.abort();
  await eventually("its stream ended", () => ended === 1);
  await eventually("one is in flight", () => running.gateway.status().inFlight === 1);
  expect(service.sessions()).toBe(1);
  await other.body?.cancel();
});

test("a stop says GOAWAY, lets streams under way end, and takes no more", async () => {
  const { promise: gate, resolve: release } = Promise.withResolvers<void>();
  await using service = await upstream((_request, response) => void gate.then(() => response.end("late")));
  const running = await runGateway(oneRoute(), [instance(service.port)]);
  using opened = session(running.url);
  const wentAway = new Promise((resolve) => opened.once("goaway", resolve));
  const held = call(opened, { ":path": "/" });
  await eventually("it is under way", () => service.requests.length === 1);
  const stopped = running.gateway[Symbol.asyncDispose]();
  await wentAway;
  release();
  expect(await held).toMatchObject({ status: 200, body: "late" });
  await stopped;
});
