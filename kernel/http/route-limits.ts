/**
 * The namespaces, apps, services and sessions that a request names, read where the route's schema has them. So limits and foreign sessions
 * are rejected in one place, before any handler runs. A route that names nothing concerns everything, so limited principals cannot use
 * it, even if its author did not think of limits.
 */
import type { FastifyRequest, RouteOptions } from "fastify";
import { type Action, OWN_APP } from "#authorization";
import { own, ownMember } from "#base";
import { limitsFor } from "./decisions.ts";
import type { Principal } from "./principal.ts";
import { type Limits, within } from "./limits.ts";
import { HttpErrors } from "./problem.ts";

const DEFAULT_NAMESPACE = "default";
/** Levels of a body's schema that are examined. Every schema has fewer. */
const DEPTH_MAX = 6;

type Kind = keyof Limits;
const KINDS: Readonly<Record<string, Kind>> = {
  namespace: "namespaces",
  toNamespace: "namespaces",
  "x-posthouse-namespace": "namespaces",
  app: "apps",
  "x-posthouse-app": "apps",
  service: "services",
};

/** The place of a field in a schema: parts of the path, with `*` for each item of a list. */
type Path = readonly string[];

export interface RouteFields {
  readonly names: readonly { readonly kind: Kind; readonly path: Path }[];
  readonly sessions: readonly Path[];
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

/**
 * The fields of a route. Names count in the path, the query and headers, and at the top of a body or of its items. Deeper names may have
 * another meaning. A session counts everywhere.
 */
export function fieldsOf({ schema = {} }: RouteOptions): RouteFields {
  const names: { kind: Kind; path: Path }[] = [];
  const sessions: Path[] = [];
  const parts = { params: schema.params, query: schema.querystring, headers: schema.headers, body: schema.body };
  const visit = (part: string, found: Schema | undefined, path: Path): void => {
    if (!found || path.length > DEPTH_MAX) return;
    for (const [name, inner] of Object.entries(found.properties ?? {})) {
      const here = [...path, name];
      if (name === "session") sessions.push(here);
      const kind = own(KINDS, name);
      const outer = path.length === 1 || (part === "body" && path.length === 3 && path[1] === "instances");
      if (kind !== undefined && outer) names.push({ kind, path: here });
      visit(part, inner, here);
    }
    visit(part, found.items, [...path, "*"]);
    for (const one of found.anyOf ?? []) visit(part, one, path);
  };
  for (const [part, found] of Object.entries(parts)) visit(part, found as Schema | undefined, [part]);
  return { names, sessions };
}

/** The texts at a path of a request. */
export function valuesAt({ params, query, headers, body }: FastifyRequest, path: Path): string[] {
  let values: unknown[] = [{ params, query, headers, body }];
  for (const part of path) {
    values = values.flatMap((value) => {
      if (part === "*") return Array.isArray(value) ? (value as unknown[]) : [];
      const inner = ownMember(value, part);
      return inner === undefined ? [] : [inner];
    });
  }
  return values.flat().filter((value) => typeof value === "string");
}

export type AboutRoute = "nothing" | "everything" | undefined;

/**
 * Rejects requests outside of a principal's limits. `about`: whether the route concerns no names at all, or all of them when the request
 * omits them.
 * @throws HTTP_FORBIDDEN
 */
export function requireWithinLimits(
  request: FastifyRequest,
  principal: Principal,
  { action, about, fields }: { action: Action; about: AboutRoute; fields: RouteFields },
): void {
  const { limits } = principal;
  if (limits === undefined || about === "nothing") return;
  for (const kind of limitsFor(action)) {
    const limit = limits[kind];
    if (limit === undefined) continue;
    const places = fields.names.filter((field) => field.kind === kind);
    const named = places.flatMap(({ path }) => valuesAt(request, path));
    if (kind === "namespaces" && places.length > 0 && named.length === 0) named.push(DEFAULT_NAMESPACE);
    const isOwn = (name: string) => kind === "apps" && action === "config:read" && name === OWN_APP;
    const outside = named.find((name) => !within(limit, name) && !isOwn(name));
    if (outside === undefined && named.length > 0 && about !== "everything") continue;
    const what = outside === undefined ? `but the request concerns all of them` : `which do not include "${outside}"`;
    throw HttpErrors.FORBIDDEN(
      `"${principal.name}" is limited to the ${kind} ${limit.join(", ") || "(none)"}, ${what}. Use another token.`,
      { extra: { limit: kind } },
    );
  }
}
