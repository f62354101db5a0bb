/**
 * What a route does with a request that is let in: where it goes and how it is changed on its way, after the Gateway
 * API's HTTPRoute filters and Envoy's RouteAction. Texts marked as templates may hold variables; see core/rewriting/template.ts.
 */
import { Type, type Static } from "typebox";
import { Method } from "./match.ts";
import {
  FieldName,
  GATEWAY_DEFAULTS,
  HostName,
  ItemName,
  Path,
  Regex,
  ServiceName,
  strict,
  Text,
  TokenName,
} from "./words.ts";

/** Where requests go: a service of the gateway's namespace, or a cluster by name. */
export const backend = {
  service: Type.Optional(ServiceName),
  cluster: Type.Optional(ItemName),
};

const Template = Type.String({ maxLength: 2048, description: "May hold variables such as {client.address}." });

export const HeaderEdits = Type.Object(
  {
    set: Type.Optional(
      Type.Record(FieldName, Template, { maxProperties: 32, description: "In place of what is there." }),
    ),
    add: Type.Optional(Type.Record(FieldName, Template, { maxProperties: 32, description: "Beside what is there." })),
    remove: Type.Optional(Type.Array(FieldName, { maxItems: 32 })),
  },
  { ...strict, description: "First remove, then set, then add. Never headers that the gateway itself owns." },
);
export type HeaderEdits = Static<typeof HeaderEdits>;

export const Rewrite = Type.Object(
  {
    prefix: Type.Optional({ ...Path, description: "In place of the matched prefix or exact path." }),
    template: Type.Optional({ ...Path, description: "The whole path: /v2/{id}, with the variables of match.path." }),
    regex: Type.Optional(
      Type.Object(
        {
          pattern: { ...Regex, description: "RE2 syntax; every place that it fits is replaced." },
          replacement: Type.String({ maxLength: 1024, description: "\\1 to \\9 are the groups." }),
        },
        strict,
      ),
    ),
    host: Type.Optional({ ...HostName, description: "The Host that the service sees; absent: the endpoint's." }),
  },
  { ...strict, description: "Of the path one of prefix, template and regex." },
);
export type Rewrite = Static<typeof Rewrite>;

const PathMode = (description: string) =>
  Type.Optional(Type.Enum(["refuse", "report", "keep"], { default: "refuse", description }));

export const Paths = Type.Object(
  {
    encodedSlash: PathMode("`%2F` in a path, such as in an id: part of a segment to some services, a slash to others."),
    parameters: PathMode("`;…` in a segment before the last: part of a name to some services, ignored by others."),
  },
  {
    ...strict,
    description: "Paths that services read in two ways. report: they pass and are logged. keep: they pass.",
  },
);

export const Redirect = Type.Object(
  {
    scheme: Type.Optional(Type.Enum(["http", "https"])),
    host: Type.Optional(HostName),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
    prefix: Type.Optional({ ...Path, description: "In place of the matched prefix." }),
    path: Type.Optional({ ...Path, description: "The whole path; may hold the variables of match.path." }),
    status: Type.Optional(Type.Enum([301, 302, 303, 307, 308], { default: 302 })),
  },
  { ...strict, description: "What is not given stays as it came. The query is kept." },
);
export type Redirect = Static<typeof Redirect>;

export const Respond = Type.Object(
  {
    status: Type.Integer({ minimum: 200, maximum: 599 }),
    body: Type.Optional(Type.String({ maxLength: 65_536 })),
    contentType: Type.Optional(Type.String({ pattern: "^[a-z]+/[A-Za-z0-9.+-]+(; ?charset=[A-Za-z0-9-]+)?$" })),
  },
  strict,
);

export const SplitEntry = Type.Object(
  {
    ...backend,
    weight: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000, description: "Its share of what is left." })),
    when: Type.Optional(
      Type.Object(
        {
          header: Type.Optional(Type.Object({ name: FieldName, exact: Text }, strict)),
          cookie: Type.Optional(Type.Object({ name: TokenName, exact: Text }, strict)),
          consumers: Type.Optional(Type.Array(ItemName, { minItems: 1, maxItems: 256 })),
          groups: Type.Optional(Type.Array(ItemName, { minItems: 1, maxItems: 64 })),
        },
        {
          ...strict,
          minProperties: 1,
          description: "All that is given holds: then it is this one, whatever the weights.",
        },
      ),
    ),
    requestHeaders: Type.Optional(HeaderEdits),
    responseHeaders: Type.Optional(HeaderEdits),
  },
  strict,
);
export type SplitEntry = Static<typeof SplitEntry>;

