/**
 * However an answer ends at the service, it ends for the client either whole or broken, and for both the same: on every
 * pair of protocols, with and without a length, compressed or not, kept or not. A broken one is flagged and not kept.
 */
import * as fc from "fast-check";
import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { frame } from "./frames.ts";
import { instance, runGateway, type Running } from "./kit.ts";
import {
  askHttp1,
  block,
  byteService,
  DATA,
  END_HEADERS,
  END_STREAM,
  ERROR_CODES,
  frameService,
  goaway,
  HEADERS,
  http2Client,
  rst,
  type Got,
  type Http2Exchange,
} from "./wire-kit.ts";

interface Shape {
  /** Bytes of the body before it ends, in one way or another. */
  readonly body: string;
  readonly length: boolean;
  readonly cacheable: boolean;
  /** Ends in the same packet as it begins. */
  readonly atOnce: boolean;
}

interface Way {
  readonly name: string;
  readonly whole: boolean;
}
interface Http1Way extends Way {
  play(socket: Socket, shape: Shape): void;
}
interface Http2Way extends Way {
  play(exchange: Http2Exchange, shape: Shape): void;
}

/** Bytes that are announced, where a length is. */
const announced = ({ body }: Shape, over = 0) => String(body.length + over);
const caching = ({ cacheable }: Shape) => (cacheable ? "cache-control: max-age=60\r\n" : "");

function inSteps(socket: Socket, { atOnce }: Shape, first: string | Buffer, then: () => void): void {
  socket.write(first, "latin1");
  if (atOnce) then();
  else setTimeout(then, 5);
}

