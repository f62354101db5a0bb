/** The parts of a request and the checks that several routes of the registry share. */
import type { FastifyRequest } from "fastify";
import { Type } from "typebox";
import { HttpErrors, isAllowed, principalOf } from "#http";
import { Id, Name, Namespace, RegistryErrors } from "../api.ts";
import type { Commander } from "../core/commands/commander.ts";
import type { ServiceName } from "../core/keys.ts";
import { parseFilter, type Predicate } from "../core/selector.ts";
import type { Registry } from "../registry.ts";

export const TAGS = ["registry"];
export const READ = { action: "registry:read" } as const;
/** Reads several services, of which the caller sees those that it may read. */
export const LIST = { ...READ, perItem: true } as const;
export const WRITE = { action: "registry:write" } as const;

export const DEFAULT_NAMESPACE = "default";
export const InNamespace = Type.Object({ namespace: Type.Optional(Namespace) }, { additionalProperties: false });
export const InstanceParams = Type.Object({ service: Name, id: Id });

/** Seconds that a long poll may be held: shorter than the timeouts of common proxies. */
const WAIT_SECONDS_MAX = 60;
export const Wait = Type.Integer({
  minimum: 0,
  maximum: WAIT_SECONDS_MAX,
  description: "Seconds to wait until the response changes.",
});

/** The caller, by its token. An operator may also act on instances of other principals. */
export function commanderOf(request: FastifyRequest): Commander {
  const principal = principalOf(request);
  // For a batch: of every service in it.
  const overrides = request.resources?.every((one) => isAllowed(principal, "registry:override", one)) ?? false;
  return { id: principal.id, overrides };
}

/** The catalog's revision. @throws HTTP_UNAVAILABLE before the first listing: an incomplete catalog misleads its readers */
export function revisionOf(registry: Registry): number {
  const { revision } = registry;
  if (revision === 0) throw HttpErrors.UNAVAILABLE("The catalog is still loading. Retry shortly.");
  return revision;
}

/** The conditions that the tags and the filter of a query set. @throws REGISTRY_FILTER_INVALID */
export function predicatesOf({ tag = [], filter }: { tag?: string[]; filter?: string }): Predicate[] {
  const matches: Predicate[] = [];
  if (tag.length > 0) matches.push(({ tags }) => tag.every((wanted) => tags.includes(wanted)));
  if (filter !== undefined) matches.push(parseFilter(filter));
  return matches;
}

export function unknownService({ namespace, service }: ServiceName) {
  return RegistryErrors.SERVICE_NOT_FOUND(`No service "${service}" is registered in namespace "${namespace}".`);
}
