/** The routes of a change before it is released. They translate between HTTP and the proposals, and decide nothing. */
import type { FastifyInstance } from "fastify";
import type { ConfigServer } from "../releases/config-server.ts";
import { comparisonRoutes } from "./comparison-routes.ts";
import { draftRoutes } from "./draft-routes.ts";
import { proposalRoutes } from "./proposal-routes.ts";
import type { Proposals } from "./proposals.ts";
import { rulesRoutes } from "./rules-routes.ts";

export function proposalsPlugin(app: FastifyInstance, config: ConfigServer, proposals: Proposals): void {
  const { drafts, rules } = proposals;
  draftRoutes(app, drafts);
  proposalRoutes(app, proposals);
  comparisonRoutes(app, { config, drafts });
  rulesRoutes(app, rules);
}
