/**
 * DNS over TCP: each message follows its length in two bytes, and a connection may carry any number of them.
 * Connections are limited, are answered in order, and end when no complete query arrives, or no answer is read, for a
 * while.
 * @see RFC 7766
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Host } from "#base";
import { clientNetwork } from "#base/address-class";
import { put16 } from "./core/message.ts";

/** Concurrent connections, in total and per client. Each holds a descriptor and a buffer. */
const CONNECTIONS_MAX = 256;
const CONNECTIONS_PER_CLIENT_MAX = 32;
/** Milliseconds without a complete query, or with unread answers, after which a connection is closed. */
const TCP_IDLE_MS_MAX = 10_000;
/** Bytes of one query. The longest name with options takes a tenth of it. */
const QUERY_BYTES_MAX = 4096;
/** Bytes of unread answers in one connection, beyond which it is not read further. */
const WAITING_BYTES_MAX = 256 * 1024;
/** Milliseconds between two checks for idle connections. */
const LOOK_MS = 500;

export interface TcpOptions {
  /** The answer, now or later; undefined: there is none, and the connection ends. */
  readonly answer: (query: Buffer, client: string) => Promise<Buffer | undefined> | Buffer | undefined;
  readonly dropped: (reason: "connections" | "idle" | "malformed") => void;
}

interface Connection {
  readonly client: string;
  /** When it last received a query or sent an answer, in monotonic milliseconds. */
  aliveAtMs: number;
}

export class TcpListener implements AsyncDisposable {
  readonly server: Server;
  readonly #host: Host;
  readonly #options: TcpOptions;
  readonly #connections = new Map<Socket, Connection>();
  #cancelLook = () => {};

  constructor(host: Host, options: TcpOptions) {
    this.#host = host;
    this.#options = options;
    this.server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.#lookLater();
  }

  #accept(socket: Socket): void {
    const client = clientNetwork(socket.remoteAddress ?? "");
    const ofClient = [...this.#connections.values()].filter((connection) => connection.client === client).length;
    if (this.#connections.size >= CONNECTIONS_MAX || ofClient >= CONNECTIONS_PER_CLIENT_MAX) {
      this.#options.dropped("connections");
      socket.destroy();
      return;
    }
    const connection: Connection = { client, aliveAtMs: this.#host.clock.monotonic() };
    this.#connections.set(socket, connection);
    socket.on("close", () => this.#connections.delete(socket));
    // A failure of the client's own connection is not worth a log line.
    socket.on("error", () => socket.destroy());
    void this.#serve(socket, connection).catch(() => socket.destroy());
  }

  async #serve(socket: Socket, connection: Connection): Promise<void> {
    let held: Buffer = Buffer.alloc(0);
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      while (held.length >= 2) {
        const length = held.readUInt16BE(0);
        if (length === 0 || length > QUERY_BYTES_MAX) {
          this.#options.dropped("malformed");
          socket.destroy();
          return;
        }
        if (held.length < length + 2) break;
        const query = held.subarray(2, length + 2);
        held = held.subarray(length + 2);
        connection.aliveAtMs = this.#host.clock.monotonic();
        const answer = await this.#options.answer(query, connection.client);
        if (!answer) {
          socket.destroy();
          return;
        }
        const framed = Buffer.allocUnsafe(answer.length + 2);
        put16(framed, 0, answer.length);
        framed.set(answer, 2);
        if (socket.destroyed) return;
        socket.write(framed);
        if (socket.writableLength > WAITING_BYTES_MAX) await drained(socket);
        // The client reads its answers, so the connection is in use.
        connection.aliveAtMs = this.#host.clock.monotonic();
      }
    }
    socket.end();
  }

  #lookLater(): void {
    this.#cancelLook = this.#host.clock.after(LOOK_MS, () => {
      const now = this.#host.clock.monotonic();
      for (const [socket, { aliveAtMs }] of this.#connections) {
        if (now - aliveAtMs < TCP_IDLE_MS_MAX) continue;
        this.#options.dropped("idle");
        socket.destroy();
      }
      this.#lookLater();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancelLook();
    for (const socket of this.#connections.keys()) socket.destroy();
    if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off("drain", done);
      socket.off("close", done);
      resolve();
    };
    socket.on("drain", done);
    socket.on("close", done);
  });
}
