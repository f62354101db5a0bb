/** Slow exchanges: events, uploads, early hints, trailers, 100 Continue. Nothing is buffered, cut off or lost. */
import { connect } from "node:net";
import { request as httpRequest, createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import type { Instance, ServiceDelta } from "#registry/api";
import { eventually } from "#test/kit";
import { instance, oneRoute, rawUpstream, runGateway, sendRaw, upstream } from "./kit.ts";

test("events arrive one by one, beyond the total time, and end with silence only", async () => {
  await using service = await upstream((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    let count = 0;
    const timer = setInterval(() => {
      count += 1;
      if (count <= 8) response.write(`data: ${count}\n\n`);
    }, 40);
    response.on("close", () => clearInterval(timer));
  });
  const timeouts = { totalMs: 150, idleMs: 200 };
  await using running = await runGateway(oneRoute({ timeouts }), [instance(service.port)]);
  const response = await fetch(running.url);
  const arrived: number[] = [];
  const started = performance.now();
  let text = "";
  await expect(
    (async () => {
      for await (const chunk of response.body ?? []) {
        text += Buffer.from(chunk).toString();
        arrived.push(performance.now() - started);
      }
    })(),
  ).rejects.toThrow();
  expect(text.match(/data: \d/g)).toHaveLength(8);
  // Each by itself: they do not come in one piece at the end.
  expect(arrived.length).toBeGreaterThanOrEqual(6);
  expect((arrived.at(-1) as number) - (arrived[0] as number)).toBeGreaterThan(200);
  await eventually("it is counted", async () =>
    (await running.host.metrics.expose()).text.includes('refusals_total{flag="UT"} 1'),
  );
});

/** A service that says a word every 40 ms, 20 times, and then ends: beyond the total time, and never silent for long. */
function talking(headers: Record<string, string>) {
  return upstream((_request, response) => {
    response.writeHead(200, headers);
    let count = 0;
    const timer = setInterval(() => {
      response.write("word\n");
      if (++count === 20) response.end();
    }, 40);
    response.on("close", () => clearInterval(timer));
  });
}

test.for([
  ["text/event-stream", {}],
  ["application/x-ndjson", {}],
  ["application/json", {}],
  ["application/json", { compress: { bytesMin: 0 } }],
] as const)("an answer of %s without a length is a stream, which no total time cuts (%j)", async ([type, over]) => {
  await using service = await talking({ "content-type": type });
  await using running = await runGateway(oneRoute({ timeouts: { totalMs: 200 }, ...over }), [instance(service.port)]);
  expect((await (await fetch(running.url)).text()).match(/word/g)).toHaveLength(20);
});

test("a service's events reach the client at once, also when they are compressed", async () => {
  for (const encoding of ["gzip", "br", "zstd"] as const) {
    let more = () => {};
    await using service = await upstream((_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write("first\n");
      more = () => response.end("last\n");
    });
    await using running = await runGateway(oneRoute({ compress: {} }), [instance(service.port)]);
    const response = await fetch(running.url, { headers: { "accept-encoding": encoding } });
    expect(response.headers.get("content-encoding")).toBe(encoding);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const read = async () => Buffer.from((await reader.read()).value ?? []).toString();
    expect(await read()).toBe("first\n");
    more();
    expect(await read()).toBe("last\n");
  }
});

test.for([
  ["a route cuts an answer of a length", { timeouts: { totalMs: 200 } }, { "content-length": "100" }, {}],
  ["a route cuts it compressed", { timeouts: { totalMs: 200 }, compress: {} }, { "content-length": "10000" }, {}],
  ["a caller cuts any answer", { timeouts: { totalMs: 5_000 }, deadlineHeader: "x-left" }, {}, { "x-left": "200" }],
] as const)("the time of %s in its middle", async (row) => {
  const [, over, answered, asked] = row;
  await using service = await talking({ "content-type": "text/plain", ...answered });
  await using running = await runGateway(oneRoute(over), [instance(service.port)]);
  const response = await fetch(running.url, { headers: asked });
  expect(response.status).toBe(200);
  await expect(response.text()).rejects.toThrow();
  await eventually("it is counted", async () =>
    (await running.host.metrics.expose()).text.includes('refusals_total{flag="UT"} 1'),
  );
});

test("an upload goes through piece by piece while the answer comes back, and both may be large", async () => {
  await using service = await upstream(undefined, {
    eager: (request, response) => {
      response.writeHead(200, { "content-type": "application/octet-stream" });
      request.pipe(response);
      return true;
    },
  });
  await using running = await runGateway(oneRoute({ bodyBytesMax: 1e9 }), [instance(service.port)]);
  const block = Buffer.alloc(256 * 1024, "x");
  let received = 0;
  await new Promise<void>((resolve, reject) => {
    const call = httpRequest(running.url, { method: "POST" }, (answer) => {
      answer.on("data", (chunk: Buffer) => (received += chunk.length));
      answer.on("end", resolve);
    });
    call.on("error", reject);
    let sent = 0;
    const more = () => {
      while (sent < 64) {
        sent += 1;
        if (!call.write(block)) {
          call.once("drain", more);
          return;
        }
      }
      call.end();
    };
    more();
  });
  expect(received).toBe(64 * block.length);
});

test("an upload is held back by a service that does not read it", async () => {
  await using service = await rawUpstream(({ socket }) => void socket.pause());
  await using running = await runGateway(oneRoute({ bodyBytesMax: 1e9 }), [instance(service.port)]);
  const socket = connect(running.ports.httpPort, "127.0.0.1");
  socket.on("error", () => {});
  socket.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500000000\r\n\r\n");
  const block = Buffer.alloc(64 * 1024);
  let sent = 0;
  const more = () => {
    while (sent < 200 * 1024 * 1024) {
      sent += block.length;
      if (!socket.write(block)) {
        socket.once("drain", more);
        return;
      }
    }
  };
  more();
  let before = -1;
  await eventually("it is held back", async () => {
    await new Promise((resolve) => setTimeout(resolve, 150));
    const same = sent === before;
    before = sent;
    return same;
  });
  expect(sent).toBeLessThan(32 * 1024 * 1024);
  socket.destroy();
});

test("hints come before the answer, but not to HTTP/1.0", async () => {
  await using service = await upstream((_request, response) => {
    response.writeEarlyHints({ link: ["</a.css>; rel=preload; as=style", "</b.js>; rel=preload; as=script"] });
    setTimeout(() => response.end("late"), 30);
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const answer = await sendRaw(running.ports.httpPort, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
  expect(answer.text.match(/^HTTP\/1\.1 \d+/gm)).toEqual(["HTTP/1.1 103", "HTTP/1.1 200"]);
  expect(answer.headers["link"]).toBe("</a.css>; rel=preload; as=style, </b.js>; rel=preload; as=script");
  const old = await sendRaw(running.ports.httpPort, "GET / HTTP/1.0\r\nhost: a\r\n\r\n");
  expect(old.text.match(/^HTTP\/1\.1 \d+/gm)).toEqual(["HTTP/1.1 200"]);
});

test("trailers cross both ways, but none that would pass for a header", async () => {
  let seen: IncomingMessage["trailers"] = {};
  await using service = await upstream((request, response) => {
    seen = request.trailers;
    response.writeHead(200, { trailer: "x-sum" });
    response.write("body");
    response.addTrailers({ "x-sum": "4", "content-length": "9", "x-posthouse-flag": "UF" });
    response.end();
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const answer = await sendRaw(
    running.ports.httpPort,
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n" +
      "3\r\nabc\r\n0\r\nx-check: 3\r\nauthorization: Bearer x\r\ncontent-type: x\r\nx-forwarded-for: 6.6.6.6\r\n\r\n",
  );
  expect(answer.body).toBe("4\r\nbody\r\n0\r\nx-sum: 4\r\n\r\n");
  expect(seen).toEqual({ "x-check": "3" });
});

test("an answer in chunks reaches a client of HTTP/1.0 as bytes to the end", async () => {
  await using service = await upstream((_request, response) => {
    response.write("one ");
    response.end("two");
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const answer = await sendRaw(running.ports.httpPort, "GET / HTTP/1.0\r\nhost: a\r\n\r\n");
  expect([answer.headers["transfer-encoding"], answer.body]).toEqual([undefined, "one two"]);
});

test("a slow and steady upload does not time out, whatever it takes in all", async () => {
  await using service = await upstream((_request, response, body) => void response.end(String(body.length)));
  await using running = await runGateway(oneRoute(), [instance(service.port)], { requestMs: 2_000 });
  const socket = connect(running.ports.httpPort, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk) => (text += chunk.toString()));
  socket.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n");
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    socket.write("x".repeat(100));
  }
  await eventually("it is answered", () => text.includes("1000"));
  expect(text).toContain("HTTP/1.1 200");
  socket.destroy();
});

test("a connection is kept for the time that its service registered, less a second", async () => {
  await using service = await upstream();
  const count = () =>
    new Promise<number>((resolve) => service.server.getConnections((_error, number) => resolve(number)));
  await using running = await runGateway(oneRoute(), [
    instance(service.port, { metadata: { "keep-alive-ms": "1500" } }),
  ]);
  await (await fetch(running.url)).text();
  expect(await count()).toBe(1);
  const started = performance.now();
  await eventually("it is closed from our side", async () => (await count()) === 0);
  // 500 ms, seen at the next look.
  expect(performance.now() - started).toBeGreaterThan(400);
});

test("a service's policy says how long its connections are kept, where an instance does not, and may change its mind", async () => {
  await using service = await upstream();
  const count = () =>
    new Promise<number>((resolve) => service.server.getConnections((_error, number) => resolve(number)));
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const policy = (own: Instance[], gateway?: ServiceDelta["gateway"]) =>
    running.plane.catalog.send("delta", {
      namespace: "default",
      service: "orders",
      instances: own,
      panic: false,
      removed: [],
      ...(gateway ? { gateway } : {}),
    });
  const closes = async () => {
    await (await fetch(running.url)).text();
    const started = performance.now();
    await eventually("it is closed from our side", async () => (await count()) === 0);
    return performance.now() - started;
  };
  // With the metadata's 1.5 s that an instance says itself, the policy's hour is not asked.
  policy([instance(service.port, { metadata: { "keep-alive-ms": "1500" } })], { keepAliveSeconds: 3_600 });
  await eventually("it is known", async () => (await closes()) < 2_000);
  policy([instance(service.port)], { keepAliveSeconds: 2 });
  await eventually("it is known", async () => (await closes()) < 2_500);
  policy([]);
  expect(await closes()).toBeGreaterThan(2_500);
});

test("the connection used last is the one used next, so that the others may grow old", async () => {
  const ports: number[] = [];
  const server = createServer((request, response) => {
    ports.push(request.socket.remotePort as number);
    setTimeout(() => response.end("ok"), request.url === "/slow" ? 30 : 0);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await using _closed = {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  await using running = await runGateway(oneRoute(), [instance((server.address() as AddressInfo).port)]);
  await Promise.all(Array.from({ length: 5 }, async () => (await fetch(`${running.url}/slow`)).text()));
  expect(new Set(ports).size).toBe(5);
  ports.length = 0;
  for (let i = 0; i < 10; i++) await (await fetch(running.url)).text();
  expect(new Set(ports).size).toBe(1);
});
