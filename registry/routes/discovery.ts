/** The route that discovers the instances of a service. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import {
  IF_NONE_MATCH_CHARS_MAX,
  parseIfNoneMatch,
  principalOf,
  requireAllowed,
  requireCurrent,
  whileConnected,
} from "#http";
import { CheckStatus, Filter, InstanceList, Name, Namespace } from "../api.ts";
import type { ServiceName } from "../core/keys.ts";
import type { Predicate } from "../core/selector.ts";
import type { Registry } from "../registry.ts";
import { DEFAULT_NAMESPACE, predicatesOf, READ, revisionOf, TAGS, unknownService, Wait } from "./request.ts";

const DiscoveryQuery = Type.Object(
  {
    namespace: Type.Optional(Namespace),
    healthy: Type.Optional(
      Type.Boolean({
        description: "true: only instances that are serving and passing or warning. false: only the others.",
      }),
    ),
    status: Type.Optional(CheckStatus),
    tag: Type.Optional(Type.Array(Type.String(), { description: "Only instances with all of these tags." })),
    filter: Type.Optional(Filter),
    subset: Type.Optional(Type.Unsafe<string>({ ...Name, description: "A subset of the service's policy." })),
    near: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: "Instances of this zone are listed first." }),
    ),
    failover: Type.Optional(
      Type.Boolean({
        description:
          "Return the first tier that is not in panic: this zone, all zones, the service's fallback. `from` names it.",
      }),
    ),
    revision: Type.Optional(Type.Integer({ minimum: 0, description: "Wait until this revision is seen." })),
    wait: Type.Optional(Wait),
  },
  { additionalProperties: false },
);

export function discoveryRoute(untyped: FastifyInstance, registry: Registry): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/services/:service/instances",
    {
      config: READ,
      schema: {
        tags: TAGS,
        summary: "Discover the instances of a service; a long poll with If-None-Match and wait, which may return 304",
        params: Type.Object({ service: Name }),
        querystring: DiscoveryQuery,
        headers: Type.Object({ "if-none-match": Type.Optional(Type.String({ maxLength: IF_NONE_MATCH_CHARS_MAX })) }),
        response: { 200: InstanceList, 304: Type.Null() },
      },
    },
    async (request, reply) => {
      const { service } = request.params;
      const { namespace = DEFAULT_NAMESPACE, revision, wait = 0, healthy, near, failover = false } = request.query;
      const signal = whileConnected(reply);
      if (revision !== undefined) await registry.waitFor(revision, signal);
      revisionOf(registry);
      const matches = matchesOf(registry, { namespace, service }, request.query);
      const { state, tag, isKnown } = await registry.discover(
        { namespace, service, matches, healthy, near, failover },
        { known: parseIfNoneMatch(request.headers["if-none-match"]), waitMs: wait * 1000, signal },
      );
      requireCurrent(request);
      if (tag === undefined) throw unknownService({ namespace, service });
      // A fallback is another service, which the caller may not be allowed to see.
      const { from } = state;
      if (from !== undefined) requireAllowed(principalOf(request), READ.action, from);
      void reply.header("etag", `W/"${tag}"`).header("cache-control", "no-cache");
      if (isKnown) return reply.code(304).send(null);
      const { instances, panic, reason } = state;
      return reply.header("x-posthouse-revision", String(state.revision)).send({
        revision: state.revision,
        instances: [...instances],
        panic,
        ...(reason === undefined ? {} : { reason }),
        ...(from === undefined ? {} : { from }),
      });
    },
  );
}

/** @throws REGISTRY_FILTER_INVALID, REGISTRY_SUBSET_NOT_FOUND */
function matchesOf(
  registry: Registry,
  name: ServiceName,
  query: { status?: CheckStatus; tag?: string[]; filter?: string; subset?: string },
): Predicate[] {
  const { status, subset } = query;
  const matches = predicatesOf(query);
  if (status !== undefined) matches.push((instance) => instance.status === status);
  if (subset !== undefined) matches.push(registry.subset(name, subset));
  return matches;
}
