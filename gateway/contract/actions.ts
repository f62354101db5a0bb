/**
 * The actions of a route on an admitted request: its destination and its changes, after the Gateway API's HTTPRoute filters
 * and Envoy's RouteAction. Texts marked as templates may contain variables; see core/rewriting/template.ts.
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

/** The destination: a service of the gateway's namespace, or a cluster by name. */
export const backend = {
  service: Type.Optional(ServiceName),
  cluster: Type.Optional(ItemName),
};

const Template = Type.String({ maxLength: 2048, description: "May contain variables such as {client.address}." });

export const HeaderEdits = Type.Object(
  {
    set: Type.Optional(
      Type.Record(FieldName, Template, { maxProperties: 32, description: "Replaces existing values." }),
    ),
    add: Type.Optional(
      Type.Record(FieldName, Template, { maxProperties: 32, description: "Added to existing values." }),
    ),
    remove: Type.Optional(Type.Array(FieldName, { maxItems: 32 })),
  },
  {
    ...strict,
    description: "remove applies first, then set, then add. Headers that the gateway itself manages cannot be changed.",
  },
);
export type HeaderEdits = Static<typeof HeaderEdits>;

export const Rewrite = Type.Object(
  {
    prefix: Type.Optional({ ...Path, description: "Replaces the matched prefix or exact path." }),
    template: Type.Optional({
      ...Path,
      description: "Replaces the whole path: /v2/{id}, with the variables of match.path.",
    }),
    regex: Type.Optional(
      Type.Object(
        {
          pattern: { ...Regex, description: "RE2 syntax; every match is replaced." },
          replacement: Type.String({ maxLength: 1024, description: "\\1 to \\9 are the capture groups." }),
        },
        strict,
      ),
    ),
    host: Type.Optional({ ...HostName, description: "The Host that the service receives; absent: the endpoint's." }),
  },
  { ...strict, description: "For the path, give one of prefix, template and regex." },
);
export type Rewrite = Static<typeof Rewrite>;

const PathMode = (description: string) =>
  Type.Optional(Type.Enum(["refuse", "report", "keep"], { default: "refuse", description }));

export const Paths = Type.Object(
  {
    encodedSlash: PathMode(
      "`%2F` in a path, such as in an id. Some services read it as part of a segment, others as a slash.",
    ),
    parameters: PathMode(
      "`;…` in a segment before the last. Some services read it as part of the name, others ignore it.",
    ),
  },
  {
    ...strict,
    description: "Paths that services interpret differently. report: forwarded and logged. keep: forwarded.",
  },
);

export const Redirect = Type.Object(
  {
    scheme: Type.Optional(Type.Enum(["http", "https"])),
    host: Type.Optional(HostName),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
    prefix: Type.Optional({ ...Path, description: "Replaces the matched prefix." }),
    path: Type.Optional({ ...Path, description: "Replaces the whole path; may contain the variables of match.path." }),
    status: Type.Optional(Type.Enum([301, 302, 303, 307, 308], { default: 302 })),
  },
  { ...strict, description: "Parts that are not given stay as in the request. The query is kept." },
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
    weight: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1_000_000,
        description: "Its share of the requests that no `when` matches.",
      }),
    ),
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
          description: "Requests that meet all of these conditions go here, whatever the weights are.",
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
  {
    ...strict,
    description: "Requests with equal values go to the same part. Absent: each request is drawn separately.",
  },
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
  {
    ...strict,
    description: "A signed cookie names the instance. When that instance is gone, another one is chosen and named.",
  },
);
export type Sticky = Static<typeof Sticky>;

export const Compress = Type.Object(
  {
    encodings: Type.Optional(
      Type.Array(Type.Enum(["zstd", "br", "gzip"]), {
        minItems: 1,
        uniqueItems: true,
        description: "In order of preference among encodings that the client accepts equally. Default: zstd, br, gzip.",
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
      description: "https://app.example, https://*.example (one or more labels), or * for all.",
    }),
    methods: Type.Optional(Type.Array(Method, { minItems: 1, uniqueItems: true })),
    headers: Type.Optional(
      Type.Array(FieldNameOrAll, {
        maxItems: 64,
        description:
          "Headers that requests may have. * allows all; without credentials, authorization must be listed as well.",
      }),
    ),
    exposeHeaders: Type.Optional(
      Type.Array(FieldNameOrAll, {
        maxItems: 64,
        description: "Headers that pages may read. * allows all, without credentials.",
      }),
    ),
    credentials: Type.Optional(Type.Boolean({ default: false, description: "Cannot be combined with the origin *." })),
    maxAgeSeconds: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 86_400, default: GATEWAY_DEFAULTS.corsMaxAgeSeconds }),
    ),
  },
  { ...strict, description: "The gateway answers preflights itself, before it requires a token." },
);
export type Cors = Static<typeof Cors>;

export const CacheConfig = Type.Object(
  {
    entryBytesMax: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 16 * 1024 ** 2, default: GATEWAY_DEFAULTS.cacheEntryBytesMax }),
    ),
    staleIfErrorSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 86_400,
        default: 0,
        description: "For answers that do not set stale-if-error themselves.",
      }),
    ),
  },
  { ...strict, description: "Caches answers to GET that allow it (RFC 9111), per consumer." },
);
export type CacheConfig = Static<typeof CacheConfig>;

export const FilterUse = Type.Object(
  {
    name: Type.String({ pattern: "^[a-z][a-z0-9-]{0,62}$" }),
    config: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), { description: "Checked by the filter's own schema." }),
    ),
  },
  strict,
);
export type FilterUse = Static<typeof FilterUse>;
