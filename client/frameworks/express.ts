/**
 * The Express middleware, `posthouse/express`: serves the health route, gives the client as `app.locals.posthouse`, and with `listen`
 * registers the server and drains it at SIGTERM.
 */
import type { Server } from "node:http";
import type { Application, NextFunction, Request, RequestHandler, Response } from "express";
import type { Posthouse } from "../connect.ts";
import { withTraceOf } from "../fetch/trace-context.ts";
import { clientHost } from "../connect.ts";
import { closeServer } from "../registration/close-server.ts";
import { HostedService, type HostedServiceOptions } from "./hosted-service.ts";

/** Milliseconds that a closing server may finish requests. */
const FINISH_MS = 15_000;

export type PosthouseExpressOptions = HostedServiceOptions;

/** The middleware, and what belongs to it. */
export interface PosthouseExpress extends RequestHandler, AsyncDisposable {
  readonly client: Posthouse;
  /** Listens, and registers the address. Resolves once the server listens and is registered. */
  listen(app: Application, port?: number, host?: string): Promise<Server>;
  /** Drains, closes the server once its requests are finished, and then the client. */
  close(): Promise<void>;
}

/** `const service = posthouse({ service: "orders" }); app.use(service); await service.listen(app, 8080);` */
export function posthouse(options: PosthouseExpressOptions = {}): PosthouseExpress {
  const service = new HostedService(options);
  const handler = (request: Request, response: Response, next: NextFunction): void => {
    request.app.locals["posthouse"] = service.client;
    if (request.path === service.healthPath && (request.method === "GET" || request.method === "HEAD")) {
      service.health().then(({ status, body }) => response.status(status).json(body), next);
      return;
    }
    withTraceOf(request.headers, next);
  };
  let server: Server | undefined;
  let closed: Promise<void> | undefined;
  const closeOnce = async () => {
    await service.drain();
    if (server?.listening) await closeServer(clientHost(), server, FINISH_MS);
    await service.close();
  };
  const close = () => (closed ??= closeOnce());
  const listen = async (app: Application, port = 0, host?: string) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const done = (error?: Error) => (error ? reject(error) : resolve());
    const listening = host === undefined ? app.listen(port, done) : app.listen(port, host, done);
    server = listening;
    await promise;
    try {
      await service.listening(listening, close);
    } catch (error) {
      await close();
      throw error;
    }
    return listening;
  };
  return Object.assign(handler, { client: service.client, listen, close, [Symbol.asyncDispose]: close });
}
export default posthouse;
