/** gRPC through the gateway, by the real library on both sides: all four kinds of calls, deadlines, and errors as statuses. */
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { ChannelCredentials, Metadata, status as Status, type ServiceError } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { authority } from "./certificates.ts";
import { callUnary, echoClient, echoService, type EchoClient, type Note } from "./grpc-kit.ts";
import { instance, oneRoute, rawUpstream, runGateway, upstream } from "./kit.ts";

function closing(client: EchoClient) {
  return { ...client, client, [Symbol.dispose]: () => client.close() };
}

test("a unary call crosses with its metadata and trailers", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port, { protocol: "grpc" })]);
  using used = closing(echoClient(running.ports.httpPort));
  const result = await callUnary(used.client, { text: "héllo", number: 7 }, { metadata: { "x-mine": "1" } });
  expect(result).toMatchObject({ code: 0, note: { text: "héllo", number: 7 } });
  expect(result.metadata.getMap()).toMatchObject({ "x-head": "before", "x-trailer": "behind" });
  expect(service.calls[0]?.getMap()).toMatchObject({
    "x-mine": "1",
    "x-forwarded-for": "127.0.0.1",
    via: "2 posthouse",
  });
  const { text } = await running.host.metrics.expose();
  expect(text).toContain('posthouse_gateway_requests_total{route="orders",method="POST",status="200"} 1');
});

test("streams of the server, of the client and of both cross message by message", async () => {
  await using service = await echoService();
  await using running = await runGateway(
    oneRoute(
      { service: undefined, cluster: "rpc" },
      {
        clusters: [{ name: "rpc", service: "orders", protocol: "grpc" }],
      },
    ),
    [instance(service.port)],
  );
  using used = closing(echoClient(running.ports.httpPort));
  const { client } = used;
  const counted: number[] = [];
  for await (const note of client.count({ text: "n", number: 500 })) counted.push((note as Note).number);
  expect(counted).toEqual(Array.from({ length: 500 }, (_, index) => index + 1));
  const sum = await new Promise<Note | undefined>((resolve, reject) => {
    const call = client.sum((error, note) => (error ? reject(error) : resolve(note)));
    for (let i = 1; i <= 100; i++) call.write({ number: i });
    call.end();
  });
  expect(sum?.number).toBe(5050);
  const talk = client.talk();
  for (let i = 0; i < 20; i++) {
    // Each answer before the next question: nothing may wait in between for more.
    const answer = new Promise<Note>((resolve) => talk.once("data", resolve));
    talk.write({ text: `m${i}`, number: i });
    expect(await answer).toEqual({ text: `re: m${i}`, number: i });
  }
  const ended = new Promise((resolve) => talk.once("end", resolve));
  talk.end();
  await ended;
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
});

test("a stream may be larger than a message may be, and a message that is too large ends it", async () => {
  await using service = await echoService();
  const route = oneRoute({ bodyBytesMax: 10_000 });
  await using running = await runGateway(route, [instance(service.port, { protocol: "grpc" })]);
  using used = closing(echoClient(running.ports.httpPort));
  const sum = (text: string, times: number) =>
    new Promise<number>((resolve) => {
      const call = used.client.sum((error, note) => resolve(error ? -error.code : (note?.number ?? 0)));
      for (let i = 0; i < times; i++) call.write({ text, number: 1 });
      call.end();
    });
  expect(await sum("x".repeat(9_000), 50)).toBe(50);
  expect(await sum("x".repeat(11_000), 2)).toBe(-Status.RESOURCE_EXHAUSTED);
});

test("a deadline is handed on with what is left of it, and enforced whatever the service does", async () => {
  await using service = await echoService(() => {});
  await using running = await runGateway(oneRoute(), [instance(service.port, { protocol: "grpc" })]);
  // A client that does not enforce it itself: the status must be the gateway's.
  const { text, headers } = await http2Call(running.ports.httpPort, { "grpc-timeout": "150m" });
  expect(headers).toMatchObject({ "grpc-status": "4", "x-posthouse-flag": "UT" });
  expect(text).toBe("");
  expect(service.deadlines[0]).toBeLessThanOrEqual(151);
  expect(service.deadlines[0]).toBeGreaterThan(50);
  await eventually("the service's call is cancelled", () => service.cancelled() === 1);
  using used = closing(echoClient(running.ports.httpPort));
  const result = await callUnary(used.client, { text: "x" }, { deadlineMs: 100 });
  expect(result.code).toBe(Status.DEADLINE_EXCEEDED);
});

