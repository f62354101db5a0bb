/**
 * HTTP/2 in: on both ports beside HTTP/1.1, and refused where it is used as a weapon (rows 10, 11 and 19 of gateway.md
 * §0).
 */
import { connect as http2Connect, type ClientHttp2Session } from "node:http2";
import { connect, type Socket } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { authority } from "./certificates.ts";
import { frame } from "./frames.ts";
import { instance, oneRoute, runGateway, sendRaw, upstream } from "./kit.ts";

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

test("the plain port accepts HTTP/1.1 and HTTP/2 side by side, distinguished by their first bytes", async () => {
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
  ["an unknown expectation", { expect: "the-moon" }, 417, "DPE"],
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

test("a client that has its streams reset by breaking their rules is cut, and costs the upstream next to nothing", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const raw = await rawSession(running.ports.httpPort);
  for (let i = 0; i < 5_000 && !raw.closed(); i++) {
    const id = 1 + 2 * i;
    // A window update of nothing is an error of the stream.
    raw.socket.write(Buffer.concat([frame(1, 0x5, id, headBlock()), frame(8, 0, id, Buffer.alloc(4))]));
    if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually("it is cut", () => raw.closed() || wentAway(raw.received()));
  expect(service.requests.length).toBeLessThan(300);
  raw.socket.destroy();
  expect((await fetch(running.url)).status).toBe(200);
});

test("an endless head in CONTINUATION frames is refused and uses no memory", async () => {
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

test.for([
  ["begins with a space", "authorization", " Bearer t"],
  ["ends with a space", "authorization", "Bearer t "],
  ["begins with a tab", "x-a", "\t1"],
  ["ends with a tab", "x-a", "1\t"],
  ["is a space", "x-a", " "],
  ["is a part of a cookie and ends with a space", "cookie", "b=2 "],
] as [string, string, string][])(
  "row 13: a request with a field whose value %s is refused, in the clear and over TLS",
  async ([, name, value]) => {
    const trusted = await authority();
    const tls = await trusted.issue(["127.0.0.1"]);
    await using service = await upstream();
    await using running = await runGateway(oneRoute(), [instance(service.port)], { tls });
    const fields: [string, string][] = [
      ["cookie", "a=1"],
      [name, value],
      ["cookie", "c=3"],
    ];
    const secure = tlsConnect({
      host: "127.0.0.1",
      port: running.ports.httpsPort,
      ca: trusted.pem,
      ALPNProtocols: ["h2"],
    });
    const plain = connect(running.ports.httpPort, "127.0.0.1");
    for (const socket of [plain, secure]) {
      let received = Buffer.alloc(0);
      socket.on("data", (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
      socket.write(Buffer.concat([PREFACE, frame(1, 0x5, 1, headBlock(...fields)), frame(1, 0x5, 3, headBlock())]));
      await eventually("it is answered", () => received.includes("starts or ends with a space or a tab"));
      await eventually("the stream beside it goes on", () => service.requests.length === (socket === plain ? 1 : 2));
      socket.destroy();
    }
    expect(service.requests.flatMap(({ rawHeaders }) => rawHeaders)).not.toContain("a=1");
    expect((await running.host.metrics.expose()).text).toContain('refusals_total{flag="DPE"} 2');
  },
);

test("a trailer whose value begins or ends with a space is dropped", async () => {
  const trailers: unknown[] = [];
  await using service = await upstream((request, response) => {
    trailers.push(request.trailers);
    response.end();
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const raw = await rawSession(running.ports.httpPort);
  const behind = Buffer.concat([literal("x-a", "1 "), literal("x-b", "2"), literal("x-c", "\t3")]);
  raw.socket.write(
    Buffer.concat([frame(1, 0x4, 1, headBlock()), frame(0, 0, 1, Buffer.from("x")), frame(1, 0x5, 1, behind)]),
  );
  await eventually("it is through", () => trailers.length > 0);
  expect(trailers).toEqual([{ "x-b": "2" }]);
  raw.socket.destroy();
});

test("a client whose connection ends has left, over TLS and without, and its request at the service with it", async () => {
  const trusted = await authority();
  const tls = await trusted.issue(["127.0.0.1"]);
  let gone = 0;
  await using service = await upstream(undefined, {
    eager: (_request, response) => response.on("close", () => (gone += 1)) === response,
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)], { tls });
  for (const [at, url] of [running.url, `https://127.0.0.1:${running.ports.httpsPort}`].entries()) {
    using opened = session(url, { ca: trusted.pem });
    const lost = call(opened, { ":path": "/" }).catch(() => undefined);
    await eventually("it is under way", () => running.gateway.status().inFlight === 1);
    // Like a client process that exits: nothing is reset, the connection is merely closed.
    opened.destroy();
    await lost;
    await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
    await eventually("the service knows", () => gone === at + 1);
  }
  expect((await running.host.metrics.expose()).text).toContain('refusals_total{flag="DC"} 2');
});

test("a stop sends GOAWAY, lets streams under way end, and accepts no new ones", async () => {
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