function http1(name: string, whole: boolean, framing: (shape: Shape) => string, end: Http1Way["play"]): Http1Way {
  const play: Http1Way["play"] = (socket, shape) => {
    const head = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n${caching(shape)}${framing(shape)}\r\n`;
    inSteps(socket, shape, head, () => end(socket, shape));
  };
  return { name, whole, play };
}

const chunk = (text: string) => (text === "" ? "" : `${text.length.toString(16)}\r\n${text}\r\n`);
const chunked = () => "transfer-encoding: chunked\r\n";
const length = (over: number) => (shape: Shape) => `content-length: ${announced(shape, over)}\r\n`;
/** A reset overtakes bytes that were not read yet. */
const thenReset = (socket: Socket, bytes: string) =>
  socket.write(bytes, "latin1", () => setTimeout(() => socket.resetAndDestroy(), 10));

const HTTP1_WAYS: readonly Http1Way[] = [
  http1("exactly its length", true, length(0), (socket, { body }) => socket.write(body)),
  http1("its length and an end", true, length(0), (socket, { body }) => socket.end(body)),
  http1("less than its length and an end", false, length(3), (socket, { body }) => socket.end(body)),
  http1("less than its length and a reset", false, length(3), (socket, { body }) => thenReset(socket, body)),
  http1("the last chunk", true, chunked, (socket, { body }) => socket.write(`${chunk(body)}0\r\n\r\n`)),
  http1("trailers", true, chunked, (socket, { body }) => socket.write(`${chunk(body)}0\r\nx-sum: 1\r\n\r\n`)),
  http1("no last chunk but an end", false, chunked, (socket, { body }) => socket.end(chunk(body))),
  http1("no last chunk but a reset", false, chunked, (socket, { body }) => thenReset(socket, chunk(body))),
  http1("an end inside the last chunk", false, chunked, (socket, { body }) => socket.end(`${chunk(body)}0\r\n`)),
  http1("an end inside its trailers", false, chunked, (socket, { body }) =>
    socket.end(`${chunk(body)}0\r\nx-sum: 1\r\n`),
  ),
  http1("an end inside a chunk", false, chunked, (socket, { body }) => socket.end(`${chunk(body)}9\r\nabc`)),
  http1("a chunk with more than its size", false, chunked, (socket, { body }) =>
    socket.write(`${chunk(body)}2\r\nabcd\r\n0\r\n\r\n`),
  ),
  http1(
    "the end of its connection",
    true,
    () => "",
    (socket, { body }) => socket.end(body),
  ),
  http1(
    "the reset of its connection",
    false,
    () => "",
    (socket, { body }) => thenReset(socket, body),
  ),
];

function http2(name: string, whole: boolean, end: Http2Way["play"], over = 0): Http2Way {
  const play: Http2Way["play"] = (exchange, shape) => {
    const fields: [string, string][] = [
      [":status", "200"],
      ["content-type", "text/plain"],
    ];
    if (shape.cacheable) fields.push(["cache-control", "max-age=60"]);
    if (shape.length || over !== 0) fields.push(["content-length", announced(shape, over)]);
    const { socket, stream } = exchange;
    const head = frame(HEADERS, END_HEADERS, stream, block(fields));
    inSteps(socket, shape, head, () => end(exchange, shape));
  };
  return { name, whole, play };
}

const data = (stream: number, text: string, flags = 0) => frame(DATA, flags, stream, Buffer.from(text));
const trailing = (stream: number) => frame(HEADERS, END_HEADERS | END_STREAM, stream, block([["x-sum", "1"]]));

const HTTP2_WAYS: readonly Http2Way[] = [
  http2("END_STREAM", true, ({ socket, stream }, { body }) => socket.write(data(stream, body, END_STREAM))),
  http2("END_STREAM by itself", true, ({ socket, stream }, { body }) =>
    socket.write(Buffer.concat([data(stream, body), data(stream, "", END_STREAM)])),
  ),
  http2("trailers", true, ({ socket, stream }, { body }) =>
    socket.write(Buffer.concat([data(stream, body), trailing(stream)])),
  ),
  http2("END_STREAM and a reset without an error", true, ({ socket, stream }, { body }) =>
    socket.write(Buffer.concat([data(stream, body, END_STREAM), rst(stream, 0)])),
  ),
  http2("END_STREAM and the end of its connection", true, ({ socket, stream }, { body }) =>
    socket.end(Buffer.concat([data(stream, body, END_STREAM), goaway(stream, 0)])),
  ),
  ...ERROR_CODES.map((code) =>
    http2(`a reset with code ${code}`, false, ({ socket, stream }, { body }) =>
      socket.write(Buffer.concat([data(stream, body), rst(stream, code)])),
    ),
  ),
  http2(
    "less than its length and END_STREAM",
    false,
    ({ socket, stream }, { body }) => socket.write(data(stream, body, END_STREAM)),
    3,
  ),
  http2(
    "less than its length and trailers",
    false,
    ({ socket, stream }, { body }) => socket.write(Buffer.concat([data(stream, body), trailing(stream)])),
    3,
  ),
  http2(
    "less than its length and a reset without an error",
    false,
    ({ socket, stream }, { body }) => socket.write(Buffer.concat([data(stream, body), rst(stream, 0)])),
    3,
  ),
  http2(
    "more than its length",
    false,
    ({ socket, stream }, { body }) => socket.write(data(stream, `${body}more`, END_STREAM)),
    1,
  ),
  http2("GOAWAY without an error and an end", false, ({ socket, stream }, { body }) =>
    socket.end(Buffer.concat([data(stream, body), goaway(stream, 0)])),
  ),
  http2("GOAWAY with an error", false, ({ socket, stream }, { body }) =>
    socket.write(Buffer.concat([data(stream, body), goaway(stream, 2)])),
  ),
  http2("an end of its connection", false, ({ socket, stream }, { body }) => socket.end(data(stream, body))),
  http2("a reset of its connection", false, ({ socket, stream }, { body }) =>
    socket.write(data(stream, body), () => setTimeout(() => socket.resetAndDestroy(), 10)),
  ),
];

const CLIENTS = ["HTTP/1.1", "HTTP/1.0", "HTTP/2"] as const;

const TEXT = "some of it, and then more of the same ".repeat(20);

/** Routes for each kind of service: as it comes, compressed, kept, and both. */
function config() {
  const routes = ["http1", "h2c"].flatMap((cluster) =>
    ["plain", "compress", "cache", "both"].map((kind) => ({
      name: `${cluster}-${kind}`,
      match: { path: { prefix: `/${cluster}/${kind}` } },
      cluster,
      retry: { attempts: 0 },
      ...(kind === "compress" || kind === "both" ? { compress: { bytesMin: 1 } } : {}),
      ...(kind === "cache" || kind === "both" ? { cache: {} } : {}),
    })),
  );
  const outlier = { consecutiveErrors: 0, successRate: false };
  return {
    clusters: [
      { name: "http1", service: "one", protocol: "http1", outlier },
      { name: "h2c", service: "two", protocol: "h2c", outlier },
    ],
    routes,
  };
}

async function setUp() {
  let http1: Http1Way["play"] = () => {};
  let http2: Http2Way["play"] = () => {};
  let shape: Shape;
  const one = await byteService(({ socket }) => http1(socket, shape));
  const two = await frameService((exchange) => http2(exchange, shape));
  const running = await runGateway(config(), [
    instance(one.port, { service: "one" }),
    instance(two.port, { service: "two" }),
  ]);
  let client = await http2Client(running.ports.httpPort);
  let asked = 0;
  return {
    running,
    one,
    two,
    play(way: Http1Way | Http2Way, given: Shape): void {
      shape = given;
      http1 = way.play as Http1Way["play"];
      http2 = way.play as Http2Way["play"];
    },
    served: () => one.exchanges.length + two.exchanges.length,
    async ask(kind: (typeof CLIENTS)[number], path: string): Promise<Got> {
      if (kind !== "HTTP/2") {
        const encoding = "accept-encoding: gzip\r\n";
        return askHttp1(
          running.ports.httpPort,
          `GET ${path} ${kind}\r\nhost: a\r\n${encoding}connection: close\r\n\r\n`,
        );
      }
      if (client.session.destroyed) client = await http2Client(running.ports.httpPort);
      return client.ask({ ":path": path, "accept-encoding": "gzip" });
    },
    path: (route: string) => `/${route}/${++asked}`,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await running[Symbol.asyncDispose]();
      await one[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
    },
  };
}

async function logLine({ host }: Running, path: string) {
  return eventually(`the log line of ${path}`, () =>
    host.log.lines.find(({ fields }) => (fields as { path?: string } | undefined)?.path === path),
  );
}

test("an answer ends for every client as it ended at the service, and is kept only when it is whole", async () => {
  await using wire = await setUp();
  const ways = [...HTTP1_WAYS.map((way) => ["http1", way] as const), ...HTTP2_WAYS.map((way) => ["h2c", way] as const)];
  const rows = ways.flatMap(([cluster, way]) => CLIENTS.map((client) => ({ cluster, way, client })));
  const seed = Date.now();
  const shapes = fc.sample(
    fc.record({
      body: fc.constantFrom("", "some", TEXT),
      length: fc.boolean(),
      cacheable: fc.boolean(),
      atOnce: fc.boolean(),
      kind: fc.constantFrom("plain", "compress", "cache", "both"),
    }),
    { numRuns: rows.length, seed },
  );
  const wrong: string[] = [];
  for (const [at, { cluster, way, client }] of rows.entries()) {
    const { kind, ...shape } = shapes[at] as (typeof shapes)[number];
    wire.play(way, shape);
    const path = wire.path(`${cluster}/${kind}`);
    const got = await wire.ask(client, path);
    const { flag } = (await logLine(wire.running, path)).fields as { flag?: string };
    const mayBeKept = shape.cacheable && (kind === "cache" || kind === "both");
    const kept = way.whole && mayBeKept;
    const before = wire.served();
    const again = mayBeKept ? await wire.ask(client, path) : got;
    const asked = wire.served() - before;
    const problems: string[] = [];
    if (way.whole) {
      if (got.status !== 200 || got.ending !== "whole") problems.push(`it is ${got.ending}`);
      if (got.body.toString() !== shape.body) problems.push("its body is another");
      if (flag !== undefined) problems.push(`it is flagged ${flag}`);
    } else {
      // As long as no head went out the gateway can say so itself.
      if (got.status === 200 && got.ending !== "broken") problems.push(`it is ${got.ending}`);
      if (got.status !== 200 && !/^U[CP]$/.test(got.headers["x-posthouse-flag"] ?? "")) problems.push("no refusal");
      if (!/^U[CP]$/.test(flag ?? "")) problems.push(`it is flagged ${flag}`);
    }
    if (asked !== (mayBeKept && !kept ? 1 : 0)) problems.push(kept ? "it was not kept" : "it was kept");
    if (kept && again.body.toString() !== shape.body) problems.push("what was kept is another");
    const { body, length, cacheable, atOnce } = shape;
    const told = `${client}, ${cluster}, ${kind}, ${way.name}, ${JSON.stringify([body.length, length, cacheable, atOnce])}`;
    for (const problem of problems) wrong.push(`${told}: ${got.status}, ${problem}`);
  }
  expect({ seed, wrong }).toEqual({ seed, wrong: [] });
}, 60_000);
