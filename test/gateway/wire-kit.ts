/**
 * Both ends of the gateway below any library, so that a test can say exactly how a message ends and see exactly how it
 * was ended: services that play a script in bytes or frames, and clients that report whether what they got is whole.
 */
import { connect as http2Connect, constants, type ClientHttp2Session } from "node:http2";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { gunzipSync } from "node:zlib";
import { frame } from "./frames.ts";

export const DATA = 0;
export const HEADERS = 1;
export const RST_STREAM = 3;
export const GOAWAY = 7;
export const END_STREAM = 0x1;
export const END_HEADERS = 0x4;

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A field as HPACK has it in its simplest form: literal, not indexed. */
export function literal(name: string, value: string): Buffer {
  const length = (text: string) =>
    text.length < 127 ? Buffer.from([text.length]) : Buffer.from([127, ...varint(text.length - 127)]);
  return Buffer.concat([
    Buffer.from([0]),
    length(name),
    Buffer.from(name, "latin1"),
    length(value),
    Buffer.from(value, "latin1"),
  ]);
}

function varint(rest: number): number[] {
  return rest < 128 ? [rest] : [(rest % 128) + 128, ...varint(Math.floor(rest / 128))];
}

export function block(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => literal(name, value)));
}

export const rst = (stream: number, code: number) => frame(RST_STREAM, 0, stream, uint32(code));
export const goaway = (last: number, code: number) => frame(GOAWAY, 0, 0, Buffer.concat([uint32(last), uint32(code)]));

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Takes frames out of bytes that come cut anywhere. */
export class FrameStream {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
      const end = 9 + bytes.readUIntBE(0, 3);
      frames.push({
        type: bytes.readUInt8(3),
        flags: bytes.readUInt8(4),
        stream: bytes.readUInt32BE(5) & 0x7fffffff,
        payload: bytes.subarray(9, end),
      });
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
    return frames;
  }
}

/** How a message ended, as its reader must take it. */
export type Ending = "whole" | "broken" | "open";

/** Of the frames of one stream, in order. */
export function endingOf(frames: readonly Frame[], closed: boolean): Ending {
  for (const { type, flags } of frames) {
    if (type === RST_STREAM) return "broken";
    if ((type === DATA || type === HEADERS) && flags & END_STREAM) return "whole";
  }
  return closed ? "broken" : "open";
}

/** Of the bytes behind the head of a message of HTTP/1.1. `closed`: how its connection ended. */
export function framingOf(head: string, body: string, closed: "fin" | "reset" | undefined): Ending {
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
    if (/^(?:[0-9a-f]+\r\n[^]*\r\n)?0\r\n(?:[^\r\n]+\r\n)*\r\n$/i.test(body)) return "whole";
  } else if (length !== undefined) {
    if (body.length === Number(length)) return "whole";
    if (body.length > Number(length)) return "broken";
  } else if (closed === "fin") return "whole";
  return closed ? "broken" : "open";
}

export function unchunked(body: string): string {
  let text = "";
  for (let at = 0; at < body.length;) {
    const end = body.indexOf("\r\n", at);
    const size = Number.parseInt(body.slice(at, end), 16);
    if (!(size > 0)) break;
    text += body.slice(end + 2, end + 2 + size);
    at = end + 4 + size;
  }
  return text;
}

async function listening(onSocket: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** How a service of frames handles a request. */
export interface Http2Exchange {
  readonly socket: Socket;
  readonly stream: number;
  /** Of this stream, as they come. */
  readonly frames: Frame[];
  readonly closed: () => boolean;
}

/** A service of HTTP/2 in the clear that does what `script` says once a request's head is there. */
export async function frameService(script: (exchange: Http2Exchange) => void) {
  const exchanges: Http2Exchange[] = [];
  const service = await listening((socket) => {
    const reader = new FrameStream();
    const streams = new Map<number, Http2Exchange>();
    let preface = 24;
    let closed = false;
    socket.on("close", () => (closed = true));
    socket.write(frame(4, 0, 0));
    socket.on("data", (chunk: Buffer) => {
      const skipped = Math.min(preface, chunk.length);
      preface -= skipped;
      for (const one of reader.push(chunk.subarray(skipped))) {
        if (one.type === 4 && one.flags === 0) socket.write(frame(4, 1, 0));
        if (one.type === 6 && one.flags === 0) socket.write(frame(6, 1, 0, one.payload));
        // All that comes may go on coming.
        if (one.type === DATA && one.payload.length > 0) {
          const more = uint32(one.payload.length);
          socket.write(Buffer.concat([frame(8, 0, 0, more), frame(8, 0, one.stream, more)]));
        }
        if (one.stream === 0) continue;
        const known = streams.get(one.stream);
        if (known) known.frames.push(one);
        if (known || one.type !== HEADERS) continue;
        const exchange = { socket, stream: one.stream, frames: [one], closed: () => closed };
        streams.set(one.stream, exchange);
        exchanges.push(exchange);
        script(exchange);
      }
    });
  });
  return { ...service, exchanges };
}

export interface Http1Exchange {
  readonly socket: Socket;
  /** Of the connection, its head and all behind it. */
  received: string;
  closed: "fin" | "reset" | undefined;
}

/** The same of HTTP/1.1: one request per connection, which is all that a script needs. */
export async function byteService(script: (exchange: Http1Exchange) => void) {
  const exchanges: Http1Exchange[] = [];
  const service = await listening((socket) => {
    const exchange: Http1Exchange = { socket, received: "", closed: undefined };
    let begun = false;
    socket.on("end", () => (exchange.closed ??= "fin"));
    socket.on("error", () => (exchange.closed ??= "reset"));
    socket.on("close", () => (exchange.closed ??= "reset"));
    socket.on("data", (chunk) => {
      exchange.received += chunk.toString("latin1");
      if (begun || !exchange.received.includes("\r\n\r\n")) return;
      begun = true;
      exchanges.push(exchange);
      script(exchange);
    });
  });
  return { ...service, exchanges };
}

/** Of what an `Http1Exchange` received. */
export function requestEnding({ received, closed }: Http1Exchange): Ending {
  const end = received.indexOf("\r\n\r\n");
  const head = received.slice(0, end);
  const bodiless = !/\r\n(content-length|transfer-encoding):/i.test(head);
  return bodiless ? "whole" : framingOf(head, received.slice(end + 4), closed);
}

export interface Got {
  readonly status: number;
  readonly ending: Ending;
  /** Without the coding of its transfer, and not compressed. */
  readonly body: Buffer;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
}

function fieldsOf(text: string): Record<string, string> {
  return Object.fromEntries(
    text
      .split("\r\n")
      .filter((line) => line.includes(":"))
      .map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
}

/** One exchange by bytes on a connection of its own. */
export function askHttp1(port: number, bytes: string): Promise<Got> {
  return new Promise((resolve) => {
    let text = "";
    let closed: "fin" | "reset" | undefined;
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes, "latin1"));
    const parts = () => {
      const end = text.indexOf("\r\n\r\n");
      return end < 0 ? { head: "", body: "" } : { head: text.slice(0, end), body: text.slice(end + 4) };
    };
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      const { head, body } = parts();
      if (head !== "" && framingOf(head, body, undefined) === "whole") socket.end();
    });
    socket.on("end", () => (closed ??= "fin"));
    socket.on("error", () => (closed ??= "reset"));
    socket.on("close", () => {
      const { head, body } = parts();
      const headers = fieldsOf(head);
      const chunked = headers["transfer-encoding"] === "chunked";
      const plain = Buffer.from(chunked ? unchunked(body) : body, "latin1");
      const ending = head === "" ? "broken" : framingOf(head, body, closed ?? "reset");
      const trailers = chunked && ending === "whole" ? fieldsOf(body.slice(body.lastIndexOf("\r\n0\r\n") + 5)) : {};
      resolve({ status: Number(head.split(" ")[1] ?? 0), headers, trailers, ...unzipped(headers, plain, ending) });
    });
  });
}

