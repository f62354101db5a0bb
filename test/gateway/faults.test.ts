/**
 * Faults of an upstream, and how the gateway handles them: status, flag in header, log and metric, and nothing left
 * behind: no socket, no exchange in flight. Read it as a table.
 */
import { createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { client, expectCounted, GET, LIMITS, OK, sockets, wholeAnswer, type Outcome } from "./faults-kit.ts";
import { instance, oneRoute, parseAnswer, rawUpstream, runGateway } from "./kit.ts";

const HEAD = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
const CHUNKED = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

type Misdeed = (socket: Socket, chunk: string) => void;

const UPSTREAMS: [what: string, does: Misdeed | "no listener" | "resets on accept", Outcome][] = [
  ["refuses", "no listener", { status: 503, flag: "UH", whole: true }],
  ["resets on accept", "resets on accept", { status: 502, flag: "UC", whole: true }],
  ["closes without a word", (socket) => socket.end(), { status: 502, flag: "UC", whole: true }],
  ["resets without a word", (socket) => socket.resetAndDestroy(), { status: 502, flag: "UC", whole: true }],
  ["hangs before its head", () => {}, { status: 504, flag: "UT", whole: true }],
  [
    "hangs in the middle of its head",
    (socket) => socket.write("HTTP/1.1 200 OK\r\nx: y\r\n"),
    { status: 504, flag: "UT", whole: true },
  ],
  ["sends its head a byte at a time", (socket) => drip(socket, OK), { status: 504, flag: "UT", whole: true }],
  ["hangs after its head", (socket) => socket.write(HEAD), { status: 200, flag: "UT", whole: false }],
  [
    "hangs in the middle of its body",
    (socket) => socket.write(`${HEAD}12345`),
    { status: 200, flag: "UT", whole: false },
  ],
  [
    "resets in the middle of its head",
    (socket) => cut(socket, "HTTP/1.1 200 OK\r\n"),
    { status: 502, flag: "UC", whole: true },
  ],
  ["resets after its head", (socket) => cut(socket, HEAD), { status: 200, flag: "UC", whole: false }],
  [
    "resets in the middle of its body",
    (socket) => cut(socket, `${HEAD}12345`),
    { status: 200, flag: "UC", whole: false },
  ],
  ["ends a short body", (socket) => socket.end(`${HEAD}12345`), { status: 200, flag: "UC", whole: false }],
  [
    "ends a short chunked body",
    (socket) => socket.end(`${CHUNKED}5\r\n12345\r\n`),
    { status: 200, flag: "UC", whole: false },
  ],
  ["ends inside a chunk", (socket) => socket.end(`${CHUNKED}5\r\n123`), { status: 200, flag: "UC", whole: false }],
  ["sends more than it said", (socket) => socket.write(`${OK}more`), { status: 200, whole: true, body: "ok" }],
  [
    "answers twice",
    (socket) => socket.write(`${OK}${OK.replace("ok", "NO")}`),
    { status: 200, whole: true, body: "ok" },
  ],
  [
    "sends a chunk longer than it said",
    (socket) => socket.write(`${CHUNKED}2\r\n12345\r\n`),
    { status: 200, flag: "UP", whole: false },
  ],
  [
    "sends a chunk size that is not a number",
    (socket) => socket.write(`${CHUNKED}0x2\r\nok\r\n0\r\n\r\n`),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "sends a chunk line without end",
    (socket) => socket.write(`${CHUNKED}2;${"x".repeat(2_000)}`),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "sends trailers without end",
    (socket) => socket.write(`${CHUNKED}0\r\n${"x: y\r\n".repeat(9_000)}`),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "sends 1 MiB of headers",
    (socket) => socket.write(`HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(175_000)}`),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "sends one header of 1 MiB",
    (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${"y".repeat(1_048_576)}`),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "sends 1,000 fields",
    (socket) => socket.write(`HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(1_000)}\r\n`),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "sends two lengths that differ",
    (socket) => socket.write(OK.replace("\r\n\r\n", "\r\ncontent-length: 3\r\n\r\n")),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "sends a length with a plus",
    (socket) => socket.write(OK.replace(": 2", ": +2")),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "sends a length and chunks",
    (socket) => socket.write(CHUNKED.replace("\r\n\r\n", "\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n")),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "encodes by something else than chunks",
    (socket) => socket.write(CHUNKED.replace("chunked", "gzip, chunked")),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "chunks in HTTP/1.0",
    (socket) => socket.write(CHUNKED.replace("1.1", "1.0")),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "folds a header",
    (socket) => socket.write("HTTP/1.1 200 OK\r\nx: y\r\n z\r\ncontent-length: 0\r\n\r\n"),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "ends a line by LF alone",
    (socket) => socket.write("HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n"),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "sends a NUL",
    (socket) => socket.write("HTTP/1.1 200 OK\r\nx: \0\r\ncontent-length: 0\r\n\r\n"),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "speaks something else",
    (socket) => socket.write("SSH-2.0-OpenSSH_9.9\r\n"),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "is informative for ever",
    (socket) => socket.write("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)),
    { status: 502, flag: "UP", whole: true },
  ],
  [
    "answers without a length, to the end",
    (socket) => socket.end("HTTP/1.1 200 OK\r\n\r\nall of it"),
    { status: 200, whole: true },
  ],
  [
    "answers without a length, to a reset",
    (socket) => cut(socket, "HTTP/1.1 200 OK\r\n\r\nsome of it"),
    { status: 200, flag: "UC", whole: false },
  ],
];

function cut(socket: Socket, bytes: string): void {
  socket.write(bytes, () => setTimeout(() => socket.resetAndDestroy(), 30));
}

function drip(socket: Socket, bytes: string): void {
  let at = 0;
  const timer = setInterval(() => socket.write(bytes[at++ % bytes.length] ?? ""), 60);
  socket.once("close", () => clearInterval(timer));
}

test.for(UPSTREAMS)("an upstream that %s", async ([, does, outcome]) => {
  const before = sockets();
  {
    await using service = await misbehaving(does);
    await using running = await runGateway(oneRoute({ ...LIMITS, retry: { attempts: 0 } }), [instance(service.port)]);
    const { text } = await client(running.ports.httpPort, GET);
    const answer = parseAnswer(text);
    expect(answer.status).toBe(outcome.status);
    expect(wholeAnswer(text)).toBe(outcome.whole);
    if (outcome.body !== undefined) expect(answer.body).toBe(outcome.body);
    if (outcome.flag !== undefined && outcome.whole) {
      expect(outcome.flag).toContain(answer.headers["x-posthouse-flag"]);
    }
    await expectCounted(running, outcome);
    // Of a connection that was in any doubt nothing is kept.
    await eventually("its socket is gone", () => service.connections.every((socket) => socket.destroyed));
  }
  await eventually("no socket is left", () => sockets() <= before);
});

async function misbehaving(does: Misdeed | "no listener" | "resets on accept") {
  const connections: Socket[] = [];
  const server = createServer((socket) => {
    connections.push(socket);
    socket.on("error", () => {});
    if (does === "resets on accept") socket.resetAndDestroy();
    else if (does !== "no listener") socket.once("data", (chunk) => does(socket, chunk.toString("latin1")));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of connections) socket.destroy();
    });
  if (does === "no listener") await close();
  return { port, connections, [Symbol.asyncDispose]: async () => (server.listening ? close() : undefined) };
}

test("a thousand exchanges that fail in all these ways leave no socket and nothing in flight", async () => {
  const before = sockets();
  {
    let turn = 0;
    await using service = await rawUpstream(({ socket }) => {
      const deeds = UPSTREAMS.map(([, does]) => does).filter((does) => typeof does === "function");
      deeds[turn++ % deeds.length]?.(socket, "");
    });
    await using running = await runGateway(oneRoute(LIMITS), [instance(service.port)]);
    for (let batch = 0; batch < 10; batch++) {
      await Promise.all(Array.from({ length: 100 }, () => client(running.ports.httpPort, GET)));
    }
    await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
    const { text } = await running.host.metrics.expose();
    expect(text).toContain('posthouse_gateway_upstream_connections{state="connecting"} 0');
    await eventually("no connection is held", async () => {
      const { text } = await running.host.metrics.expose();
      return ["active", "idle"].every((state) =>
        text.includes(`posthouse_gateway_upstream_connections{state="${state}"} 0`),
      );
    });
  }
  await eventually("no socket is left", () => sockets() <= before);
}, 300_000);