export const SplitKey = Type.Object(
  {
    header: Type.Optional(FieldName),
    cookie: Type.Optional(TokenName),
    by: Type.Optional(Type.Enum(["consumer", "ip"])),
  },
  { ...strict, description: "Equal value, equal choice. Absent: each request is drawn anew." },
);

export const Mirror = Type.Object(
  {
    ...backend,
    percent: Type.Optional(Type.Number({ minimum: 0, maximum: 100, default: 100 })),
  },
  strict,
);
export type Mirror = Static<typeof Mirror>;

export const Sticky = Type.Object(
  {
    cookie: Type.Optional({ ...TokenName, default: "posthouse-sticky" }),
    maxAgeSeconds: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 31_536_000, description: "Absent: until the browser closes." }),
    ),
    sameSite: Type.Optional(Type.Enum(["Lax", "Strict", "None"], { default: "Lax" })),
  },
  { ...strict, description: "A signed cookie names the instance; when that is gone, another is chosen and named." },
);
export type Sticky = Static<typeof Sticky>;

export const Compress = Type.Object(
  {
    encodings: Type.Optional(
      Type.Array(Type.Enum(["zstd", "br", "gzip"]), {
        minItems: 1,
        uniqueItems: true,
        description: "The first that the client takes as gladly as any other. Default: zstd, br, gzip.",
      }),
    ),
    types: Type.Optional(Type.Array(Type.String({ pattern: "^[a-z]+/[a-z0-9.+*-]+$" }), { minItems: 1, maxItems: 64 })),
    bytesMin: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 1024 ** 3, default: GATEWAY_DEFAULTS.compressBytesMin }),
    ),
  },
  strict,
);
export type Compress = Static<typeof Compress>;

const FieldNameOrAll = Type.String({ pattern: "^([A-Za-z0-9-]{1,128}|\\*)$", description: "A header's name, or *." });

export const Cors = Type.Object(
  {
    origins: Type.Array(Type.String({ minLength: 1, maxLength: 512 }), {
      minItems: 1,
      maxItems: 64,
      description: "https://app.example, https://*.example (one label or more), or * for all.",
    }),
    methods: Type.Optional(Type.Array(Method, { minItems: 1, uniqueItems: true })),
    headers: Type.Optional(
      Type.Array(FieldNameOrAll, {
        maxItems: 64,
        description: "That requests may carry. * is all; without credentials authorization must be named beside it.",
      }),
    ),
    exposeHeaders: Type.Optional(
      Type.Array(FieldNameOrAll, { maxItems: 64, description: "That pages may read. * is all, without credentials." }),
    ),
    credentials: Type.Optional(Type.Boolean({ default: false, description: "Not together with the origin *." })),
    maxAgeSeconds: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 86_400, default: GATEWAY_DEFAULTS.corsMaxAgeSeconds }),
    ),
  },
  { ...strict, description: "Preflights are answered here, before any token is asked for." },
);
export type Cors = Static<typeof Cors>;

export const CacheConfig = Type.Object(
  {
    entryBytesMax: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 16 * 1024 ** 2, default: GATEWAY_DEFAULTS.cacheEntryBytesMax }),
    ),
    staleIfErrorSeconds: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 86_400, default: 0, description: "Where the answer itself does not say." }),
    ),
  },
  { ...strict, description: "Answers to GET that say they may be kept (RFC 9111), by consumer." },
);
export type CacheConfig = Static<typeof CacheConfig>;

export const FilterUse = Type.Object(
  {
    name: Type.String({ pattern: "^[a-z][a-z0-9-]{0,62}$" }),
    config: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: "By the filter's own schema." })),
  },
  strict,
);
export type FilterUse = Static<typeof FilterUse>;
