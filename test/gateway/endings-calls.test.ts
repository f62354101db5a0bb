/**
 * The two other directions of the same rule: a gRPC call that breaks off is a failed call for its client, over gRPC and
 * gRPC-Web; and a request that breaks off is broken for the service, whatever protocols carry it.
 */
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { eventually, within } from "#test/kit";
import { frame } from "./frames.ts";
import { instance, oneRoute, runGateway } from "./kit.ts";
import {
  askHttp1,
  block,
  byteService,
  DATA,
  END_HEADERS,
  END_STREAM,
  endingOf,
  ERROR_CODES,
  frameService,
  goaway,
  HEADERS,
  http2Client,
  requestEnding,
  rst,
  type Ending,
  type Http2Exchange,
} from "./wire-kit.ts";

/** A message of gRPC as it is framed. */
function message(text: string): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(text.length, 1);
  return Buffer.concat([head, Buffer.from(text)]);
}

const grpcHead = (stream: number) =>
  frame(
    HEADERS,
    END_HEADERS,
    stream,
    block([
      [":status", "200"],
      ["content-type", "application/grpc"],
    ]),
  );
const grpcStatus = (stream: number, status: string) =>
  frame(HEADERS, END_HEADERS | END_STREAM, stream, block([["grpc-status", status]]));

const CALLS: [name: string, whole: boolean, end: (exchange: Http2Exchange, body: Buffer) => unknown][] = [
  [
    "its status",
    true,
    ({ socket, stream }, body) => socket.write(Buffer.concat([frame(DATA, 0, stream, body), grpcStatus(stream, "0")])),
  ],
  [
    "END_STREAM without a status",
    false,
    ({ socket, stream }, body) => socket.write(frame(DATA, END_STREAM, stream, body)),
  ],
  [
    "trailers without a status",
    false,
    ({ socket, stream }, body) =>
      socket.write(
        Buffer.concat([
          frame(DATA, 0, stream, body),
          frame(HEADERS, END_HEADERS | END_STREAM, stream, block([["x-sum", "1"]])),
        ]),
      ),
  ],
  ...ERROR_CODES.map(
    (code) =>
      [
        `a reset with code ${code}`,
        false,
        ({ socket, stream }: Http2Exchange, body: Buffer) =>
          socket.write(Buffer.concat([frame(DATA, 0, stream, body), rst(stream, code)])),
      ] as [string, boolean, (exchange: Http2Exchange, body: Buffer) => unknown],
  ),
  [
    "GOAWAY and an end",
    false,
    ({ socket, stream }, body) => socket.end(Buffer.concat([frame(DATA, 0, stream, body), goaway(stream, 0)])),
  ],
];

test("a gRPC call that breaks off is a failed call, over gRPC and gRPC-Web", async () => {
  let end: (exchange: Http2Exchange) => unknown = () => {};
  await using service = await frameService((exchange) => {
    exchange.socket.write(grpcHead(exchange.stream));
    end(exchange);
  });
  const outlier = { consecutiveErrors: 0, successRate: false };
  await using running = await runGateway(
    oneRoute(
      { service: undefined, cluster: "c" },
      { clusters: [{ name: "c", service: "orders", protocol: "h2c", outlier }] },
    ),
    [instance(service.port)],
  );
  await using client = await http2Client(running.ports.httpPort);
  const ask = async (kind: string) => {
    if (kind === "grpc") {
      const got = await client.ask(
        { ":method": "POST", ":path": "/a/B", "content-type": "application/grpc", te: "trailers" },
        message("hello"),
      );
      return { ...got, call: got.trailers["grpc-status"] ?? got.headers["grpc-status"] };
    }
    const body = message("hello").toString(kind === "web" ? "latin1" : "base64");
    const type = `application/grpc-web${kind === "web" ? "" : "-text"}`;
    const head = `POST /a/B HTTP/1.1\r\nhost: a\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n`;
    const got = await askHttp1(running.ports.httpPort, `${head}connection: close\r\n\r\n${body}`);
    const text = kind === "web" ? got.body.toString("latin1") : unbase64(got.body.toString("latin1"));
    return { ...got, call: /grpc-status: (\d+)/.exec(text)?.[1] ?? got.headers["grpc-status"] };
  };
  const wrong: string[] = [];
  for (const [name, whole, play] of CALLS) {
    // Inside a message and between two.
    for (const body of [message("hello"), message("hello").subarray(0, 8)]) {
      for (const kind of ["grpc", "web", "web-text"]) {
        end = (exchange) => play(exchange, body);
        const { ending, call } = await ask(kind);
        const fine = whole ? ending === "whole" && call === "0" : ending === "broken" || (call ?? "0") !== "0";
        if (!fine) wrong.push(`${kind}, ${name}, ${body.length} bytes: ${ending}, status ${call}`);
      }
    }
  }
  expect(wrong).toEqual([]);
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
});

/** Of pieces with padding of their own. */
function unbase64(text: string): string {
  return (text.match(/[A-Za-z0-9+/]+={0,2}/g) ?? [])
    .map((piece) => Buffer.from(piece, "base64").toString("latin1"))
    .join("");
}

