/** Routes of every process for operators and orchestrators: liveness, readiness, metrics. */
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import type { Host } from "#base";
import { metricsFormat } from "./metrics-format.ts";
import { HttpErrors } from "./problem.ts";

export interface OperationsOptions {
  /** Parts that are not ready yet, for people; empty when the process is ready. */
  readonly notReady: () => readonly string[];
  /** Functions that are unavailable while the rest works, for people. Requests need not go elsewhere. */
  readonly degraded?: () => readonly string[];
  /** Whether /metrics needs a token, because the server listens beyond loopback. */
  readonly guardMetrics: boolean;
}

const Ready = Type.Object({
  status: Type.Literal("ready"),
  degraded: Type.Optional(
    Type.Array(Type.String(), { description: "Functions that are unavailable while the rest works." }),
  ),
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
      schema: {
        tags: ["operations"],
        summary: "The process is ready; otherwise 503 with the reasons",
        response: { 200: Ready },
      },
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
      schema: {
        tags: ["operations"],
        summary: "Prometheus metrics",
        produces: ["text/plain", "application/openmetrics-text"],
      },
    },
    async (request, reply) => {
      const { contentType, text } = await host.metrics.expose(metricsFormat(request.headers.accept));
      return reply.header("vary", "accept").type(contentType).send(text);
    },
  );
}
