/** Telemetry: one trace from client to service, counts by route, log lines, and the HTTPS port. */
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { expect, test } from "vitest";
import { passThroughTracer, seededRandom, type SpanContext, type SpanKind, type Tracer } from "#base";
import type { GatewayConfig } from "#gateway/api";
import { eventually, testHost } from "#test/kit";
import { RE2JS } from "re2js";
import { routeTemplate, setGrpcAttributes } from "../../gateway/lanes/general/span-attributes.ts";
import { authority } from "./certificates.ts";
import publishedNames from "./semconv-attributes.json" with { type: "json" };
import { instance, oneRoute, runGateway, sendRaw, upstream } from "./kit.ts";

interface Recorded {
  name: string;
  readonly kind: SpanKind;
  readonly parent: SpanContext | undefined;
  readonly context: SpanContext;
  readonly set: Record<string, unknown>;
  failed: string | undefined;
  ended: number;
}

function recordingTracer(): Tracer & { spans: Recorded[] } {
  const inner = passThroughTracer(seededRandom(5));
  const spans: Recorded[] = [];
  return {
    spans,
    start(name, options) {
      const { context } = inner.start(name, options);
      const span: Recorded = {
        name,
        kind: options.kind,
        parent: options.parent,
        context,
        set: {},
        failed: undefined,
        ended: 0,
      };
      spans.push(span);
      return {
        context,
        recording: true,
        set: (key, value) => void (span.set[key] = value),
        rename: (better) => void (span.name = better),
        fail: (reason) => void (span.failed = reason),
        later: (describe) => describe(),
        end: () => void (span.ended += 1),
      };
    },
  };
}

/** The clients of these tests are one. */
const trustedProxies = ["127.0.0.0/8"];
const incoming = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

test("one trace runs from the client through the gateway to the service", async () => {
  await using service = await upstream();
  const tracer = recordingTracer();
  const config = { ...oneRoute(), trustedProxies };
  await using running = await runGateway(config, [instance(service.port)], {}, { ...testHost(), tracer });
  await (await fetch(`${running.url}/x`, { headers: { traceparent: incoming, tracestate: "a=1,b=2" } })).text();
  await eventually("both spans ended", () => tracer.spans.every(({ ended }) => ended === 1));
  const [server, client] = tracer.spans as [Recorded, Recorded];
  expect(tracer.spans).toHaveLength(2);
  expect([server.kind, client.kind]).toEqual(["server", "client"]);
  expect(server.parent?.spanId).toBe("b7ad6b7169203331");
  expect(client.parent?.spanId).toBe(server.context.spanId);
  const { headers } = service.requests[0] as (typeof service.requests)[number];
  expect(headers["traceparent"]).toBe(`00-0af7651916cd43dd8448eb211c80319c-${client.context.spanId}-01`);
  expect(headers["tracestate"]).toBe("a=1,b=2");
  const port = Number(new URL(running.url).port);
  expect(server.name).toBe("GET /*");
  expect(server.set).toEqual({
    "http.request.method": "GET",
    "http.route": "/*",
    "http.response.status_code": 200,
    "url.scheme": "http",
    "url.path": "/x",
    "server.address": "127.0.0.1",
    "server.port": port,
    "client.address": "127.0.0.1",
    "network.peer.address": "127.0.0.1",
    "network.protocol.version": "1.1",
    "user_agent.original": "node",
    "posthouse.route": "orders",
  });
  expect(client.name).toBe("GET");
  expect(client.set).toEqual({
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "url.full": `http://127.0.0.1:${service.port}/x`,
    "server.address": "127.0.0.1",
    "server.port": service.port,
    "network.protocol.version": "1.1",
  });
});

test.for<[string, Record<string, string>, string]>([
  ["b3 of a trusted caller", { b3: "0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-1" }, "01"],
  ["b3 that is not sampled", { b3: "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0-05e3ac9a4f6e3b90" }, "00"],
  [
    "b3 in several headers",
    { "x-b3-traceid": "0af7651916cd43dd8448eb211c80319c", "x-b3-spanid": "b7ad6b7169203331", "x-b3-sampled": "1" },
    "01",
  ],
  ["traceparent beside b3", { traceparent: incoming, b3: `${"1".repeat(32)}-${"2".repeat(16)}-0` }, "01"],
])("a service receives W3C trace context for %s, and the baggage", async ([, headers, flags]) => {
  await using service = await upstream();
  const config = { ...oneRoute(), trustedProxies };
  await using running = await runGateway(config, [instance(service.port)]);
  await (await fetch(running.url, { headers: { ...headers, baggage: "user=7,shard=eu" } })).text();
  const received = service.requests[0]?.headers ?? {};
  expect(received["traceparent"]).toMatch(new RegExp(`^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-${flags}$`));
  expect(received["baggage"]).toBe("user=7,shard=eu");
});

