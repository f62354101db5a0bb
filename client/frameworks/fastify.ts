/**
 * The Fastify plugin, `posthouse/fastify`: registers the server when it listens, serves the health route, drains at close, and gives
 * the client as `fastify.posthouse`.
 */
import type { FastifyInstance, FastifyPluginAsync } from "fastify";
import plugin from "fastify-plugin";
import type { Posthouse } from "../connect.ts";
import { withTraceOf } from "../fetch/trace-context.ts";
import { HostedService, type HostedServiceOptions } from "./hosted-service.ts";

declare module "fastify" {
  interface FastifyInstance {
    /** The client of the control plane. */
    posthouse: Posthouse;
  }
}

export type PosthouseFastifyOptions = HostedServiceOptions;

const register: FastifyPluginAsync<PosthouseFastifyOptions> = async (fastify, options) => {
  const service = new HostedService(options);
  fastify.decorate("posthouse", service.client);
  if (service.healthPath !== undefined) {
    fastify.get(service.healthPath, { logLevel: "silent" }, async (_request, reply) => {
      const { status, body } = await service.health();
      return reply.code(status).send(body);
    });
  }
  fastify.addHook("onRequest", (request, _reply, done) => withTraceOf(request.headers, done));
  fastify.addHook("onListen", () => service.listening(serverOf(fastify), () => fastify.close()));
  // The server still listens here, and closes after the drain.
  fastify.addHook("preClose", () => service.drain());
  fastify.addHook("onClose", () => service.close());
};

function serverOf({ server }: FastifyInstance) {
  return server;
}

/**
 * `app.register(posthouse, { service: "orders" })`. At SIGTERM the service is drained before the app closes. An app that is closed by
 * `app.close()` answers 503 during the drain, unless it has Fastify's option `return503OnClosing: false`.
 */
export const posthouse = plugin(register, { fastify: "5.x", name: "posthouse" });
export default posthouse;
