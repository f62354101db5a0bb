/** The route that gives Prometheus the instances to scrape. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { isHealthy } from "#health/core";
import { maySee, principalOf } from "#http";
import { Filter, Name, Namespace, ScrapeTargetList } from "../api.ts";
import { scrapeTargetOf } from "../core/scrape-targets.ts";
import type { Registry } from "../registry.ts";
import { LIST, predicatesOf, READ, revisionOf, TAGS } from "./request.ts";

const ScrapeTargetsQuery = Type.Object(
  {
    namespace: Type.Optional(Type.Unsafe<string>({ ...Namespace, description: "Only this namespace. Absent: all." })),
    service: Type.Optional(Type.Array(Name, { maxItems: 64, description: "Only these services." })),
    tag: Type.Optional(
      Type.Array(Type.String({ maxLength: 128 }), {
        maxItems: 64,
        description: "Only instances with all of these tags.",
      }),
    ),
    filter: Type.Optional(Filter),
    healthy: Type.Optional(
      Type.Boolean({
        description:
          "true: only instances that are serving and passing or warning. Absent: all, since failing instances have metrics, too.",
      }),
    ),
  },
  { additionalProperties: false },
);

export function scrapeTargetsRoute(untyped: FastifyInstance, registry: Registry): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/sd/prometheus",
    {
      config: LIST,
      schema: {
        tags: TAGS,
        summary: "List the instances as scrape targets for the HTTP service discovery of Prometheus",
        querystring: ScrapeTargetsQuery,
        response: { 200: ScrapeTargetList },
      },
    },
    (request) => {
      revisionOf(registry);
      const { namespace, service, healthy } = request.query;
      const principal = principalOf(request);
      const { catalog } = registry;
      const matches = predicatesOf(request.query);
      if (healthy !== undefined) matches.push((instance) => isHealthy(instance) === healthy);
      return catalog
        .services(namespace)
        .filter(
          (name) => (service === undefined || service.includes(name.service)) && maySee(principal, READ.action, name),
        )
        .flatMap((name) => catalog.instances(name.namespace, name.service))
        .filter((instance) => matches.every((match) => match(instance)))
        .map(scrapeTargetOf);
    },
  );
}
