/** gRPC-Web, as a browser sends it: binary and base64, over HTTP/1.1 and HTTP/2, to a real gRPC service. */
import { expect, test } from "vitest";
import {
  MessageMeter,
  Base64Reader,
  grpcKind,
  grpcTimeoutMs,
  formatGrpcTimeout,
  grpcMessage,
} from "../../gateway/core/request/grpc.ts";
import { echoService } from "./grpc-kit.ts";
import { instance, oneRoute, runGateway } from "./kit.ts";

/** A Note in protobuf: text is field 1, number field 2. */
function note(text: string, number: number): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([0x0a, bytes.length]), bytes, Buffer.from([0x10, number])]);
}

function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The messages and the trailers of a body. */
function unframe(body: Buffer): { messages: Buffer[]; trailers: string } {
  const messages: Buffer[] = [];
  let trailers = "";
  for (let at = 0; at < body.length;) {
    const length = body.readUInt32BE(at + 1);
    const payload = body.subarray(at + 5, at + 5 + length);
    if ((body[at] as number) & 0x80) trailers = payload.toString();
    else messages.push(payload);
    at += 5 + length;
  }
  return { messages, trailers };
}

const url = (base: string, method: string) => `${base}/posthouse.test.Echo/${method}`;

test("a binary call comes back with its message and its trailers as the last frame", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port, { protocol: "grpc" })]);
  const response = await fetch(url(running.url, "Unary"), {
    method: "POST",
    headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" },
    body: framed(note("hé", 7)),
  });
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/grpc-web+proto"]);
  expect(response.headers.get("x-head")).toBe("before");
  const { messages, trailers } = unframe(Buffer.from(await response.arrayBuffer()));
  expect(messages).toEqual([note("hé", 7)]);
  expect(trailers).toContain("grpc-status: 0\r\n");
  expect(trailers).toContain("x-trailer: behind\r\n");
  expect(service.calls[0]?.get("content-type")).toEqual([]);
});

test("a call in base64, cut into pieces anywhere, streams back in base64 piece by piece", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port, { protocol: "grpc" })]);
  const text = framed(note("count", 5)).toString("base64");
  const response = await fetch(url(running.url, "Count"), {
    method: "POST",
    duplex: "half",
    headers: { "content-type": "application/grpc-web-text", accept: "application/grpc-web-text" },
    body: ReadableStream.from([text.slice(0, 3), text.slice(3, 10), text.slice(10)].map((part) => Buffer.from(part))),
  });
  expect(response.headers.get("content-type")).toMatch(/^application\/grpc-web-text/);
  const bytes = new Base64Reader().push(await response.text());
  const { messages, trailers } = unframe(Buffer.from(bytes));
  expect(messages).toEqual([1, 2, 3, 4, 5].map((number) => note("count", number)));
  expect(trailers).toContain("grpc-status: 0\r\n");
});

test("a refusal by the gateway is a status in the head, where a client of gRPC-Web looks first", async () => {
  await using running = await runGateway(oneRoute(), []);
  const response = await fetch(url(running.url, "Unary"), {
    method: "POST",
    headers: { "content-type": "application/grpc-web+proto" },
    body: framed(note("x", 1)),
  });
  expect([response.status, response.headers.get("grpc-status"), response.headers.get("x-posthouse-flag")]).toEqual([
    200,
    "14",
    "UH",
  ]);
  expect(response.headers.get("content-type")).toBe("application/grpc-web");
  expect(await response.text()).toBe("");
});

test("a body that is not valid base64 is INTERNAL, and the service's call never completes", async () => {
  await using service = await echoService();
  await using running = await runGateway(oneRoute(), [instance(service.port, { protocol: "grpc" })]);
  const response = await fetch(url(running.url, "Unary"), {
    method: "POST",
    headers: { "content-type": "application/grpc-web-text" },
    body: "AAAA####",
  });
  expect([response.headers.get("grpc-status"), response.headers.get("x-posthouse-flag")]).toEqual(["13", "DPE"]);
});

test.for([
  ["application/grpc", "grpc"],
  ["application/grpc+proto", "grpc"],
  ["application/grpc; charset=x", "grpc"],
  ["application/grpc-web", "web"],
  ["Application/gRPC-Web+json", "web"],
  ["application/grpc-web-text+proto", "web-text"],
  ["application/grpcx", undefined],
  ["application/grpc-websocket", undefined],
  ["application/json", undefined],
] as const)("%s is %s", ([type, kind]) => {
  expect(grpcKind(type)).toBe(kind);
});

test("a timeout is read in each of its units, and written so that it can be read", () => {
  expect(["1H", "2M", "3S", "4m", "5u", "6n"].map(grpcTimeoutMs)).toEqual([
    3_600_000, 120_000, 3_000, 4, 0.005, 0.000006,
  ]);
  expect(["", "1", "m", "1s", "-1m", "123456789m", "1.5S"].map(grpcTimeoutMs)).toEqual(Array(7).fill(undefined));
  for (const ms of [0.2, 1, 99_999_999, 100_000_000, 1e12]) {
    expect(formatGrpcTimeout(ms)).toMatch(/^\d{1,8}[mS]$/);
  }
  expect(grpcTimeoutMs(formatGrpcTimeout(1_234.5))).toBe(1_235);
});

test("a message's length is seen however its head comes cut", () => {
  const stream = Buffer.concat([framed(Buffer.alloc(7)), framed(Buffer.alloc(0)), framed(Buffer.alloc(300))]);
  for (let at = 0; at <= stream.length; at++) {
    const [small, large] = [new MessageMeter(), new MessageMeter()];
    const pieces = [stream.subarray(0, at), stream.subarray(at)];
    expect(pieces.map((piece) => small.exceeds(piece, 300))).toEqual([false, false]);
    expect(pieces.map((piece) => large.exceeds(piece, 299))).toContain(true);
  }
});

test("a message keeps to what a field may carry", () => {
  expect(grpcMessage('No route "é" at 100 %\r\n')).toBe('No route "%C3%A9" at 100 %25%0D%0A');
});
