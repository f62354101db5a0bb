/** Services on real sockets that say which of them answered, and clients that call them through a real control API. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ConnectOptions } from "../../client/connect-options.ts";
import type { Posthouse } from "../../client/connect.ts";
import type { Registration } from "#registry/api";
import { lab, type Lab } from "./kit.ts";

export interface TestInstance extends AsyncDisposable {
  readonly id: string;
  readonly port: number;
  readonly server: Server;
  /** Requests that arrived. */
  readonly requests: { method: string; url: string; headers: IncomingMessage["headers"] }[];
}

export type Answering = (request: IncomingMessage, answer: ServerResponse, id: string) => void;

const ANSWER: Answering = (request, answer, id) => {
  request.resume();
  request.on("end", () => answer.end(id));
};

export async function startInstance(id: string, answering: Answering = ANSWER): Promise<TestInstance> {
  const requests: TestInstance["requests"] = [];
  const server = createServer((request, answer) => {
    requests.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers });
    answering(request, answer, id);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    id,
    port: (server.address() as AddressInfo).port,
    server,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface CallsLab extends AsyncDisposable {
  readonly lab: Lab;
  /** Starts an instance and registers it. */
  instance(
    id: string,
    options?: { answering?: Answering; registration?: Partial<Registration>; service?: string },
  ): Promise<TestInstance>;
  /** Registers an address where nothing may listen. */
  register(id: string, registration: Registration, service?: string): Promise<void>;
  client(options?: Partial<ConnectOptions>): Posthouse;
}

export async function callsLab(): Promise<CallsLab> {
  const inner = await lab();
  const stack = new AsyncDisposableStack();
  stack.use(inner);
  const register = async (id: string, registration: Registration, service = "orders") => {
    await inner.control.client.registry.register({ namespace: "default", service, id }, registration);
  };
  return {
    lab: inner,
    async instance(id, { answering, registration = {}, service } = {}) {
      const one = stack.use(await startInstance(id, answering));
      await register(id, { address: "127.0.0.1", port: one.port, ...registration }, service);
      return one;
    },
    register,
    client: (options = {}) => inner.service({ instance: "shop-1", app: "shop", ...options }).posthouse,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Calls so many times, one after the other; the answers' texts. */
export async function texts(posthouse: Posthouse, count: number, url = "http://orders.service/"): Promise<string[]> {
  const found: string[] = [];
  for (let index = 0; index < count; index++) found.push(await (await posthouse.fetch(url)).text());
  return found;
}
