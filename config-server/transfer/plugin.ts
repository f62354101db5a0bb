/** The routes of exports and imports. */
import type { FastifyInstance } from "fastify";
import { exportRoutes } from "./export-routes.ts";
import { importRoute } from "./import-route.ts";
import type { Transfer } from "./transfer.ts";

export function transferPlugin(app: FastifyInstance, transfer: Transfer): void {
  exportRoutes(app, transfer);
  void app.register(async (scope) => importRoute(scope, transfer));
}
