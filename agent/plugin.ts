/** The local API's routes. They translate requests and decide nothing. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { principalOf } from "#http";
import type { LocalAgent } from "./agent.ts";
import { AgentStatus, SidecarState } from "./api.ts";
import { requireEverything } from "./local-access.ts";
import { configRoutes } from "./routes/config.ts";
import { fileRoutes } from "./routes/files.ts";
import { OPEN, TAGS } from "./routes/request.ts";
import { serviceRoutes } from "./routes/services.ts";

export function agentPlugin(app: FastifyInstance, agent: LocalAgent, closing: AbortSignal): void {
  serviceRoutes(app, agent.services);
  configRoutes(app, agent, closing);
  fileRoutes(app, agent.files);
  app.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/agent/sidecar",
    {
      config: OPEN,
      schema: {
        tags: TAGS,
        summary: "Get the state of the sidecar: ingresses, upstreams, and what the rules denied",
        response: { 200: SidecarState },
      },
    },
    (request) => {
      requireEverything(principalOf(request));
      return agent.sidecar.state();
    },
  );
  app.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/agent/status",
    {
      config: OPEN,
      schema: { tags: TAGS, summary: "Get the agent's state and its current problems", response: { 200: AgentStatus } },
    },
    (request) => {
      requireEverything(principalOf(request));
      return agent.status();
    },
  );
}