/** Names that the conventions publish and do not deprecate. @see OpenTelemetry semantic conventions, HTTP spans */
const PUBLISHED: ReadonlySet<string> = new Set(publishedNames);

test("spans have published attributes only; a client's span fails from 400 on, a server's from 500 on", async () => {
  await using service = await upstream((request, response) => {
    if (request.url?.startsWith("/hang")) return;
    response.statusCode = Number(/\d{3}/.exec(request.url ?? "")?.[0] ?? 200);
    response.end();
  });
  const tracer = recordingTracer();
  await using running = await runGateway(oneRoute(), [instance(service.port)], {}, { ...testHost(), tracer });
  const spansOf = async (path: string, init?: RequestInit) => {
    tracer.spans.length = 0;
    await fetch(`${running.url}${path}`, init).catch(() => {});
    await eventually(
      "all spans ended",
      () => tracer.spans.length > 1 && tracer.spans.every(({ ended }) => ended === 1),
    );
    for (const { set } of tracer.spans) {
      const own = Object.keys(set).filter((name) => !name.startsWith("posthouse."));
      expect(own.filter((name) => !PUBLISHED.has(name))).toEqual([]);
    }
    return tracer.spans as [Recorded, Recorded];
  };
  const [found, notFound] = await spansOf("/404?token=s3cret&page=2&flag");
  expect([found.failed, found.set["error.type"], found.set["http.response.status_code"]]).toEqual([
    undefined,
    undefined,
    404,
  ]);
  expect(found.set["url.query"]).toBe("token=REDACTED&page=REDACTED&REDACTED");
  expect(notFound.failed).toBe("status 404");
  expect(notFound.set["error.type"]).toBe("404");
  expect(notFound.set["url.full"]).toBe(`http://127.0.0.1:${service.port}/404?token=REDACTED&page=REDACTED&REDACTED`);
  const [broken, alsoBroken] = await spansOf("/500");
  expect([broken.set["error.type"], alsoBroken.set["error.type"]]).toEqual(["500", "500"]);
  expect([broken.failed, alsoBroken.failed]).toEqual(["status 500", "status 500"]);
  // The client leaves before an answer: no status was sent.
  const [left] = await spansOf("/hang", { signal: AbortSignal.timeout(200) });
  expect(left.set).not.toHaveProperty(["http.response.status_code"]);
  expect(left.set["error.type"]).toBe("GATEWAY_CLIENT_CLOSED");
});

test("a gRPC status is an attribute by name, and a regular expression is not a route's template", () => {
  const set: Record<string, unknown> = {};
  const span = { ...passThroughTracer(seededRandom(1)).start("x", { kind: "server" }) };
  setGrpcAttributes({ ...span, set: (name, value) => void (set[name] = value) }, "14");
  expect(set).toEqual({ "rpc.system.name": "grpc", "rpc.status_code": "UNAVAILABLE" });
  setGrpcAttributes({ ...span, set: (name, value) => void (set[name] = value) }, "constructor");
  expect(set["rpc.status_code"]).toBe("UNKNOWN");
  expect(Object.keys(set).filter((name) => !PUBLISHED.has(name))).toEqual([]);
  expect(routeTemplate({ kind: "exact", value: "/a" })).toBe("/a");
  expect(routeTemplate({ kind: "prefix", value: "/" })).toBe("/*");
  expect(routeTemplate({ kind: "template", value: "/users/{id}", parts: [] })).toBe("/users/{id}");
  expect(routeTemplate({ kind: "regex", value: "/a+", head: "/a", regex: RE2JS.compile("/a+") })).toBeUndefined();
  expect(routeTemplate(undefined)).toBeUndefined();
});

