/** The OpenAPI 3.1 document of a server, made from the schemas that validate its requests. */
import type { FastifyInstance } from "fastify";
import { own, setOwn } from "#base";
import { PROBLEM_TYPE } from "./problem.ts";

export interface OpenApiOptions {
  readonly title: string;
  readonly version: string;
  readonly description: string;
  /** Descriptions of the routes' tags. */
  readonly tags: Readonly<Record<string, string>>;
  /** Whether a path needs no token; absent: by the action of its route. */
  readonly isOpen?: (path: string) => boolean;
  /** Contracts by area: a schema that a contract exports appears under its name in the document. */
  readonly contracts: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

declare module "fastify" {
  interface FastifySchema {
    /** Not in the document. */
    hide?: boolean;
    /** Replaces the name that is made from method and path, where that is already in use. */
    operationId?: string;
    tags?: readonly string[];
    summary?: string;
    description?: string;
    /** Content types of the body; absent: JSON. */
    consumes?: readonly string[];
    /** Content types of the response; absent: JSON. */
    produces?: readonly string[];
  }
}

type Json = Record<string, unknown>;

/** The parts of a route's schema that the document shows. */
interface RouteSchema {
  readonly hide?: boolean;
  readonly operationId?: string;
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly description?: string;
  readonly consumes?: readonly string[];
  readonly produces?: readonly string[];
  readonly params?: Json;
  readonly querystring?: Json;
  readonly headers?: Json;
  readonly body?: Json;
  readonly response?: Readonly<Record<string, Json>>;
}

interface Route {
  readonly method: string;
  readonly url: string;
  readonly schema: RouteSchema;
  readonly isOpen: boolean;
}

/** Call before any route. The document is at `path`, without a token, because it reveals nothing that the source does not. */
export function registerOpenApi(app: FastifyInstance, path: string, options: OpenApiOptions): void {
  const routes: Route[] = [];
  const isOpen = (url: string, action: string | undefined) => options.isOpen?.(url) ?? action === "open";
  app.addHook("onRoute", ({ method, url, schema = {}, config }) => {
    const { hide = false } = schema as RouteSchema;
    if (hide || config?.isFallback) return;
    for (const one of [method].flat()) {
      if (one !== "HEAD" && one !== "OPTIONS") {
        routes.push({
          method: one.toLowerCase(),
          url,
          schema: schema as RouteSchema,
          isOpen: isOpen(url, config?.action),
        });
      }
    }
  });
  let text: string | undefined;
  app.get(path, { config: { action: "open" }, schema: { hide: true } }, (_request, reply) => {
    text ??= JSON.stringify(documentOf(routes, options));
    return reply
      .serializer((json: string) => json)
      .type("application/json")
      .send(text);
  });
}

const PROBLEM_SCHEMA: Json = {
  type: "object",
  description: "RFC 9457. Branch on `code`. `detail` is for people and may change.",
  properties: {
    type: { type: "string", format: "uri-reference", description: "The page of the code at the responding server." },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string", description: "The problem, and what to do." },
    instance: { type: "string", description: "The path of the request." },
    code: { type: "string", description: "Stable, such as REGISTRY_INSTANCE_NOT_FOUND." },
  },
  required: ["type", "title", "status", "detail", "code"],
};

function documentOf(routes: readonly Route[], { title, version, description, tags, contracts }: OpenApiOptions): Json {
  const names = new SchemaNames(contracts);
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = route.url.replaceAll(/:([A-Za-z]+)/g, "{$1}");
    setOwn(paths, path, { ...own(paths, path), [route.method]: operationOf(route, names) });
  }
  const used = new Set(routes.flatMap(({ schema }) => schema.tags ?? []));
  return {
    openapi: "3.1.0",
    info: {
      title,
      version,
      description,
      contact: { name: "The posthouse project" },
      license: { name: "Apache License 2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/", description: "The server that provides this document." }],
    tags: [...used].map((name) => ({ name, description: own(tags, name) ?? name })),
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      responses: {
        Problem: {
          description: "The problem, and what to do.",
          content: { [PROBLEM_TYPE]: { schema: { $ref: "#/components/schemas/Problem" } } },
        },
      },
      schemas: { Problem: PROBLEM_SCHEMA, ...names.components() },
    },
  };
}

function operationOf({ method, url, schema, isOpen }: Route, names: SchemaNames): Json {
  const { tags = [], summary = "", description, params, querystring, headers } = schema;
  const parameters = [
    ...parametersOf("path", params, names),
    ...parametersOf("query", querystring, names),
    ...parametersOf("header", headers, names),
  ];
  const body = requestBodyOf(schema, names);
  return {
    operationId: schema.operationId ?? operationIdOf(method, url),
    tags,
    summary,
    description: description ?? `${summary}.`,
    ...(isOpen ? { security: [] } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body ? { requestBody: body } : {}),
    responses: {
      ...responsesOf(schema, names),
      "4XX": { $ref: "#/components/responses/Problem" },
      "5XX": { $ref: "#/components/responses/Problem" },
    },
  };
}

