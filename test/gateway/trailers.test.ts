/** Trailers cross on every pair of protocols that has a place for them, with and without a length, and so does `Trailer`. */
import * as fc from "fast-check";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { connect, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { frame } from "./frames.ts";
import { instance, runGateway, upstream } from "./kit.ts";
import { askHttp1, block, END_HEADERS, END_STREAM, HEADERS, http2Client } from "./wire-kit.ts";

interface Seen {
  readonly announced: unknown;
  readonly trailers: Record<string, unknown>;
  readonly body: string;
}

/** Notes what comes, and answers with trailers of its own, with a length or without. */
async function http2Service(seen: Seen[], answer: () => Answer) {
  const server = createHttp2Server();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    let trailers: Record<string, unknown> = {};
    let body = "";
    stream.on("error", () => {});
    stream.on("trailers", (given) => (trailers = { ...given }));
    stream.on("data", (chunk: Buffer) => (body += chunk.toString()));
    stream.on("end", () => {
      seen.push({ announced: headers["trailer"], trailers, body });
      const { length, fields } = answer();
      const names = Object.keys(fields).join(", ");
      stream.respond(
        { ":status": 200, trailer: names, ...(length ? { "content-length": "4" } : {}) },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () => stream.sendTrailers(fields));
      stream.end("some");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

interface Answer {
  readonly length: boolean;
  readonly fields: Record<string, string>;
}

const PREFACE = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);

test("trailers cross both ways on every pair of protocols, also in the same packet as the body", async () => {
  const seen: Seen[] = [];
  let answer: Answer = { length: false, fields: {} };
  await using one = await upstream((request, response, body) => {
    seen.push({ announced: request.headers["trailer"], trailers: request.trailers, body });
    response.writeHead(200, { trailer: Object.keys(answer.fields).join(", ") });
    response.addTrailers(answer.fields);
    response.end("some");
  });
  await using two = await http2Service(seen, () => answer);
  const config = {
    clusters: [
      { name: "http1", service: "one", protocol: "http1" },
      { name: "h2c", service: "two", protocol: "h2c" },
    ],
    routes: ["http1", "h2c"].map((cluster) => ({ name: cluster, match: { path: { exact: `/${cluster}` } }, cluster })),
  };
  await using running = await runGateway(config, [
    instance(one.port, { service: "one" }),
    instance(two.port, { service: "two" }),
  ]);
  const { httpPort } = running.ports;
  await using client = await http2Client(httpPort);
  const name = fc.stringMatching(/^x-[a-z]{1,8}$/);
  const value = fc.stringMatching(/^[a-z0-9]{1,12}$/);
  const fields = fc.dictionary(name, value, { minKeys: 1, maxKeys: 3, noNullPrototype: true });
  const drawn = fc.sample(fc.tuple(fields, fields, fc.boolean()), 32);
  const wrong: string[] = [];
  for (const cluster of ["http1", "h2c"]) {
    for (const kind of [
      "HTTP/1.1",
      "HTTP/2",
      "HTTP/2 of a length",
      "HTTP/2 in one packet",
      "HTTP/2 in one packet of a length",
    ]) {
      for (let turn = 0; turn < 3; turn++) {
        const [sent, back, length] = drawn.pop() as (typeof drawn)[number];
        answer = { length, fields: back };
        seen.length = 0;
        const announced = Object.keys(sent).join(", ");
        const withLength = kind.endsWith("of a length");
        let got: Record<string, string> | undefined;
        if (kind === "HTTP/1.1") {
          const lines = Object.entries(sent).map(([at, text]) => `${at}: ${text}\r\n`);
          const head = `POST /${cluster} HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\ntrailer: ${announced}\r\n`;
          const bytes = `${head}transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n${lines.join("")}\r\n`;
          got = (await askHttp1(httpPort, bytes)).trailers;
        } else if (kind.startsWith("HTTP/2 in one packet")) {
          const head: [string, string][] = [
            [":method", "POST"],
            [":scheme", "http"],
            [":path", `/${cluster}`],
            [":authority", "a"],
            ["trailer", announced],
          ];
          if (withLength) head.push(["content-length", "4"]);
          const socket = connect(httpPort, "127.0.0.1");
          socket.on("error", () => {});
          socket.write(
            Buffer.concat([
              PREFACE,
              frame(HEADERS, END_HEADERS, 1, block(head)),
              frame(0, 0, 1, Buffer.from("body")),
              frame(HEADERS, END_HEADERS | END_STREAM, 1, block(Object.entries(sent))),
            ]),
          );
          await eventually("the service has it", () => seen.length > 0);
          socket.destroy();
        } else {
          const head = { ":method": "POST", ":path": `/${cluster}`, te: "trailers", trailer: announced };
          const given = withLength ? { ...head, "content-length": "4" } : head;
          got = (await client.ask(given, Buffer.from("body"), sent)).trailers;
        }
        const told = `${kind} to ${cluster}, answered ${length ? "with" : "without"} a length`;
        const [service] = seen;
        const plain = { ...service?.trailers };
        if (JSON.stringify(sorted(plain)) !== JSON.stringify(sorted(sent)))
          wrong.push(`${told}: ${JSON.stringify([sent, plain])}`);
        if (service?.announced !== announced) wrong.push(`${told}: announced ${String(service?.announced)}`);
        if (service?.body !== "body") wrong.push(`${told}: body ${service?.body}`);
        if (got && JSON.stringify(sorted(got)) !== JSON.stringify(sorted(back))) {
          wrong.push(`${told}, back: ${JSON.stringify([back, got])}`);
        }
      }
    }
  }
  expect(wrong).toEqual([]);
});

function sorted(fields: Record<string, unknown>): [string, unknown][] {
  return Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1));
}

test("a request has nothing behind its body that it must not have before it, announced or not", async () => {
  const seen: unknown[] = [];
  await using service = await upstream((request, response) => {
    seen.push([request.headers["trailer"], Object.keys(request.trailers)]);
    response.end("ok");
  });
  const route = {
    name: "r",
    match: { path: { prefix: "/" } },
    service: "orders",
    deadlineHeader: "x-left",
    timeouts: { totalMs: 9_000 },
  };
  await using running = await runGateway({ routes: [route] }, [instance(service.port)]);
  const names = [
    "Forwarded",
    "X-Real-IP",
    "traceparent",
    "Cookie",
    "x-left",
    "x_sum",
    "X-Forwarded-For",
    "x-named",
    "x-sum",
  ];
  const head = `POST / HTTP/1.1\r\nhost: a\r\nconnection: x-named, close\r\ntrailer: ${names.join(", ")}\r\n`;
  const lines = names.map((name) => `${name}: 1\r\n`).join("");
  const { status } = await askHttp1(
    running.ports.httpPort,
    `${head}transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n${lines}\r\n`,
  );
  expect([status, seen]).toEqual([200, [["x-sum", ["x-sum"]]]]);
});