test("a service that answers UNAVAILABLE, at once or after messages, is ejected like one that answers 503", async () => {
  const failing = async (early: boolean) =>
    echoService((call, done) => {
      if (!early) call.sendMetadata(new Metadata());
      setTimeout(() => done({ code: Status.UNAVAILABLE, details: "no" }), early ? 0 : 20);
    });
  for (const early of [true, false]) {
    await using good = await echoService();
    await using bad = await failing(early);
    await using running = await runGateway(
      oneRoute(
        { service: undefined, cluster: "rpc" },
        { clusters: [{ name: "rpc", service: "orders", balance: "round-robin", slowStartSeconds: 0 }] },
      ),
      [instance(good.port, { protocol: "grpc" }), instance(bad.port, { protocol: "grpc" })],
    );
    using used = closing(echoClient(running.ports.httpPort));
    let failed = 0;
    for (let i = 0; i < 40; i++) failed += (await callUnary(used.client, { text: "x" })).code === 0 ? 0 : 1;
    expect([early, failed]).toEqual([early, 5]);
    const { text } = await running.host.metrics.expose();
    expect(text).toContain("posthouse_gateway_ejections_total 1");
    // And it is counted and logged as what it means, though HTTP says 200.
    expect(text).toContain('posthouse_gateway_requests_total{route="orders",method="POST",status="503"} 5');
    expect(text).toContain('posthouse_gateway_requests_total{route="orders",method="POST",status="200"} 35');
    expect(running.host.log.lines.filter(({ fields }) => Reflect.get(fields, "grpcStatus") === "14")).toHaveLength(5);
  }
});

test("a service receives its caller's deadline once, and ignores a deadline longer than a timer can be", async () => {
  let told: string[] = [];
  // Below the library, which keeps the field to itself.
  const server = createServer();
  server.on("stream", (stream, _headers, _flags, raw) => {
    told = raw.filter((_, at) => at % 2 === 1 && raw[at - 1] === "grpc-timeout");
    const answer = { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" };
    (stream as ServerHttp2Stream).respond(answer, { endStream: true });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => void server.close());
  const service = instance((server.address() as AddressInfo).port, { protocol: "grpc" });
  const limited = stack.use(await runGateway(oneRoute({ timeouts: { totalMs: 5_000 } }), [service]));
  const unlimited = stack.use(await runGateway(oneRoute(), [service]));
  const ask = async ({ ports }: { ports: { httpPort: number } }, timeout: string) => {
    const { headers } = await http2Call(ports.httpPort, { "grpc-timeout": timeout });
    expect(headers).toMatchObject({ "grpc-status": "0" });
    return told;
  };
  expect(await ask(limited, "2000m")).toEqual([expect.stringMatching(/^(1\d{3}|2000)m$/)]);
  // Of a stream it may use all that its caller gave.
  expect(await ask(limited, "9S")).toEqual([expect.stringMatching(/^(8\d{3}|9000)m$/)]);
  for (const none of ["99999999H", "soon"]) {
    expect(await ask(limited, none)).toEqual([]);
    expect(await ask(unlimited, none)).toEqual([]);
  }
});

test("a stream that has begun is limited by its idle time, not by the route's time, unless its caller set a deadline", async () => {
  await using service = await echoService();
  const route = oneRoute({ timeouts: { totalMs: 300, idleMs: 500 } });
  await using running = await runGateway(route, [instance(service.port, { protocol: "grpc" })]);
  using used = closing(echoClient(running.ports.httpPort));
  /** How many answers come to a question every 50 ms, ten in all and then silence, and how the call ends. */
  const talk = async (options: { deadline?: number }) => {
    const call = used.client.talk(new Metadata(), options);
    let heard = 0;
    call.on("data", () => (heard += 1));
    const error = new Promise<ServiceError>((resolve) => call.once("error", resolve));
    for (let i = 0; i < 20; i++) {
      call.write({ text: "m", number: i });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { code, details, metadata } = await error;
    return { heard, code, details, flag: metadata.get("x-posthouse-flag") };
  };
  expect(await talk({})).toEqual({
    heard: 20,
    code: Status.DEADLINE_EXCEEDED,
    details: 'Service "orders" stopped sending in the middle of its answer.',
    flag: ["UT"],
  });
  const limited = await talk({ deadline: Date.now() + 600 });
  expect(limited.code).toBe(Status.DEADLINE_EXCEEDED);
  expect(limited.heard).toBeGreaterThan(0);
  expect(limited.heard).toBeLessThan(20);
  // A call of which nothing comes back has not begun.
  const silent = used.client.talk();
  const { code, details, metadata } = await new Promise<ServiceError>((resolve) => silent.once("error", resolve));
  expect([code, metadata.get("x-posthouse-flag")]).toEqual([Status.DEADLINE_EXCEEDED, ["UT"]]);
  expect(details).toBe('Service "orders" did not answer in time.');
});

test("a call that its client cancels is cancelled at the service", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port, { protocol: "grpc" })]);
  using used = closing(echoClient(running.ports.httpPort));
  const talk = used.client.talk();
  talk.on("error", () => {});
  talk.write({ text: "a", number: 1 });
  await new Promise((resolve) => talk.once("data", resolve));
  talk.cancel();
  await eventually("the service knows", () => service.cancelled() === 1);
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
});

