/**
 * The resources and sessions that a request names, read where the route's schema has them. So policies, limits and foreign sessions are
 * checked in one place, before any handler runs. A route that names nothing concerns everything, so callers with narrow rights cannot use
 * it, even if its author did not think of them.
 */
import type { FastifyRequest, RouteOptions } from "fastify";
import { type Action, actionRow, type Resource, type ResourceField } from "#authorization";
import { own, ownMember } from "#base";

const DEFAULT_NAMESPACE = "default";
/** Levels of a body's schema that are examined. Every schema has fewer. */
const DEPTH_MAX = 6;

/** The fields of a resource by the names that schemas have for them. */
const FIELDS: Readonly<Record<string, ResourceField>> = {
  namespace: "namespace",
  "x-posthouse-namespace": "namespace",
  app: "app",
  "x-posthouse-app": "app",
  profile: "profile",
  "x-posthouse-profile": "profile",
  key: "key",
  service: "service",
  lock: "lock",
};
/** Names a second resource, which differs from the first one in its namespace. */
const OTHER_NAMESPACE = "toNamespace";
/** The list of a body whose items are resources of their own. */
const ITEMS = "instances";

/** The place of a value in a request: parts of the path, with `*` for each item of a list. */
type Path = readonly string[];

interface Place {
  readonly field: ResourceField;
  readonly path: Path;
}

export interface RouteFields {
  readonly places: readonly Place[];
  /** In each item of the body's list. Paths begin at the item. */
  readonly itemPlaces: readonly Place[];
  readonly otherNamespaces: readonly Path[];
  readonly sessions: readonly Path[];
}

export type AboutRoute = "nothing" | "everything" | undefined;

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
  const found: { [Kind in keyof RouteFields]: RouteFields[Kind][number][] } = {
    places: [],
    itemPlaces: [],
    otherNamespaces: [],
    sessions: [],
  };
  const parts = { params: schema.params, query: schema.querystring, headers: schema.headers, body: schema.body };
  const visit = (inner: Schema | undefined, path: Path): void => {
    if (!inner || path.length > DEPTH_MAX) return;
    for (const [name, member] of Object.entries(inner.properties ?? {})) {
      const here = [...path, name];
      const field = own(FIELDS, name);
      if (name === "session") found.sessions.push(here);
      if (name === OTHER_NAMESPACE && path.length === 1) found.otherNamespaces.push(here);
      if (field !== undefined && path.length === 1) found.places.push({ field, path: here });
      if (field !== undefined && isItem(path)) found.itemPlaces.push({ field, path: [name] });
      visit(member, here);
    }
    visit(inner.items, [...path, "*"]);
    for (const one of inner.anyOf ?? []) visit(one, path);
  };
  for (const [part, inner] of Object.entries(parts)) visit(inner as Schema | undefined, [part]);
  return found;
}

function isItem(path: Path): boolean {
  return path.length === 3 && path[0] === "body" && path[1] === ITEMS && path[2] === "*";
}

/** The texts at a path of a request. Queries and paths are text already; numbers in a body do not pass its schema. */
export function valuesAt({ params, query, headers, body }: FastifyRequest, path: Path): string[] {
  return textsIn({ params, query, headers, body }, path);
}

function textsIn(holder: unknown, path: Path): string[] {
  let values: unknown[] = [holder];
  for (const part of path) {
    values = values.flatMap((value) => {
      if (part === "*") return Array.isArray(value) ? (value as unknown[]) : [];
      const inner = ownMember(value, part);
      return inner === undefined ? [] : [inner];
    });
  }
  return values.flat().filter((value) => typeof value === "string");
}

/** The places of a route's names by the fields that its action has, found once and not for every request. */
export interface ResourcePlan {
  readonly action: Action;
  readonly fields: readonly {
    readonly field: ResourceField;
    readonly places: readonly Path[];
    readonly absent?: string;
  }[];
  readonly otherNamespaces: readonly Path[];
  readonly items: readonly Place[];
}

export function resourcePlan(
  { places, otherNamespaces, itemPlaces }: RouteFields,
  { action, about }: { readonly action: Action; readonly about: AboutRoute },
): ResourcePlan {
  const known = actionRow(action).fields;
  const fields = known.flatMap((field) => {
    const here = places.filter((place) => place.field === field).map(({ path }) => path);
    if (here.length === 0) return [];
    const hasDefault = field === "namespace" && about !== "everything";
    return [{ field, places: here, ...(hasDefault ? { absent: DEFAULT_NAMESPACE } : {}) }];
  });
  return { action, fields, otherNamespaces, items: itemPlaces.filter(({ field }) => known.includes(field)) };
}

/** The resources of a request. Each item of a batch is one, and each value of a name that may have several. */
export function resourcesOf(request: FastifyRequest, { fields, otherNamespaces, items }: ResourcePlan): Resource[] {
  const first: Writable = {};
  let all: Resource[] = [first];
  for (const { field, places, absent } of fields) {
    const values = namesAt(request, places);
    const value = typeof values === "object" ? values[0] : (values ?? absent);
    if (value !== undefined) first[field] = value;
    if (typeof values === "object") all = all.flatMap((one) => values.map((each) => ({ ...one, [field]: each })));
    else if (all[0] !== first) all = all.map((one) => ({ ...one, [field]: value }));
  }
  for (const path of otherNamespaces) {
    for (const namespace of valuesAt(request, path)) all = [...all, { ...first, namespace }];
  }
  const batch = items.length === 0 ? undefined : ownMember(request.body, ITEMS);
  if (!Array.isArray(batch) || batch.length === 0) return all;
  return batch.map((item) => ({ ...first, ...itemOf(item, items) }));
}

type Writable = { -readonly [Field in keyof Resource]: Resource[Field] };

/** The text at these places of a request; several different ones as a list. Most requests have one, which costs no list. */
function namesAt(request: FastifyRequest, places: readonly Path[]): string | readonly string[] | undefined {
  let one: string | undefined;
  let several: Set<string> | undefined;
  for (const [part = "", name = ""] of places) {
    const found = ownMember(request[part as "params"], name);
    for (const value of Array.isArray(found) ? (found as unknown[]) : [found]) {
      if (typeof value !== "string" || value === one) continue;
      if (one === undefined) one = value;
      else (several ??= new Set([one])).add(value);
    }
  }
  return several ? [...several] : one;
}

function itemOf(item: unknown, places: readonly Place[]): Resource {
  return Object.fromEntries(
    places.flatMap(({ field, path }) => textsIn(item, path).map((value) => [field, value] as const)),
  );
}

/** The fields that a request can name. */
export function namesIn({ places, itemPlaces }: RouteFields): ResourceField[] {
  return [...places, ...itemPlaces].map(({ field }) => field);
}
