/** HTTP/2 out: services that speak it, in the clear and by ALPN, that refuse streams, leave, and break off. */
import {
  constants,
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { authority } from "./certificates.ts";
import { frame } from "./frames.ts";
import { instance, oneRoute, rawUpstream, runGateway, sendRaw } from "./kit.ts";

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
  // A cluster that asks for h2 and gets another protocol is misconfigured.
  await using running = await runGateway(cluster("h2", { ca: trusted.pem }), [
    instance(old.port, { protocol: "https" }),
  ]);
  expect((await fetch(running.url)).headers.get("x-posthouse-flag")).toBe("UF");
});

test("a stream that the upstream refuses or that GOAWAY forestalls is sent again, and no client sees a failure", async () => {
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

test("requests without a free stream wait at most as long as for an answer, and at most as many as the breaker allows", async () => {
  await using service = await http2Service(() => {}, { settings: { maxConcurrentStreams: 10 } });
  const breaker = { connectionsMax: 1, pendingMax: 20 };
  await using running = await runGateway(
    oneRoute(
      { service: undefined, cluster: "c", timeouts: { headersMs: 2_000 }, retry: { attempts: 0 } },
      { clusters: [{ name: "c", service: "orders", protocol: "h2c", breaker, outlier: { consecutiveErrors: 0 } }] },
    ),
    [instance(service.port)],
  );
  const ask = async () => {
    const begun = performance.now();
    const flag = (await fetch(running.url)).headers.get("x-posthouse-flag");
    return { flag, ms: performance.now() - begun };
  };
  expect((await ask()).flag).toBe("UT");
  const answers = await Promise.all(Array.from({ length: 60 }, ask));
  const of = (flag: string) => answers.filter((one) => one.flag === flag);
  expect(of("UO")).toHaveLength(30);
  expect(of("UT").length).toBeGreaterThan(15);
  // Those that waited got no second time for themselves; but one whose stream the service still counted among the ten
  // that had just ended is refused there, and goes out again.
  const late = answers.filter(({ ms }) => ms > 3_750);
  expect(late.length).toBeLessThan(10);
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
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
