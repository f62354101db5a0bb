/**
 * Defaults of a plain proxy of Fastify and its plug-ins towards the upstream, which must not apply here. The numbers
 * are the rows of gateway.md §0.
 */
import { createServer as createTlsServer } from "node:https";
import httpProxy from "@fastify/http-proxy";
import Fastify from "fastify";
import { connect, type AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { authority } from "./certificates.ts";
import { instance, oneRoute, problemOf, rawUpstream, runGateway, sendRaw, upstream } from "./kit.ts";

async function tlsUpstream(identity: { key: string; cert: string }) {
  let hits = 0;
  const asked: unknown[] = [];
  const server = createTlsServer(identity, (_request, response) => {
    hits += 1;
    response.end("secret");
  });
  server.on("secureConnection", (socket: TLSSocket) => asked.push(socket.servername));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    hits: () => hits,
    asked,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const secure = (tls: object) =>
  oneRoute({ service: undefined, cluster: "c" }, { clusters: [{ name: "c", service: "orders", tls }] });

test("row 1: an upstream certificate that is not trusted, or names another host, is 502 and no request is sent", async () => {
  const trusted = await authority();
  const stranger = await authority();
  await using good = await tlsUpstream(await trusted.issue(["127.0.0.1"]));
  await using wrongName = await tlsUpstream(await trusted.issue(["other.example"]));
  await using wrongCa = await tlsUpstream(await stranger.issue(["127.0.0.1"]));
  const cases = [
    { what: "no CA given", tls: {}, service: good, status: 502 },
    { what: "another CA", tls: { ca: trusted.pem }, service: wrongCa, status: 502 },
    { what: "another name", tls: { ca: trusted.pem }, service: wrongName, status: 502 },
    {
      what: "the name asked for",
      tls: { ca: trusted.pem, serverName: "other.example" },
      service: wrongName,
      status: 200,
    },
    { what: "CA and address fit", tls: { ca: trusted.pem }, service: good, status: 200 },
  ];
  for (const { what, tls, service, status } of cases) {
    const before = service.hits();
    await using running = await runGateway(secure(tls), [instance(service.port, { protocol: "https" })]);
    const response = await fetch(running.url);
    expect([what, response.status]).toEqual([what, status]);
    if (status !== 502) continue;
    expect((await problemOf(response)).code).toBe("GATEWAY_UPSTREAM_UNTRUSTED");
    expect(response.headers.get("x-posthouse-flag")).toBe("UF");
    expect(service.hits()).toBe(before);
  }
});

test("a cluster's subjectAltNames are verified in the place of the name that is asked for", async () => {
  const [trusted, stranger] = [await authority(), await authority()];
  const names = ["billing.internal", "spiffe://mesh/billing", "spiffe://mesh/x, DNS:evil.internal"];
  await using good = await tlsUpstream(await trusted.issue(names));
  await using unknown = await tlsUpstream(await stranger.issue(names));
  const tls = { ca: trusted.pem, serverName: "edge.internal" };
  const cases = [
    { what: "the name asked for", tls, service: good, status: 502 },
    { what: "a DNS name", tls: { ...tls, subjectAltNames: ["x", "BILLING.internal"] }, service: good, status: 200 },
    { what: "a URI", tls: { ...tls, subjectAltNames: ["spiffe://mesh/billing"] }, service: good, status: 200 },
    { what: "another", tls: { ...tls, subjectAltNames: ["edge.internal"] }, service: good, status: 502 },
    {
      what: "a part of one",
      tls: { ...tls, subjectAltNames: ["internal", "spiffe://mesh"] },
      service: good,
      status: 502,
    },
    {
      what: "another case of a URI",
      tls: { ...tls, subjectAltNames: ["spiffe://MESH/billing"] },
      service: good,
      status: 502,
    },
    { what: "one inside of another", tls: { ...tls, subjectAltNames: ["evil.internal"] }, service: good, status: 502 },
    { what: "the subject", tls: { ...tls, subjectAltNames: ["CN=test"] }, service: good, status: 502 },
    { what: "another CA", tls: { ...tls, subjectAltNames: ["billing.internal"] }, service: unknown, status: 502 },
  ];
  for (const { what, tls, service, status } of cases) {
    const before = service.hits();
    await using running = await runGateway(secure(tls), [instance(service.port, { protocol: "https" })]);
    // Twice, for a connection or a session that is used again was made by the same rule.
    for (let i = 0; i < 2; i++) {
      const response = await fetch(running.url);
      expect([what, response.status]).toEqual([what, status]);
      if (status !== 502) continue;
      expect((await problemOf(response)).code).toBe("GATEWAY_UPSTREAM_UNTRUSTED");
      expect(service.hits()).toBe(before);
    }
  }
  expect(new Set(good.asked)).toEqual(new Set(["edge.internal"]));
});

test("names that a release no longer takes end the connections that were made by them", async () => {
  const trusted = await authority();
  await using service = await tlsUpstream(await trusted.issue(["billing.internal"]));
  const tls = (name: string) => secure({ ca: trusted.pem, subjectAltNames: [name] });
  await using running = await runGateway(tls("billing.internal"), [instance(service.port, { protocol: "https" })]);
  expect((await fetch(running.url)).status).toBe(200);
  running.plane.release(tls("other.internal"));
  await eventually("it is in force", () => running.gateway.status().releaseKey === "release-2");
  expect((await fetch(running.url)).status).toBe(502);
  expect(service.hits()).toBe(1);
});

test("the plain peer does what it is measured for: no verification, eleven tries, a client's word for its address", async () => {
  const stranger = await authority();
  await using untrusted = await tlsUpstream(await stranger.issue(["other.example"]));
  await using service = await upstream((_request, response) => void response.writeHead(503).end());
  const peer = async (origin: string) => {
    const app = Fastify();
    await app.register(httpProxy, { upstream: origin });
    const url = await app.listen({ host: "127.0.0.1", port: 0 });
    return { url, [Symbol.asyncDispose]: () => app.close() };
  };
  await using open = await peer(`https://127.0.0.1:${untrusted.port}`);
  expect((await fetch(open.url)).status).toBe(200);
  await using patient = await peer(`http://127.0.0.1:${service.port}`);
  expect((await fetch(patient.url, { headers: { "x-forwarded-for": "6.6.6.6" } })).status).toBe(503);
  expect(service.requests).toHaveLength(11);
  expect(service.requests[0]?.headers["x-forwarded-for"]).toBe("6.6.6.6");
}, 300_000);

test("row 2: a 503 of the service is passed on after exactly one hit, Retry-After untouched", async () => {
  await using service = await upstream((_request, response) => {
    response.writeHead(503, { "retry-after": "120" }).end("not now");
  });
  await using running = await runGateway(oneRoute(), [instance(service.port), instance(service.port, { id: "twin" })]);
  const response = await fetch(running.url);
  expect([response.status, response.headers.get("retry-after"), await response.text()]).toEqual([
    503,
    "120",
    "not now",
  ]);
  expect(service.requests).toHaveLength(1);
});

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

test.for(["FIN after the answer", "RST on reuse", "FIN on reuse"])(
  "row 3: %s fails none of 300 requests",
  async (how) => {
    await using service = await rawUpstream((connection) => {
      const { socket } = connection;
      const first = !connection.received.slice(4).includes("GET ");
      if (how === "FIN after the answer") socket.end(OK);
      else if (first) socket.write(OK);
      else if (how === "RST on reuse") socket.resetAndDestroy();
      else socket.end();
    });
    await using running = await runGateway(oneRoute(), [instance(service.port)]);
    let failed = 0;
    for (let i = 0; i < 75; i++) {
      const statuses = await Promise.all(
        Array.from({ length: 4 }, async () => {
          const response = await fetch(running.url);
          await response.text();
          return response.status;
        }),
      );
      failed += statuses.filter((status) => status !== 200).length;
    }
    expect(failed).toBe(0);
  },
);

test("row 3: a POST whose connection broke is not sent twice", async () => {
  let posts = 0;
  await using service = await rawUpstream(({ socket }, chunk) => {
    if (chunk.includes("POST ")) {
      posts += 1;
      socket.resetAndDestroy();
    } else {
      socket.write(OK);
    }
  });
  await using running = await runGateway(oneRoute(), [instance(service.port), instance(service.port, { id: "twin" })]);
  await (await fetch(running.url)).text();
  const response = await fetch(running.url, { method: "POST" });
  expect(response.headers.get("x-posthouse-flag")).toBe("UC");
  expect((await problemOf(response)).code).toBe("GATEWAY_UPSTREAM_RESET");
  expect(posts).toBe(1);
});

test("row 4: refused by all is 503, reset is 502, a late head is 504, a bad answer is 502", async () => {
  const closed = await upstream();
  const { port } = closed;
  await closed[Symbol.asyncDispose]();
  await using resets = await rawUpstream(({ socket }) => void socket.resetAndDestroy());
  await using silent = await rawUpstream(() => {});
  await using garbage = await rawUpstream(({ socket }) => void socket.end("HTTP/1.1 two hundred\r\n\r\n"));
  await using smuggler = await rawUpstream(
    ({ socket }) =>
      void socket.write(
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
      ),
  );
  const route = oneRoute({ timeouts: { headersMs: 150 } });
  const cases: [string, number, number, string, string][] = [
    ["refused", port, 503, "GATEWAY_NO_ENDPOINT", "UH"],
    ["reset", resets.port, 502, "GATEWAY_UPSTREAM_RESET", "UC"],
    ["silent", silent.port, 504, "GATEWAY_UPSTREAM_TIMEOUT", "UT"],
    ["garbage", garbage.port, 502, "GATEWAY_UPSTREAM_BAD_ANSWER", "UP"],
    ["length and chunked", smuggler.port, 502, "GATEWAY_UPSTREAM_BAD_ANSWER", "UP"],
  ];
  for (const [what, to, status, code, flag] of cases) {
    await using running = await runGateway(route, [instance(to)]);
    const response = await fetch(running.url, { method: "POST" });
    expect([what, response.status, response.headers.get("x-posthouse-flag")]).toEqual([what, status, flag]);
    expect((await problemOf(response)).code).toBe(code);
  }
});

test("row 4: a total timeout is 504 before the answer begins, and a cut line after", async () => {
  await using service = await upstream((request, response) => {
    if (request.url === "/body") response.writeHead(200, { "content-length": "9" }).write("some");
  });
  await using running = await runGateway(oneRoute({ timeouts: { totalMs: 150 } }), [instance(service.port)]);
  const response = await fetch(`${running.url}/head`);
  expect(response.headers.get("x-posthouse-flag")).toBe("UT");
  expect((await problemOf(response)).status).toBe(504);
  const cut = await fetch(`${running.url}/body`);
  await expect(cut.text()).rejects.toThrow();
});

test("row 5: a body over the limit is 413 with a length and in chunks, and the upstream never gets it whole", async () => {
  let completed = 0;
  let aborted = 0;
  await using service = await upstream(undefined, {
    eager: (request, response) => {
      request.on("end", () => {
        completed += 1;
        response.end("whole");
      });
      request.on("close", () => (aborted += request.complete ? 0 : 1));
      request.resume();
      return true;
    },
  });
  await using running = await runGateway(oneRoute({ bodyBytesMax: 1024 * 1024 }), [instance(service.port)]);
  const megabyte = Buffer.alloc(1024 * 1024, "x");
  const exact = await fetch(running.url, { method: "POST", body: megabyte });
  expect([exact.status, completed]).toEqual([200, 1]);
  const long = await fetch(running.url, { method: "POST", body: Buffer.alloc(3 * 1024 * 1024) });
  expect([long.status, long.headers.get("x-posthouse-flag")]).toEqual([413, "PL"]);
  expect((await problemOf(long)).code).toBe("GATEWAY_BODY_TOO_LARGE");
  const chunked = await fetch(running.url, {
    method: "POST",
    duplex: "half",
    body: ReadableStream.from([megabyte, megabyte, megabyte]),
  });
  expect([chunked.status, chunked.headers.get("x-posthouse-flag")]).toEqual([413, "PL"]);
  await eventually("the upstream's request is aborted", () => aborted === 1);
  expect(completed).toBe(1);
});

test("row 6: hop-by-hop and forwarded headers of the client go no further; the gateway writes its own", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const answer = await sendRaw(
    running.ports.httpPort,
    [
      "GET /x HTTP/1.1",
      "Host: Shop.Example:8080",
      "Connection: close, X-Forwarded-For, X-Named",
      "X-Named: 1",
      "Keep-Alive: timeout=5",
      "X-Forwarded-For: 127.0.0.9",
      "x-forwarded-proto: https",
      "X-Forwarded-Prefix: /admin",
      "Forwarded: for=1.2.3.4",
      "X-Real-IP: 1.2.3.4",
      "X_Forwarded_For: 1.2.3.4",
      "X_Auth_User: admin",
      "X-Consumer-Username: admin",
      "X-JWT-Sub: admin",
      "X-Posthouse-User: admin",
      "Proxy-Authorization: Basic eA==",
      "Proxy-Connection: keep-alive",
      "TE: trailers",
      "Trailer: x",
      "Upgrade: h2c",
      "HTTP2-Settings: x",
      "X-Kept: yes",
      "",
      "",
    ].join("\r\n"),
  );
  expect(answer.status).toBe(200);
  const { headers } = service.requests[0] as (typeof service.requests)[number];
  const { traceparent, ...seen } = headers;
  expect(traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
  expect(seen).toEqual({
    host: `127.0.0.1:${service.port}`,
    connection: "keep-alive",
    "x-kept": "yes",
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-proto": "http",
    "x-forwarded-host": "shop.example:8080",
    forwarded: 'for=127.0.0.1;proto=http;host="shop.example:8080"',
    via: "1.1 posthouse",
  });
});

test("row 7: hop-by-hop headers of the upstream, and those its Connection names, do not reach the client", async () => {
  await using service = await rawUpstream(({ socket }) => {
    socket.write(
      "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Internal\r\nX-Internal: 1\r\nKeep-Alive: timeout=5\r\n" +
        "Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Posthouse-Flag: UF\r\nX-Kept: yes\r\ncontent-length: 2\r\n\r\nok",
    );
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const { headers, body } = await sendRaw(
    running.ports.httpPort,
    "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
  );
  expect(body).toBe("ok");
  expect(Object.keys(headers).sort()).toEqual(["connection", "content-length", "date", "x-kept"]);
  expect(headers["connection"]).toBe("close");
});

test("row 8: leave to send comes once and only when the upstream wants the body; other expectations are 417", async () => {
  await using service = await upstream((request, response, body) => {
    response.end(`${request.headers.expect ?? "no expect"}:${body}`);
  });
  await using running = await runGateway(oneRoute({ bodyBytesMax: 10 }), [instance(service.port)]);
  const port = running.ports.httpPort;
  const head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n";
  const given = await sendRaw(port, `${head}content-length: 3\r\n\r\nabc`);
  expect(given.text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 100", "HTTP/1.1 200"]);
  expect(given.text).toContain("no expect:abc");
  const refused = await sendRaw(port, `${head}content-length: 30\r\n\r\n`);
  expect(refused.text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 413"]);
  expect(refused.headers["connection"]).toBe("close");
  for (const other of ["y 100-continue", "200-ok"]) {
    const answer = await sendRaw(port, `POST / HTTP/1.1\r\nhost: a\r\nexpect: ${other}\r\ncontent-length: 1\r\n\r\n`);
    expect([other, answer.status]).toEqual([other, 417]);
  }
  expect(service.requests).toHaveLength(1);
});

test("row 12: a client that leaves before the answer ends the upstream's request at once", async () => {
  let gone = 0;
  await using service = await upstream(undefined, {
    eager: (request, response) => {
      response.on("close", () => (gone += 1));
      request.resume();
      return true;
    },
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const socket = connect(running.ports.httpPort, "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  await eventually("the gateway waits for the answer", () => running.gateway.status().inFlight === 1);
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.destroy();
  await eventually("the upstream's request ended", () => gone === 1);
  expect(running.gateway.status().inFlight).toBe(0);
  const { text } = await running.host.metrics.expose();
  expect(text).toContain('posthouse_gateway_requests_total{route="orders",method="GET",status="499"} 1');
});

test("row 16: patterns of String.replace in a path mean nothing", async () => {
  await using service = await upstream((request, response) => void response.end(request.url));
  await using running = await runGateway(
    { routes: [{ name: "t", match: { path: { prefix: "/t" } }, service: "orders", rewrite: { prefix: "/data/$1" } }] },
    [instance(service.port)],
  );
  const answer = await sendRaw(
    running.ports.httpPort,
    "GET /t/$&/$`/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
  );
  expect(answer.body).toContain("/data/$1/$&/$%60/x");
});

test("an upstream that answers early to a large upload does not become the next request's answer", async () => {
  await using service = await rawUpstream((connection) => {
    if (connection.received.includes("\r\n\r\n"))
      connection.socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
  });
  await using running = await runGateway(oneRoute({ bodyBytesMax: 100_000_000 }), [instance(service.port)]);
  const hidden = "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";
  const answer = await sendRaw(
    running.ports.httpPort,
    `POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${hidden.length + 1000}\r\n\r\n${hidden}`,
  );
  expect(answer.text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 403"]);
  expect(service.connections.every(({ received }) => !received.startsWith("GET /hidden"))).toBe(true);
});