test.for<[string, GatewayConfig, string, string]>([
  ["a stranger", {}, "01", "00"],
  ["a stranger that the config trusts", { traceTrust: "all" }, "01", "01"],
  ["a trusted proxy", { trustedProxies }, "01", "01"],
  ["a trusted proxy", { trustedProxies }, "00", "00"],
])("%s keeps its trace id, and whether it is sampled is the gateway's to say: %o", async ([, config, said, passed]) => {
  await using service = await upstream();
  await using running = await runGateway({ ...oneRoute(), ...config }, [instance(service.port)]);
  const traceparent = `${incoming.slice(0, -2)}${said}`;
  await (await fetch(running.url, { headers: { traceparent, tracestate: "a=1" } })).text();
  const { headers } = service.requests[0] as (typeof service.requests)[number];
  expect(headers["traceparent"]).toMatch(new RegExp(`^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-${passed}$`));
  expect(headers["tracestate"]).toBe("a=1");
});

test("a failed upstream marks both spans, and a retry is a client span of its own", async () => {
  const gone = await upstream();
  await gone[Symbol.asyncDispose]();
  await using service = await upstream();
  const tracer = recordingTracer();
  const instances = [instance(gone.port), instance(service.port)];
  await using running = await runGateway(oneRoute(), instances, {}, { ...testHost(), tracer });
  for (let i = 0; i < 8; i++) expect((await fetch(running.url)).status).toBe(200);
  const failed = tracer.spans.filter((span) => span.kind === "client" && span.failed !== undefined);
  expect(failed.length).toBeGreaterThan(0);
  // Passed over after its refusal, so not asked with every request.
  expect(failed.length).toBeLessThan(4);
  const text = (await running.host.metrics.expose()).text;
  expect(text).toContain(`posthouse_gateway_upstream_retries_total{kind="move"} ${failed.length}`);
  running.plane.remove("orders", `i-${service.port}`);
  await eventually("the dead one alone is left", async () => (await fetch(running.url)).status === 503);
  await eventually("the server span failed", () =>
    tracer.spans.some(({ kind, failed }) => kind === "server" && failed === "GATEWAY_NO_ENDPOINT"),
  );
});

test("requests are counted by route, method and status, refusals by flag, and no path becomes a label", async () => {
  await using service = await upstream((request, response) => {
    response.statusCode = request.url === "/teapot" ? 418 : 200;
    response.end();
  });
  await using running = await runGateway(
    { routes: [{ name: "orders", match: { path: { prefix: "/" }, hosts: ["127.0.0.1"] }, service: "orders" }] },
    [instance(service.port)],
  );
  for (const path of ["/a", "/b", "/teapot"]) await (await fetch(`${running.url}${path}`)).text();
  await (await fetch(running.url.replace("127.0.0.1", "localhost"))).text().catch(() => "");
  await eventually("all are counted", async () => {
    const { text } = await running.host.metrics.expose();
    return text.includes('posthouse_gateway_requests_total{route="orders",method="GET",status="418"} 1');
  });
  const { text } = await running.host.metrics.expose();
  expect(text).toContain('posthouse_gateway_requests_total{route="orders",method="GET",status="200"} 2');
  expect(text).toContain(
    'posthouse_gateway_request_duration_seconds_count{route="orders",method="GET",status_class="2xx"} 2',
  );
  expect(text).toContain("posthouse_gateway_requests_in_flight 0");
  expect(text).not.toContain("/teapot");
  running.plane.release({ routes: [] });
  await eventually(
    "the removed route is not reported",
    async () => !(await running.host.metrics.expose()).text.includes('route="orders"'),
  );
  expect((await fetch(running.url)).status).toBe(404);
  await eventually("counted without a route", async () => {
    const exposed = (await running.host.metrics.expose()).text;
    return (
      exposed.includes('posthouse_gateway_refusals_total{flag="NR"}') &&
      exposed.includes('route="none",method="GET",status="404"')
    );
  });
});

test("each gauge has one meaning: the states of one add up, and a whole and a limit have names of their own", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  expect((await fetch(running.url)).status).toBe(200);
  const lines = async () =>
    (await running.host.metrics.expose()).text
      .split("\n")
      .filter((line) => /^posthouse_gateway_(?:cluster_(?:endpoints|requests)|upstream_connections)/.test(line))
      .map((line) => line.replaceAll(/cluster="[^"]*"/g, "cluster"));
  const wanted = [
    "posthouse_gateway_cluster_endpoints_ejected{cluster} 0",
    "posthouse_gateway_cluster_endpoints{cluster} 1",
    "posthouse_gateway_cluster_requests_in_flight{cluster} 0",
    expect.stringMatching(/^posthouse_gateway_cluster_requests_limit\{cluster\} [1-9]\d*$/),
    'posthouse_gateway_upstream_connections{state="active"} 0',
    'posthouse_gateway_upstream_connections{state="connecting"} 0',
    'posthouse_gateway_upstream_connections{state="idle"} 1',
  ];
  await eventually("the connection is idle", async () =>
    (await lines()).some((line) => line.endsWith('{state="idle"} 1')),
  );
  expect((await lines()).toSorted()).toEqual(expect.arrayContaining(wanted));
  expect(await lines()).toHaveLength(wanted.length);
});