/** `GET /v1/services/:service/instances` is `getServicesInstances`; a name at the end is `ById`. */
export function operationIdOf(method: string, url: string): string {
  const parts = url.split("/").filter((part) => part !== "" && part !== "v1");
  const words = parts.flatMap((part, at) => {
    if (!part.startsWith(":")) return part.split("-");
    return at === parts.length - 1 ? ["by", part.slice(1)] : [];
  });
  return [method, ...words.map((word) => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`)].join("");
}

function parametersOf(place: "path" | "query" | "header", schema: Json | undefined, names: SchemaNames): Json[] {
  const { properties = {}, required = [] } = (schema ?? {}) as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, property]) => {
    const { description } = property as { description?: string };
    return {
      name,
      in: place,
      required: place === "path" || required.includes(name),
      ...(description === undefined ? {} : { description }),
      schema: names.shown(property),
    };
  });
}

const BYTES: Json = { type: "string", format: "binary" };

function requestBodyOf({ body, consumes }: RouteSchema, names: SchemaNames): Json | undefined {
  if (!body && !consumes) return undefined;
  const types = consumes ?? ["application/json"];
  const schema = body ? names.shown(body) : BYTES;
  return { required: true, content: Object.fromEntries(types.map((type) => [type, { schema }])) };
}

const STATUS_TEXT: Readonly<Record<string, string>> = {
  200: "Success.",
  201: "Created.",
  204: "Done.",
  304: "Not modified.",
};

function responsesOf({ response = {}, produces }: RouteSchema, names: SchemaNames): Json {
  const rows = Object.entries(response).map(([status, schema]): [string, Json] => {
    const text = (schema["description"] as string | undefined) ?? own(STATUS_TEXT, status) ?? `Status ${status}.`;
    if (schema["type"] === "null") return [status, { description: text }];
    const types = produces ?? ["application/json"];
    const content = Object.fromEntries(types.map((type) => [type, { schema: names.shown(schema) }]));
    return [status, { description: text, content }];
  });
  if (rows.some(([status]) => status.startsWith("2"))) return Object.fromEntries(rows);
  const content = Object.fromEntries((produces ?? []).map((type) => [type, { schema: textOrBytes(type) }]));
  const done = { description: "Success.", ...(produces ? { content } : {}) };
  return Object.fromEntries([[produces ? "200" : "204", produces ? done : { description: "Done." }], ...rows]);
}

function textOrBytes(type: string): Json {
  return type.startsWith("text/") ? { type: "string" } : BYTES;
}

/** Finds the schemas that have a name, and keeps the ones in use. */
class SchemaNames {
  readonly #names = new Map<string, string>();
  readonly #used = new Map<string, Json>();

  constructor(contracts: OpenApiOptions["contracts"]) {
    const taken = new Set(["Problem"]);
    for (const [area, contract] of Object.entries(contracts)) {
      for (const [exported, schema] of Object.entries(contract)) {
        if (!isSchema(schema)) continue;
        const text = JSON.stringify(schema);
        if (this.#names.has(text)) continue;
        const name = taken.has(exported) ? `${area}${exported}` : exported;
        taken.add(name);
        this.#names.set(text, name);
      }
    }
  }

  /** A reference for a schema with a name, else the schema with references inside. */
  shown(schema: Json): Json {
    const text = JSON.stringify(schema);
    const name = this.#names.get(text);
    if (name === undefined) return this.#plain(JSON.parse(text) as Json);
    if (!this.#used.has(name)) {
      // Stored before its parts are examined, because one of them may refer to it.
      this.#used.set(name, {});
      this.#used.set(name, this.#plain(JSON.parse(text) as Json));
    }
    return { $ref: `#/components/schemas/${name}` };
  }

  components(): Record<string, Json> {
    return Object.fromEntries([...this.#used].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** Choices as `enum` and records as `additionalProperties`, which client generators understand best. */
  #plain(schema: Json): Json {
    const { anyOf, patternProperties, ...rest } = schema as {
      anyOf?: Json[];
      patternProperties?: Record<string, Json>;
    };
    const words = anyOf?.map((side) => side["const"]);
    if (words?.every((word) => typeof word === "string")) return { ...rest, type: "string", enum: words };
    const made: Json = this.#inside(rest);
    if (anyOf) made["anyOf"] = anyOf.map((side) => this.shown(side));
    const [record] = Object.values(patternProperties ?? {});
    if (record) made["additionalProperties"] = this.shown(record);
    return made;
  }

  #inside(schema: Json): Json {
    const made: Json = {};
    for (const [keyword, value] of Object.entries(schema)) {
      if (keyword === "properties") {
        const members = Object.entries(value as Record<string, Json>);
        setOwn(made, keyword, Object.fromEntries(members.map(([name, member]) => [name, this.shown(member)])));
      } else if (["items", "additionalProperties", "not", "propertyNames"].includes(keyword) && isObject(value)) {
        setOwn(made, keyword, this.shown(value));
      } else if (["oneOf", "allOf", "prefixItems"].includes(keyword)) {
        setOwn(
          made,
          keyword,
          (value as Json[]).map((side) => this.shown(side)),
        );
      } else if (keyword !== "discriminator") setOwn(made, keyword, value);
    }
    return made;
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** TypeBox marks its schemas. */
function isSchema(value: unknown): value is Json {
  return isObject(value) && "~kind" in value;
}
