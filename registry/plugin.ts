/** The registry's routes. They translate requests and decide nothing. */
import type { FastifyInstance } from "fastify";
import type { Drains } from "./drains.ts";
import type { Registry } from "./registry.ts";
import { discoveryRoute } from "./routes/discovery.ts";
import { healthRoutes, historyRoute } from "./routes/health.ts";
import { batchRoute, deregistrationRoute, registrationRoutes } from "./routes/instances.ts";
import { lifecycleRoutes } from "./routes/lifecycle.ts";
import { scrapeTargetsRoute } from "./routes/scrape-targets.ts";
import { policyRoutes, serviceRoutes } from "./routes/services.ts";
import { sessionRoutes, type SessionOpener } from "./routes/sessions.ts";
import { watcherRoutes, watchRoute } from "./routes/watches.ts";
import { weightRoute } from "./routes/weight.ts";

export function registryPlugin(
  app: FastifyInstance,
  { registry, drains, sessions }: { registry: Registry; drains: Drains; sessions: SessionOpener },
): void {
  serviceRoutes(app, registry);
  policyRoutes(app, registry);
  batchRoute(app, registry);
  discoveryRoute(app, registry);
  scrapeTargetsRoute(app, registry);
  registrationRoutes(app, registry);
  deregistrationRoute(app, { registry, drains });
  lifecycleRoutes(app, { registry, drains });
  weightRoute(app, registry);
  healthRoutes(app, registry);
  historyRoute(app, registry);
  sessionRoutes(app, { registry, sessions });
  watchRoute(app, registry);
  watcherRoutes(app, registry);
}
