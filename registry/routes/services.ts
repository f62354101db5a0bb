/** Routes of services as a whole: their counts and their policies. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, maySee, principalOf } from "#http";
import { Changed, Name, RegistryErrors, ServiceList, ServicePolicy, ServiceView } from "../api.ts";
import type { Registry } from "../registry.ts";
import { DEFAULT_NAMESPACE, InNamespace, LIST, READ, revisionOf, TAGS, unknownService } from "./request.ts";

const ServiceParams = Type.Object({ service: Name });

export function serviceRoutes(untyped: FastifyInstance, registry: Registry): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    "/v1/services",
    {
      config: LIST,
      schema: {
        tags: TAGS,
        summary: "List services with their counts",
        querystring: InNamespace,
        response: { 200: ServiceList },
      },
    },
    (request) => {
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      const principal = principalOf(request);
      return {
        revision: revisionOf(registry),
        services: registry.catalog
          .services(namespace)
          .filter((name) => maySee(principal, READ.action, name))
          .map(({ namespace, service }) => registry.catalog.summary(namespace, service)),
      };
    },
  );

  app.get(
    "/v1/services/:service",
    {
      config: READ,
      schema: {
        tags: TAGS,
        summary: "Read a service: its counts, whether it is in panic, and its policy",
        params: ServiceParams,
        querystring: InNamespace,
        response: { 200: ServiceView },
      },
    },
    ({ params: { service }, query: { namespace = DEFAULT_NAMESPACE } }) => {
      revisionOf(registry);
      const { catalog } = registry;
      if (catalog.size(namespace, service) === 0 && !catalog.hasPolicy(namespace, service)) {
        throw unknownService({ namespace, service });
      }
      const policy = catalog.policy(namespace, service);
      return { ...catalog.summary(namespace, service), ...catalog.panic(namespace, service), policy };
    },
  );
}

export function policyRoutes(untyped: FastifyInstance, registry: Registry): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const config = { action: "registry:policies" } as const;

  app.put(
    "/v1/services/:service/policy",
    {
      config,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags: TAGS,
        summary: "Set a service's policy: default checks, panic threshold, fallback, subsets and hints",
        params: ServiceParams,
        querystring: InNamespace,
        body: ServicePolicy,
        response: { 200: Changed },
      },
    },
    ({ params: { service }, query: { namespace = DEFAULT_NAMESPACE }, body }) =>
      registry.commands.setPolicy({ namespace, service }, body),
  );

  app.delete(
    "/v1/services/:service/policy",
    {
      config,
      schema: {
        tags: TAGS,
        summary: "Delete a service's policy, so that the defaults apply",
        params: ServiceParams,
        querystring: InNamespace,
        response: { 200: Changed },
      },
    },
    ({ params: { service }, query: { namespace = DEFAULT_NAMESPACE } }) => {
      if (!registry.catalog.hasPolicy(namespace, service)) {
        throw RegistryErrors.POLICY_NOT_FOUND(`Service "${service}" of namespace "${namespace}" has no policy.`);
      }
      return registry.commands.setPolicy({ namespace, service }, undefined);
    },
  );
}
