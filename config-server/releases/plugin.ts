/** The routes of live config and of releases. They translate between HTTP and the config server, and decide nothing. */
import type { FastifyInstance } from "fastify";
import type { Acknowledgements } from "../rollouts/acknowledgements.ts";
import { acknowledgementRoutes } from "../rollouts/acknowledgement-routes.ts";
import type { Subscribers } from "../rollouts/subscribers.ts";
import type { ConfigServer } from "./config-server.ts";
import { effectiveRoutes, watchRoute } from "./effective-routes.ts";
import { keyRoutes } from "./key-routes.ts";
import { releaseRoutes } from "./release-routes.ts";

export interface ConfigParts {
  readonly config: ConfigServer;
  readonly acknowledgements: Acknowledgements;
  readonly subscribers: Subscribers;
}

export function configPlugin(app: FastifyInstance, { config, acknowledgements, subscribers }: ConfigParts): void {
  effectiveRoutes(app, { config, subscribers });
  acknowledgementRoutes(app, acknowledgements);
  releaseRoutes(app, config);
  keyRoutes(app, config);
  watchRoute(app, { config, subscribers });
}
