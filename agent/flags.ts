/** OFREP at the agent: it evaluates flags from the configs that it knows, also while the server is away. */
import type { FastifyInstance } from "fastify";
import type { Host } from "#base";
import { flagsPlugin } from "#flags";
import type { LocalAgent } from "./agent.ts";
import { requireApp, sendKnown } from "./routes/request.ts";

export function agentFlags(app: FastifyInstance, host: Host, agent: LocalAgent): void {
  flagsPlugin(app, host, {
    action: "open",
    effective: async (name, reply) => {
      requireApp(reply.request, name);
      return sendKnown(reply, await agent.config(name));
    },
  });
}
