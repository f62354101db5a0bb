/** OFREP at the agent: flags are evaluated here, from what is known, also while the server is away. */
import type { FastifyInstance } from "fastify";
import type { Host } from "#base";
import { flagsPlugin } from "#flags";
import { principalOf, requireWithin } from "#http";
import type { LocalAgent } from "./agent.ts";

export function agentFlags(app: FastifyInstance, host: Host, agent: LocalAgent): void {
  flagsPlugin(app, host, {
    action: "open",
    effective: async (name, reply) => {
      requireWithin(principalOf(reply.request), "apps", { namespace: name.namespace, name: name.app });
      const { value, stale, ageSeconds } = await agent.config(name);
      void reply.header("age", String(ageSeconds));
      if (stale) void reply.header("x-posthouse-stale", "true");
      return value;
    },
  });
}