test("a refusal by the gateway is a gRPC status with the flag in its metadata", async () => {
  await using service = await echoService();
  const closed = await upstream();
  await closed[Symbol.asyncDispose]();
  const jwt = [
    { name: "idp", issuer: "x", audience: ["x"], algorithms: ["ES256"], jwks: { url: "http://127.0.0.1:9/" } },
  ];
  const cases: [string, object, number, number, string][] = [
    ["no route", { match: { path: { prefix: "/elsewhere" } } }, service.port, Status.UNIMPLEMENTED, "NR"],
    ["no token", { jwt: { provider: "idp" } }, service.port, Status.UNAUTHENTICATED, "AU"],
    ["too large", { bodyBytesMax: 4 }, service.port, Status.RESOURCE_EXHAUSTED, "PL"],
    ["no listener", {}, closed.port, Status.UNAVAILABLE, "UH"],
    ["no endpoint", { service: "nobody" }, service.port, Status.UNAVAILABLE, "UH"],
    [
      "limited",
      { rateLimit: { requests: 1, perSeconds: 100, by: "ip" } },
      service.port,
      Status.RESOURCE_EXHAUSTED,
      "RL",
    ],
  ];
  for (const [what, over, port, code, flag] of cases) {
    await using running = await runGateway(oneRoute(over, { jwt }), [instance(port, { protocol: "grpc" })]);
    using used = closing(echoClient(running.ports.httpPort, undefined, { "grpc.enable_retries": 0 }));
    if (what === "limited") await callUnary(used.client, { text: "first" });
    const result = await callUnary(used.client, { text: "hello" });
    expect([what, result.code, result.metadata.get("x-posthouse-flag")]).toEqual([what, code, [flag]]);
    expect(result.details.length).toBeGreaterThan(10);
    expect(running.gateway.status().inFlight).toBe(0);
  }
});

test("a service that breaks off in the middle of a stream ends the call as UNAVAILABLE, not as whole", async () => {
  const service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port, { protocol: "grpc" })]);
  using used = closing(echoClient(running.ports.httpPort));
  const talk = used.client.talk();
  const failed = new Promise<ServiceError>((resolve) => talk.once("error", resolve));
  talk.write({ text: "a", number: 1 });
  await new Promise((resolve) => talk.once("data", resolve));
  await service[Symbol.asyncDispose]();
  const error = await failed;
  expect(error.code).toBe(Status.UNAVAILABLE);
  expect(error.details).toBe('Service "orders" broke off its answer.');
  expect(error.metadata.get("x-posthouse-flag")).toEqual(["UC"]);
});

test("gRPC comes in over TLS by ALPN", async () => {
  const trusted = await authority();
  const tls = await trusted.issue(["rpc.example"]);
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port, { protocol: "grpc" })], { tls });
  const credentials = ChannelCredentials.createSsl(Buffer.from(trusted.pem));
  using used = closing(
    echoClient(running.ports.httpsPort as number, credentials, {
      "grpc.ssl_target_name_override": "rpc.example",
    }),
  );
  expect(await callUnary(used.client, { text: "sealed" })).toMatchObject({ code: 0, note: { text: "sealed" } });
  expect(service.calls[0]?.get("x-forwarded-proto")).toEqual(["https"]);
});

test("a hundred calls at once share one connection to the service", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port, { protocol: "grpc" })]);
  using used = closing(echoClient(running.ports.httpPort));
  const results = await Promise.all(Array.from({ length: 100 }, (_, number) => callUnary(used.client, { number })));
  expect(results.map(({ note }) => note?.number)).toEqual(Array.from({ length: 100 }, (_, number) => number));
  const { text } = await running.host.metrics.expose();
  const counts = [...text.matchAll(/posthouse_gateway_upstream_connections\{state="\w+"\} (\d+)/g)];
  expect(counts.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(1);
});

test("a gRPC call that is routed to an HTTP/1.1 service fails with a gRPC status", async () => {
  await using service = await rawUpstream(({ socket }) => void socket.end("garbage\r\n\r\n"));
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  using used = closing(echoClient(running.ports.httpPort));
  expect((await callUnary(used.client, { text: "x" })).code).toBe(Status.UNAVAILABLE);
});

/** A call below the library, which would keep its own deadline. */
async function http2Call(port: number, extra: Record<string, string>): Promise<{ headers: object; text: string }> {
  const { connect } = await import("node:http2");
  const session = connect(`http://127.0.0.1:${port}`);
  try {
    return await new Promise((resolve, reject) => {
      const stream = session.request({
        ":method": "POST",
        ":path": "/posthouse.test.Echo/Unary",
        "content-type": "application/grpc",
        te: "trailers",
        ...extra,
      });
      let headers = {};
      let text = "";
      stream.on("response", (fields) => (headers = { ...fields }));
      stream.on("trailers", (fields) => (headers = { ...headers, ...fields }));
      stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
      stream.on("error", reject);
      stream.on("end", () => resolve({ headers, text }));
      stream.end(Buffer.from([0, 0, 0, 0, 0]));
    });
  } finally {
    session.destroy();
  }
}
