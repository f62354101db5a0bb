/**
 * The local API on a Unix socket that only the agent's user can open, unless settings widen it. The permissions of its folder and file
 * protect it, so its callers need no token.
 */
import { chmod, chown, mkdir, rename, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { createServer, type Server } from "node:http";
import { dirname, join } from "node:path";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { messageOf, type Host } from "#base";
import { HEADERS_MS_MAX, KEEP_ALIVE_MS, REQUEST_MS_MAX } from "#http";
import { AgentErrors } from "./api.ts";
import type { SocketSettings } from "./settings.ts";
import { AS_IT_IS, ownerIds } from "./system-ids.ts";

/** Milliseconds that requests under way may take to end at a stop. */
const CLOSE_MS_MAX = 1_000;
const FOLDER_MODE = 0o700;
/** Ends the name of the folder in which a socket gets its owner and mode, before anybody can reach it. */
const MAKING = ".new";
/** Bytes of a socket's path that every system accepts (sockaddr_un.sun_path, with its final zero). */
const PATH_BYTES_MAX = 103;

export class LocalSocket implements AsyncDisposable {
  readonly #host: Host;
  readonly #app: FastifyInstance;
  readonly #path: string;
  readonly #settings: SocketSettings;
  readonly #sockets = new WeakSet<Socket>();
  #server: Server | undefined;

  constructor(host: Host, app: FastifyInstance, { dataDir, socket }: { dataDir: string; socket: SocketSettings }) {
    this.#host = host;
    this.#app = app;
    this.#path = socket.path ?? join(dataDir, "agent.sock");
    this.#settings = socket;
  }

  /** Whether a request arrived over this socket. */
  readonly has = ({ raw }: FastifyRequest): boolean => this.#sockets.has(raw.socket);

  /** Listens, and returns the path; undefined where the path is longer than a socket's may be. @throws AGENT_NOT_LISTENING */
  async listen(): Promise<string | undefined> {
    if (Buffer.byteLength(makingPath(this.#path)) > PATH_BYTES_MAX) {
      this.#host.log.warn(
        { path: this.#path },
        "the path of the local API's Unix socket is too long; use the port with the token",
      );
      return undefined;
    }
    const server = createServer(
      { requestTimeout: REQUEST_MS_MAX, headersTimeout: HEADERS_MS_MAX, keepAliveTimeout: KEEP_ALIVE_MS },
      (request, response) => this.#app.routing(request, response),
    );
    server.on("connection", (socket) => this.#sockets.add(socket));
    try {
      // The socket of a killed agent is removed. A socket that answers belongs to another agent with the same folder.
      if (await isAnswered(this.#path)) throw new Error("another agent listens on it");
      await this.#place(server);
    } catch (cause) {
      server.close();
      if (AgentErrors.OWNER_UNKNOWN.is(cause)) throw cause;
      throw AgentErrors.NOT_LISTENING(
        `The agent's local API cannot listen on ${this.#path}: ${messageOf(cause)}. If another agent uses this path, set another data folder or agentSocket. Only root can give the socket to another user.`,
        { cause },
      );
    }
    this.#server = server;
    return this.#path;
  }

  /** Listens in a folder of its own, and moves the socket to its place once it has its owner and mode. */
  async #place(server: Server): Promise<void> {
    const { uid, gid } = await ownerIds(this.#settings);
    const making = makingPath(this.#path);
    const folder = dirname(making);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { mode: FOLDER_MODE });
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(making, resolve);
      });
      if (uid !== AS_IT_IS || gid !== AS_IT_IS) await chown(making, uid, gid);
      await chmod(making, this.#settings.mode);
      await rename(making, this.#path);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    if (!server) return;
    await rm(this.#path, { force: true });
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
    const cancel = this.#host.clock.after(CLOSE_MS_MAX, () => server.closeAllConnections());
    await closed;
    cancel();
  }
}

function makingPath(path: string): string {
  return join(`${path}${MAKING}`, "s");
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
