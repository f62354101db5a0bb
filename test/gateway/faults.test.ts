/**
 * What goes wrong, on either side, and what the gateway makes of it: status, flag in header, log and metric, and nothing
 * left behind: no socket, no exchange in flight. Read it as a table.
 */
import { connect, createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { instance, oneRoute, parseAnswer, rawUpstream, runGateway, upstream, type Running } from "./kit.ts";

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const HEAD = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
const CHUNKED = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const GET = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const upload = (length: number) => `POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${length}\r\n\r\n`;

/** Sockets that this process holds, both ends of each. */
const sockets = () => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;

/** Limits short enough to be waited for. */
const LIMITS = { timeouts: { headersMs: 150, idleMs: 150 }, bodyBytesMax: 1_000_000_000 };

interface Outcome {
  /** What the client is told; 0: nothing. */
  readonly status: number;
  /** Why, in the gateway's own words; undefined: nothing is wrong. A race of the kernel's has two. */
  readonly flag?: string;
  /** What is counted, where the client is told something else or nothing. */
  readonly counted?: number;
  /** Whether the client can tell that the answer is whole. */
  readonly whole: boolean;
  readonly body?: string;
}

/** Sends bytes and reads to the end; `ended`: by an end and not by a reset. */
function client(port: number, bytes: string): Promise<{ text: string; ended: boolean }> {
  return new Promise((resolve) => {
    let text = "";
    let ended = false;
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes, "latin1"));
    const limit = setTimeout(() => socket.destroy(), 3_000);
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (wholeAnswer(text)) socket.end();
    });
    socket.on("end", () => (ended = true));
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(limit);
      resolve({ text, ended });
    });
  });
}

/** Whether a reader of HTTP would take this for a whole answer. */
function wholeAnswer(text: string): boolean {
  const { headers, body, status } = parseAnswer(text);
  if (status === 0) return false;
  if (headers["transfer-encoding"] === "chunked") return body.endsWith("0\r\n\r\n");
  return headers["content-length"] !== undefined && body.length >= Number(headers["content-length"]);
}

/** What log and metric say of the one exchange there was, and that nothing of it is left. */
async function expectCounted(running: Running, { flag, counted, status }: Outcome): Promise<void> {
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
  const line = await eventually("the log line", () =>
    running.host.log.lines.find(({ message }) => message === "request" || message === "request failed"),
  );
  expect(line.fields).toMatchObject({ status: counted ?? status });
  const told = (line.fields as { flag?: string }).flag;
  expect(flag?.split(" or ") ?? [undefined]).toContain(told);
  const { text } = await running.host.metrics.expose();
  expect(text).toContain(`status="${counted ?? status}"} 1`);
  for (const [, name, count] of text.matchAll(/refusals_total\{flag="(\w+)"\} (\d+)/g)) {
    expect([name, count]).toEqual([name, name === told ? "1" : "0"]);
  }
  expect(text).toContain("posthouse_gateway_requests_in_flight 0");
  expect(text).toContain('posthouse_gateway_upstream_connections{state="connecting"} 0');
}

type Misdeed = (socket: Socket, chunk: string) => void;

const UPSTREAMS: [what: string, does: Misdeed | "nobody listens" | "resets on accept", Outcome][] = [
  ["refuses", "nobody listens", { status: 502, flag: "UF", whole: true }],
  ["resets on accept", "resets on accept", { status: 502, flag: "UC or UF", whole: true }],
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
    "sends a chunk size that is no number",
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

async function misbehaving(does: Misdeed | "nobody listens" | "resets on accept") {
  const connections: Socket[] = [];
  const server = createServer((socket) => {
    connections.push(socket);
    socket.on("error", () => {});
    if (does === "resets on accept") socket.resetAndDestroy();
    else if (does !== "nobody listens") socket.once("data", (chunk) => does(socket, chunk.toString("latin1")));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of connections) socket.destroy();
    });
  if (does === "nobody listens") await close();
  return { port, connections, [Symbol.asyncDispose]: async () => (server.listening ? close() : undefined) };
}

const CLIENTS: [what: string, does: (socket: Socket) => void, over: object, Outcome][] = [
  [
    "vanishes before the answer",
    (socket) => socket.write(GET, () => setTimeout(() => socket.resetAndDestroy(), 50)),
    { hang: true },
    { status: 0, counted: 499, flag: "DC", whole: false },
  ],
  [
    "closes its half before the answer, which is how most leave",
    (socket) => socket.end(GET),
    { hang: true },
    { status: 0, counted: 499, flag: "DC", whole: false },
  ],
  [
    "vanishes in the middle of the answer",
    (socket) => {
      socket.write(GET.replace("/ ", "/endless "));
      socket.once("data", () => socket.resetAndDestroy());
    },
    {},
    { status: 0, counted: 499, flag: "DC", whole: false },
  ],
  [
    "vanishes while it sends",
    (socket) => socket.write(`${upload(1_000)}abc`, () => setTimeout(() => socket.destroy(), 50)),
    {},
    { status: 0, counted: 499, flag: "DC", whole: false },
  ],
  [
    "sends slower than the least rate",
    (socket) => socket.write(`${upload(1_000)}abc`),
    { requestMs: 200 },
    { status: 408, flag: "DPE", whole: true },
  ],
  [
    "does not read",
    (socket) => {
      socket.pause();
      socket.write(GET.replace("/ ", "/endless "));
    },
    { stallMs: 200 },
    { status: 0, counted: 499, flag: "DC", whole: false },
  ],
];