const POST = (framing: string) => `POST / HTTP/1.1\r\nhost: a\r\n${framing}\r\n\r\n`;
const CHUNKED = POST("transfer-encoding: chunked");

/** The client's side of a connection, once its bytes are out. */
type Leave = (socket: Socket) => unknown;
const stay: Leave = () => {};
const fin: Leave = (socket) => socket.end();
const reset: Leave = (socket) => setTimeout(() => socket.resetAndDestroy(), 20);

const HTTP1_REQUESTS: [name: string, ending: Ending, bytes: string, leave: Leave][] = [
  ["its length", "whole", `${POST("content-length: 4")}some`, stay],
  ["less than its length and an end", "broken", `${POST("content-length: 9")}some`, fin],
  ["less than its length and a reset", "broken", `${POST("content-length: 9")}some`, reset],
  ["the last chunk", "whole", `${CHUNKED}4\r\nsome\r\n0\r\n\r\n`, stay],
  ["no last chunk but an end", "broken", `${CHUNKED}4\r\nsome\r\n`, fin],
  ["an end inside the last chunk", "broken", `${CHUNKED}4\r\nsome\r\n0\r\n`, fin],
  ["a reset after a chunk", "broken", `${CHUNKED}4\r\nsome\r\n`, reset],
  ["an invalid chunk", "broken", `${CHUNKED}4\r\nsome\r\nzz\r\n`, stay],
];

const PREFACE = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);
function head2(method: string, extra: [string, string][] = []): Buffer {
  const fields: [string, string][] = [
    [":method", method],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "a"],
  ];
  return frame(HEADERS, END_HEADERS, 1, block([...fields, ...extra]));
}
const some = (flags = 0) => frame(DATA, flags, 1, Buffer.from("some"));
const HTTP2_REQUESTS: [name: string, ending: Ending, frames: Buffer[], leave: Leave][] = [
  ["END_STREAM", "whole", [head2("POST"), some(END_STREAM)], stay],
  ["its length and END_STREAM", "whole", [head2("POST", [["content-length", "4"]]), some(END_STREAM)], stay],
  ["less than its length and END_STREAM", "broken", [head2("POST", [["content-length", "9"]]), some(END_STREAM)], stay],
  ["less than its length and a reset", "broken", [head2("POST", [["content-length", "9"]]), some(), rst(1, 0)], stay],
  ...ERROR_CODES.map((code): [string, Ending, Buffer[], Leave] => [
    `a reset with code ${code}`,
    "broken",
    [head2("POST"), some(), rst(1, code)],
    stay,
  ]),
  ["a reset without an error, of HEAD", "broken", [head2("HEAD"), some(), rst(1, 0)], stay],
  ["an end of its connection", "broken", [head2("POST"), some()], fin],
  ["a reset of its connection", "broken", [head2("POST"), some()], reset],
];

test("a service sees an aborted request as broken, and a complete request as whole", async () => {
  await using one = await byteService(() => {});
  await using two = await frameService(() => {});
  const clusters = [
    { name: "http1", service: "one", protocol: "http1" },
    { name: "h2c", service: "two", protocol: "h2c" },
  ];
  const wrong: string[] = [];
  for (const { name: cluster } of clusters) {
    const route = { service: undefined, cluster, retry: { attempts: 0 } };
    await using running = await runGateway(oneRoute(route, { clusters }), [
      instance(one.port, { service: "one" }),
      instance(two.port, { service: "two" }),
    ]);
    const play = async (told: string, ending: Ending, bytes: (string | Buffer)[], leave: Leave) => {
      const exchanges = cluster === "http1" ? one.exchanges : two.exchanges;
      exchanges.length = 0;
      const socket = connect(running.ports.httpPort, "127.0.0.1");
      socket.on("error", () => {});
      socket.on("data", () => {});
      const [first = "", ...rest] = bytes;
      socket.write(first, "latin1");
      // The bytes that break the request off follow once the service has the request.
      if (ending === "broken") await within(1_000, `${told} has arrived`, () => exchanges.length > 0).catch(() => {});
      for (const more of rest) socket.write(more, "latin1");
      leave(socket);
      const seen = () => {
        const [http1] = cluster === "http1" ? one.exchanges : [];
        const [http2] = cluster === "h2c" ? two.exchanges : [];
        if (http1) return requestEnding(http1);
        return http2 ? endingOf(http2.frames, http2.closed()) : undefined;
      };
      const got = await within(3_000, told, () => (seen() === "open" ? undefined : seen())).catch(() => "open");
      if (got !== ending) wrong.push(`${cluster}, ${told}: ${got}`);
      socket.destroy();
    };
    await Promise.resolve();
    for (const [name, ending, bytes, leave] of HTTP1_REQUESTS) {
      const at = bytes.indexOf("\r\n\r\n") + 4 + 6;
      await play(`HTTP/1.1, ${name}`, ending, [bytes.slice(0, at), bytes.slice(at)], leave);
    }
    for (const [name, ending, [head = Buffer.alloc(0), ...frames], leave] of HTTP2_REQUESTS) {
      await play(`HTTP/2, ${name}`, ending, [Buffer.concat([PREFACE, head]), ...frames], leave);
    }
    await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
  }
  expect(wrong).toEqual([]);
}, 60_000);
