/** A client that opens more streams than allowed before it knows the limit, and a client that renegotiates TLS. */
import { connect } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { authority } from "./certificates.ts";
import { frame } from "./frames.ts";
import { instance, oneRoute, runGateway, upstream } from "./kit.ts";
import { block, END_HEADERS, END_STREAM, FrameStream, GOAWAY, HEADERS, RST_STREAM, type Frame } from "./wire-kit.ts";

const PREFACE = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);
const head = block([
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "a"],
]);

test.for([101, 130, 400, 1_000])("of %i streams opened at once only the excess is refused", async (count) => {
  const { promise: gate, resolve: release } = Promise.withResolvers<void>();
  await using service = await upstream((_request, response) => void gate.then(() => response.end("ok")));
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const frames: Frame[] = [];
  const reader = new FrameStream();
  const socket = connect(running.ports.httpPort, "127.0.0.1");
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => frames.push(...reader.push(chunk)));
  // No SETTINGS are acknowledged.
  const streams = Array.from({ length: count }, (_, i) => frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * i, head));
  socket.write(Buffer.concat([PREFACE, ...streams]));
  const refused = () => frames.filter(({ type, payload }) => type === RST_STREAM && payload.readUInt32BE(0) === 7);
  await eventually("the excess is refused", () => refused().length === count - 100);
  release();
  const answered = () => new Set(frames.filter(({ type }) => type === HEADERS).map(({ stream }) => stream));
  await eventually("the others are answered", () => answered().size === 100);
  expect(frames.filter(({ type }) => type === GOAWAY)).toEqual([]);
  expect(frames.filter(({ type }) => type === RST_STREAM)).toHaveLength(count - 100);
  expect(service.requests).toHaveLength(100);
  socket.destroy();
});

test.for(["http/1.1", "h2"])(
  "a client of TLS 1.2 that asks for another handshake over %s is refused",
  async (protocol) => {
    const trusted = await authority();
    const tls = await trusted.issue(["127.0.0.1"]);
    await using running = await runGateway(oneRoute(), [], { tls });
    const socket = tlsConnect({
      host: "127.0.0.1",
      port: running.ports.httpsPort,
      ca: trusted.pem,
      maxVersion: "TLSv1.2",
      ALPNProtocols: [protocol],
    });
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    expect([socket.getProtocol(), socket.alpnProtocol]).toEqual(["TLSv1.2", protocol]);
    const outcome = await new Promise<string>((resolve) => {
      socket.on("error", (error: Error & { code?: string }) => resolve(error.code ?? error.message));
      socket.on("close", () => resolve("closed"));
      socket.renegotiate({}, (error) => resolve(error ? "refused" : "done"));
    });
    expect(outcome).not.toBe("done");
    socket.destroy();
  },
);