test.for(CLIENTS)("a client that %s", async ([, does, over, outcome]) => {
  const before = sockets();
  {
    const gone: string[] = [];
    await using service = await upstream(undefined, {
      eager: (request, response) => {
        response.on("close", () => gone.push(request.url ?? ""));
        if (request.url === "/endless") {
          const block = Buffer.alloc(64 * 1024);
          const more = () => {
            while (!response.destroyed && response.write(block));
            if (!response.destroyed) response.once("drain", more);
          };
          more();
        }
        request.resume();
        return true;
      },
    });
    const { hang: _hang, ...settings } = over as { hang?: boolean };
    const route = oneRoute({ ...LIMITS, timeouts: { headersMs: 5_000, idleMs: 5_000 } });
    await using running = await runGateway(route, [instance(service.port)], settings);
    let text = "";
    const socket = connect(running.ports.httpPort, "127.0.0.1", () => does(socket));
    socket.on("data", (chunk) => {
      if (text.length < 10_000) text += chunk.toString("latin1");
    });
    socket.on("error", () => {});
    await expectCounted(running, outcome);
    if (outcome.status !== 0) {
      await eventually("the client is told", () => parseAnswer(text).status === outcome.status);
      expect(parseAnswer(text).headers["x-posthouse-flag"]).toBe(outcome.flag);
    }
    await eventually("the upstream's side has ended", () => gone.length === 1);
    socket.destroy();
  }
  await eventually("no socket is left", () => sockets() <= before);
});

test("an upstream that speaks no TLS where TLS was registered is 502 UF", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port, { protocol: "https" })]);
  const response = await fetch(running.url);
  expect([response.status, response.headers.get("x-posthouse-flag")]).toEqual([502, "UF"]);
  expect(service.requests).toHaveLength(0);
});

test("an endless answer goes on for as long as the route allows, and is then cut", async () => {
  await using service = await rawUpstream(({ socket }) => {
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    const timer = setInterval(() => socket.write("x".repeat(1_000)), 10);
    socket.once("close", () => clearInterval(timer));
  });
  await using running = await runGateway(oneRoute({ timeouts: { totalMs: 300 } }), [instance(service.port)]);
  const started = performance.now();
  const { text } = await client(running.ports.httpPort, GET);
  expect(performance.now() - started).toBeGreaterThan(250);
  expect([parseAnswer(text).status, wholeAnswer(text)]).toEqual([200, false]);
  await expectCounted(running, { status: 200, flag: "UT", whole: false });
});

test("bytes that come while a connection is idle end it, and no later request gets to see them", async () => {
  await using service = await rawUpstream(({ socket }) => {
    socket.write(OK);
    setTimeout(() => socket.write(OK.replace("ok", "NO")), 20);
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  for (let i = 0; i < 5; i++) {
    expect(await (await fetch(running.url)).text()).toBe("ok");
    await eventually("the connection is gone", () => service.connections.every(({ socket }) => socket.destroyed));
  }
  expect(service.connections).toHaveLength(5);
});

test("an answer that comes before the body is sent is passed on, and the upload ends", async () => {
  await using service = await rawUpstream(({ socket, received }) => {
    if (received.length < 100_000) socket.write("HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno");
  });
  await using running = await runGateway(oneRoute({ bodyBytesMax: 1e9 }), [instance(service.port)]);
  const { text } = await client(running.ports.httpPort, upload(50_000_000) + "x".repeat(200_000));
  expect([parseAnswer(text).status, parseAnswer(text).body]).toEqual([413, "no"]);
  await expectCounted(running, { status: 413, whole: true });
  expect(service.connections.every(({ socket }) => socket.destroyed)).toBe(true);
});

test("a service of dead endpoints answers 503 with the reason in less than 5 ms", async () => {
  await using running = await runGateway(
    oneRoute(),
    [1, 2, 3].map((port) => instance(port, { status: "critical" })),
  );
  await (await fetch(running.url)).text();
  const times: number[] = [];
  for (let i = 0; i < 50; i++) {
    const started = performance.now();
    const response = await fetch(running.url);
    const { detail } = (await response.json()) as { detail: string };
    times.push(performance.now() - started);
    expect([response.status, detail]).toEqual([
      503,
      'Service "orders" in namespace "default" has no healthy endpoint.',
    ]);
  }
  expect(times.toSorted((a, b) => a - b)[25]).toBeLessThan(5);
});

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
    await eventually(
      "no connection is held",
      async () =>
        (await running.host.metrics.expose()).text.includes('posthouse_gateway_upstream_connections{state="open"} 0'),
      6_000,
    );
  }
  await eventually("no socket is left", () => sockets() <= before);
}, 30_000);
