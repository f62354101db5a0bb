/** A real WebSocket service, and one side of a WebSocket in frames by hand, for a client that is a stream of HTTP/2. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";

/** Echoes; `accept` says by which status, 101 unless given. */
export async function echoService(accept: (request: IncomingMessage) => number = () => 101) {
  const handshakes: IncomingMessage[] = [];
  const sockets = new WebSocketServer({ noServer: true });
  const server = createServer((_request, response) => void response.end("plain"));
  server.on("upgrade", (request, socket, head) => {
    handshakes.push(request);
    const status = accept(request);
    if (status !== 101) {
      socket.end(`HTTP/1.1 ${status} No\r\nx-why: because\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnope`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (peer) => {
      peer.on("message", (data, binary) => peer.send(data, { binary }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    handshakes,
    sockets,
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const peer of sockets.clients) peer.terminate();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** A text of up to 125 bytes as a client sends it. @see RFC 6455 §5.2 */
export function maskedFrame(text: string, opcode = 1): Buffer {
  const payload = Buffer.from(text);
  const mask = Buffer.from([1, 2, 3, 4]);
  const masked = payload.map((byte, at) => byte ^ (mask[at % 4] as number));
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length]), mask, masked]);
}

/** Takes a server's frames out of bytes that come cut anywhere. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): string[] {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const texts: string[] = [];
    let at = 0;
    for (; this.#rest.length - at >= 2;) {
      const length = this.#rest.readUInt8(at + 1);
      if (this.#rest.length - at - 2 < length) break;
      texts.push(this.#rest.toString("utf8", at + 2, at + 2 + length));
      at += 2 + length;
    }
    this.#rest = this.#rest.subarray(at);
    return texts;
  }
}