test("each request is a log line with its trace, route, status, flag and time", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port, { status: "critical" })]);
  await (await fetch(`${running.url}/x?secret=1`, { headers: { traceparent: incoming } })).text();
  const line = await eventually("the line", () =>
    running.host.log.lines.find(({ message }) => message === "request failed"),
  );
  expect(line).toMatchObject({
    level: "info",
    fields: {
      traceId: "0af7651916cd43dd8448eb211c80319c",
      method: "GET",
      route: "orders",
      path: "/x",
      status: 503,
      flag: "UH",
      durationMs: expect.any(Number) as number,
    },
  });
  expect(JSON.stringify(line)).not.toContain("secret");
});

test("the gateway's own refusals are logged at info with their flag, and answers of a service below 500 are not", async () => {
  await using service = await upstream((_request, response) => void response.writeHead(404).end());
  const routes = [
    { name: "plain", match: { path: { prefix: "/plain" } }, service: "orders" },
    { name: "few", match: { path: { prefix: "/few" } }, service: "orders", bodyBytesMax: 1 },
    {
      name: "key",
      match: { path: { prefix: "/key" } },
      service: "orders",
      filters: [{ name: "key-auth" }],
    },
    {
      name: "rate",
      match: { path: { prefix: "/rate" } },
      service: "orders",
      rateLimit: { requests: 1, perSeconds: 100, by: "ip" },
    },
  ];
  await using running = await runGateway({ routes }, [instance(service.port)]);
  const ask = async (path: string, init?: RequestInit) => (await fetch(`${running.url}${path}`, init)).text();
  await ask("/plain");
  await ask("/none");
  await ask("/few", { method: "POST", body: "xx" });
  await ask("/key");
  await ask("/rate");
  await ask("/rate");
  await sendRaw(running.ports.httpPort, "GET /%2e%2e/x HTTP/1.1\r\nhost: a\r\n\r\n");
  const told = (level: string) =>
    running.host.log.lines
      .filter((line) => line.level === level && line.message.startsWith("request"))
      .map(({ fields, message }) => {
        const { flag, status } = fields as { flag?: string; status: number };
        return [message, status, flag];
      });
  await eventually("all are logged", () => told("info").length + told("debug").length === 7);
  expect(told("info")).toEqual([
    ["request failed", 404, "NR"],
    ["request failed", 413, "PL"],
    ["request failed", 401, "AU"],
    ["request failed", 429, "RL"],
    ["request failed", 400, "DPE"],
  ]);
  expect(told("debug")).toEqual([
    ["request", 404, undefined],
    ["request", 404, undefined],
  ]);
});

const GET = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

test.for([
  ["a head that is not HTTP", ["GARBAGE\r\n\r\n"], 400, "none"],
  ["a head that is too large", [`GET / HTTP/1.1\r\nhost: a\r\nx: ${"a".repeat(20_000)}\r\n\r\n`], 431, "none"],
  ["a head that never ends", ["GET / HTTP/1.1\r\nhost: a\r\n"], 408, "none"],
  ["a body that breaks", ["POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n"], 400, "orders"],
  ["a broken head behind a request that waits", [`${GET}GARBAGE\r\n\r\n`], 400, "orders"],
  ["a broken head behind an answer", [GET, "GARBAGE\r\n\r\n"], 400, "none"],
] as const)("%s is counted, told and answered once, with its flag", async ([, writes, status, route]) => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)], { headersMs: 300 });
  const text = await new Promise<string>((resolve) => {
    let received = "";
    const [first, second] = writes;
    const socket = connect(running.ports.httpPort, "127.0.0.1", () => socket.write(first));
    socket.on("data", (chunk) => {
      if (received === "" && second !== undefined) socket.write(second);
      received += chunk.toString();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(received));
  });
  expect(text.match(/HTTP\/1\.1 \d+|x-posthouse-flag: \w+/g)?.slice(writes.length - 1)).toEqual([
    `HTTP/1.1 ${status}`,
    "x-posthouse-flag: DPE",
  ]);
  const lines = () => running.host.log.lines.filter(({ message }) => message.startsWith("request"));
  await eventually("all are logged", () => lines().length === writes.length);
  expect(lines().at(-1)).toMatchObject({
    level: "info",
    message: "request failed",
    fields: { route, status, flag: "DPE" },
  });
  const metrics = (await running.host.metrics.expose()).text;
  expect(metrics).toContain('refusals_total{flag="DPE"} 1\n');
  expect(metrics).not.toContain('flag="DC"');
  expect(metrics).toMatch(new RegExp(`requests_total\\{route="${route}",method="\\w+",status="${status}"\\} 1\n`));
  expect(metrics.match(/^posthouse_gateway_requests_total\{/gm)).toHaveLength(writes.length);
  expect(metrics).toContain("posthouse_gateway_requests_in_flight 0");
});

