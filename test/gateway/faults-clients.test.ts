/** The same table for clients that go wrong, and what takes more than a line to tell. */
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { client, expectCounted, GET, LIMITS, OK, sockets, upload, wholeAnswer, type Outcome } from "./faults-kit.ts";
import { instance, oneRoute, parseAnswer, rawUpstream, runGateway, upstream } from "./kit.ts";

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
      await eventually("the client has an answer", () => parseAnswer(text).status === outcome.status);
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

test("an endless answer is a stream: it goes on beyond the route's time for as long as its client stays", async () => {
  await using service = await rawUpstream(({ socket }) => {
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    const timer = setInterval(() => socket.write("x".repeat(1_000)), 10);
    socket.once("close", () => clearInterval(timer));
  });
  await using running = await runGateway(oneRoute({ timeouts: { totalMs: 200 } }), [instance(service.port)]);
  const leaving = new AbortController();
  const response = await fetch(running.url, { signal: leaving.signal });
  let bytes = 0;
  const started = performance.now();
  await expect(
    (async () => {
      for await (const chunk of response.body ?? []) {
        bytes += chunk.length;
        if (performance.now() - started > 600) leaving.abort();
      }
    })(),
  ).rejects.toThrow();
  expect(bytes).toBeGreaterThan(10_000);
  await expectCounted(running, { status: 200, counted: 499, flag: "DC", whole: false });
  await eventually("the service's side has ended", () => service.connections.every(({ socket }) => socket.destroyed));
});

test("an answer of a length goes on for as long as the route allows, and is then cut", async () => {
  await using service = await rawUpstream(({ socket }) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
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
