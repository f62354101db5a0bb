/** The OpenAPI 3.1 page of a server, from the very schemas that check its requests. */
import swagger from "@fastify/swagger";
import type { FastifyInstance } from "fastify";

export interface OpenApiOptions {
  readonly title: string;
  readonly version: string;
  readonly description: string;
}

/** Call before any route; the page is then at `path`, open to all, since it says nothing that the source does not. */
export async function registerOpenApi(app: FastifyInstance, path: string, options: OpenApiOptions): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: options,
      components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
      security: [{ token: [] }],
    },
  });
  app.get(path, { config: { action: "open" }, schema: { hide: true } }, (_request, reply) =>
    reply.type("application/json").send(JSON.stringify(app.swagger())),
  );
}