/** A body that cannot be unpacked is not whole, whatever its framing says. */
function unzipped(headers: Readonly<Record<string, string>>, body: Buffer, ending: Ending) {
  if (headers["content-encoding"] !== "gzip" || ending !== "whole") return { body, ending };
  try {
    return { body: gunzipSync(body), ending };
  } catch {
    return { body, ending: "broken" as const };
  }
}

/** A client of HTTP/2 in the clear; the frames that it is sent are looked at on their way. */
export async function http2Client(port: number) {
  const frames: Frame[] = [];
  let closed = false;
  const tap = await listening((socket) => {
    const reader = new FrameStream();
    const to = connect(port, "127.0.0.1");
    to.setNoDelay(true);
    to.on("error", () => socket.destroy());
    to.on("data", (chunk: Buffer) => frames.push(...reader.push(chunk)));
    to.on("close", () => {
      closed = true;
      socket.destroySoon();
    });
    socket.on("close", () => to.destroy());
    socket.pipe(to);
    to.pipe(socket);
  });
  const session: ClientHttp2Session = http2Connect(`http://127.0.0.1:${tap.port}`);
  session.on("error", () => {});
  const ask = (headers: Record<string, string>, body?: Buffer, trailers?: Record<string, string>): Promise<Got> =>
    new Promise((resolve) => {
      const stream = session.request(headers, {
        endStream: body === undefined,
        waitForTrailers: trailers !== undefined,
      });
      let head: Record<string, unknown> = {};
      let behind: Record<string, unknown> = {};
      const chunks: Buffer[] = [];
      stream.on("response", (given) => (head = given));
      stream.on("trailers", (given) => (behind = given));
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", () => {});
      stream.on("wantTrailers", () => stream.sendTrailers(trailers ?? {}));
      stream.on("close", () => {
        const ending = endingOf(
          frames.filter((one) => one.stream === stream.id),
          true,
        );
        const headers = strings(head);
        const answer = unzipped(headers, Buffer.concat(chunks), ending);
        resolve({ status: Number(head[":status"] ?? 0), headers, trailers: strings(behind), ...answer });
      });
      if (body !== undefined) stream.end(body);
    });
  return {
    session,
    frames,
    ask,
    closed: () => closed,
    async [Symbol.asyncDispose]() {
      session.destroy();
      await tap[Symbol.asyncDispose]();
    },
  };
}

function strings(fields: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, String(value)]));
}

/** Every code that RFC 9113 §7 has. */
export const ERROR_CODES: readonly number[] = [
  constants.NGHTTP2_NO_ERROR,
  constants.NGHTTP2_PROTOCOL_ERROR,
  constants.NGHTTP2_INTERNAL_ERROR,
  constants.NGHTTP2_FLOW_CONTROL_ERROR,
  constants.NGHTTP2_SETTINGS_TIMEOUT,
  constants.NGHTTP2_STREAM_CLOSED,
  constants.NGHTTP2_FRAME_SIZE_ERROR,
  constants.NGHTTP2_REFUSED_STREAM,
  constants.NGHTTP2_CANCEL,
  constants.NGHTTP2_COMPRESSION_ERROR,
  constants.NGHTTP2_CONNECT_ERROR,
  constants.NGHTTP2_ENHANCE_YOUR_CALM,
  constants.NGHTTP2_INADEQUATE_SECURITY,
  constants.NGHTTP2_HTTP_1_1_REQUIRED,
];