test("a flood of refusals is some lines a second and a count of the rest, and hides no other flag", async () => {
  await using running = await runGateway({ routes: [] }, []);
  const started = performance.now();
  const head = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(300);
  await sendRaw(running.ports.httpPort, head);
  const seconds = () => Math.ceil((performance.now() - started) / 1_000);
  const lines = (message: string, level = "info") =>
    running.host.log.lines.filter((line) => line.message === message && line.level === level);
  const leftOut = () =>
    lines("further failed requests were not logged").reduce(
      (sum, line) => sum + (line.fields as { lines: number }).lines,
      0,
    );
  await eventually("all are logged or counted", () => lines("request failed").length + leftOut() === 300);
  expect(lines("request failed").length).toBeLessThanOrEqual(10 * (seconds() + 1));
  // At level debug, every line is written.
  expect(lines("request failed", "debug")).toHaveLength(leftOut());
  expect(lines("further failed requests were not logged")[0]?.fields).toMatchObject({ flag: "NR" });
  await sendRaw(running.ports.httpPort, "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
  await eventually("another flag is logged at once", () =>
    lines("request failed").some(({ fields }) => (fields as { flag?: string }).flag === "DPE"),
  );
});

test("HTTPS serves the same routes, says so upstream, and takes a new certificate without a restart", async () => {
  const trusted = await authority();
  await using service = await upstream();
  const tls = await trusted.issue(["first.example"]);
  await using running = await runGateway(oneRoute(), [instance(service.port)], { tls });
  const port = running.ports.httpsPort as number;
  const call = (servername: string) =>
    new Promise<number | string>((resolve) => {
      const request = httpsRequest(
        { host: "127.0.0.1", port, servername, ca: trusted.pem, agent: false },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      request.on("error", (error: Error & { code?: string }) => resolve(error.code ?? error.message));
      request.end();
    });
  expect(await call("first.example")).toBe(200);
  expect(service.requests[0]?.headers["x-forwarded-proto"]).toBe("https");
  expect(await call("second.example")).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
  running.gateway.setTls(await trusted.issue(["second.example"]));
  expect(await call("second.example")).toBe(200);
  const old = await new Promise<string>((resolve) => {
    const socket = tlsConnect({
      host: "127.0.0.1",
      port,
      rejectUnauthorized: false,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
    });
    socket.on("error", (error) => resolve(error.message));
    socket.on("secureConnect", () => resolve("connected"));
  });
  expect(old).not.toBe("connected");
});

test("of two traceparent fields neither is believed: a new trace begins", async () => {
  await using service = await upstream();
  const tracer = recordingTracer();
  await using running = await runGateway(oneRoute(), [instance(service.port)], {}, { ...testHost(), tracer });
  const other = "00-11111111111111111111111111111111-2222222222222222-01";
  for (const second of [other, incoming]) {
    const headers = { traceparent: [incoming, second] };
    const request = httpRequest(`${running.url}/x`, { headers }).end();
    const [response] = (await once(request, "response")) as [IncomingMessage];
    response.resume();
    await once(response, "end");
  }
  const servers = tracer.spans.filter(({ kind }) => kind === "server");
  expect(servers.map(({ parent }) => parent)).toEqual([undefined, undefined]);
  const traces = servers.map(({ context }) => context.traceId);
  expect(new Set([...traces, incoming.slice(3, 35), other.slice(3, 35)]).size).toBe(4);
});
