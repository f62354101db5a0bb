/** A listener on a port or a Unix socket that is opened again until it succeeds: another program may still use the address. */
import { chmod, rm } from "node:fs/promises";
import { connect, type AddressInfo, type Server } from "node:net";
import { messageOf, type CancelTimer, type Host } from "#base";
import { LISTEN_RETRY_MS } from "./limits.ts";

export type ListenAt =
  | { readonly host: string; readonly port: number; readonly socket?: undefined }
  | { readonly socket: string; readonly mode: number };

export class OpenPort {
  readonly #host: Host;
  readonly #server: Server;
  readonly #at: ListenAt;
  readonly #onOpen: () => void;
  #cancel: CancelTimer | undefined;
  #problem: string | undefined;
  #closed = false;

  /** `onOpen` is called once the address accepts connections. */
  constructor(host: Host, server: Server, at: ListenAt, onOpen: () => void) {
    this.#host = host;
    this.#server = server;
    this.#at = at;
    this.#onOpen = onOpen;
    server.on("error", () => {});
  }

  /** Why it does not listen. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** The port that it listens on; undefined while it does not, and for a Unix socket. */
  get port(): number | undefined {
    const address = this.#server.address();
    return address !== null && typeof address !== "string" ? (address satisfies AddressInfo).port : undefined;
  }

  async open(): Promise<void> {
    if (this.#closed) return;
    try {
      await this.#listen();
      this.#problem = undefined;
    } catch (error) {
      const text = `cannot listen on ${shown(this.#at)}: ${messageOf(error)}`;
      if (this.#problem !== text) this.#host.log.error({ err: error }, `the sidecar ${text}; it tries again`);
      this.#problem = text;
      if (!this.#isClosed()) this.#cancel = this.#host.clock.after(LISTEN_RETRY_MS, () => void this.open());
      return;
    }
    if (this.#isClosed()) this.#server.close();
    else this.#onOpen();
  }

  #isClosed(): boolean {
    return this.#closed;
  }

  async #listen(): Promise<void> {
    const at = this.#at;
    if (at.socket !== undefined) {
      // The socket of a killed agent is removed. A socket that answers belongs to another program.
      if (await isAnswered(at.socket)) throw new Error("another program listens on it");
      await rm(at.socket, { force: true });
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once("error", reject);
    this.#server.once("listening", resolve);
    if (at.socket === undefined) this.#server.listen({ host: at.host, port: at.port });
    else this.#server.listen(at.socket);
    try {
      await promise;
    } finally {
      this.#server.off("error", reject).off("listening", resolve);
    }
    if (at.socket !== undefined) await chmod(at.socket, at.mode);
  }

  /** Tries no longer. The owner of the server closes it. */
  close(): void {
    this.#closed = true;
    this.#cancel?.();
  }
}

function shown(at: ListenAt): string {
  return at.socket === undefined ? `${at.host}:${at.port}` : at.socket;
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}
