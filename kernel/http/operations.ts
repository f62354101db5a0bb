/** What operators and orchestrators ask of any process: is it alive, is it ready, what do its numbers say. */
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import type { Host } from "#base";
import { HttpErrors } from "./problem.ts";

export interface OperationsOptions {
  /** What is not ready yet, in words; empty when all is. */
  readonly notReady: () => readonly string[];
  /** What cannot be done while the rest can, in words: no reason to send requests elsewhere. */
  readonly degraded?: () => readonly string[];
  /** Whether /metrics needs a token: when the server listens beyond loopback. */
  readonly guardMetrics: boolean;
}

const Ready = Type.Object({
  status: Type.Literal("ready"),
  degraded: Type.Optional(Type.Array(Type.String(), { description: "What it cannot do, while it does all else." })),
});
const Live = Type.Object({ status: Type.Literal("live") });

export function registerOperations(app: FastifyInstance, host: Host, options: OperationsOptions): void {
  app.get(
    "/livez",
    {
      config: { action: "open" },
      schema: { tags: ["operations"], summary: "The process runs", response: { 200: Live } },
    },
    () => ({ status: "live" }),
  );
  app.get(
    "/readyz",
    {
      config: { action: "open" },
      schema: { tags: ["operations"], summary: "It can do its work; else 503 and why not", response: { 200: Ready } },
    },
    () => {
      const missing = options.notReady();
      if (missing.length > 0) throw HttpErrors.UNAVAILABLE(`Not ready: ${missing.join("; ")}.`);
      const degraded = options.degraded?.() ?? [];
      return { status: "ready" as const, ...(degraded.length === 0 ? {} : { degraded: [...degraded] }) };
    },
  );
  app.get(
    "/metrics",
    {
      config: { action: options.guardMetrics ? "operations:read" : "open" },
      schema: { tags: ["operations"], summary: "Prometheus metrics", produces: ["text/plain"] },
    },
    async (_request, reply) => {
      const { contentType, text } = await host.metrics.expose();
      return reply.type(contentType).send(text);
    },
  );
}
