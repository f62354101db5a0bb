/**
 * The conditions of a route, after the Gateway API's HTTPRouteMatch and GRPCRouteMatch and Envoy's RouteMatch. All of
 * them must hold. Paths are compared in their canonical form only.
 */
import { Type, type Static } from "typebox";
import { Cidr, FieldName, HostName, Path, Regex, REGEX_CHARS_MAX, strict, Text, TokenName } from "./words.ts";

/** The methods of a route that lists none. */
export const COMMON_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;
/** Methods that a route must list. With the common ones, CONNECT and TRACE, these are all that Node's HTTP/1.1 parser supports. */
export const NAMED_METHODS = [
  ...(["ACL", "BIND", "CHECKOUT", "COPY", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR"] as const),
  ...(["MKCOL", "MOVE", "NOTIFY", "PROPFIND", "PROPPATCH", "PURGE", "QUERY", "REBIND", "REPORT", "SEARCH"] as const),
  ...(["SOURCE", "SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE"] as const),
] as const;

export const Method = Type.Enum([...COMMON_METHODS, ...NAMED_METHODS]);

/** How one value is compared; exactly one of them. */
const condition = {
  exact: Type.Optional(Type.String({ maxLength: 4096 })),
  prefix: Type.Optional(Text),
  regex: Type.Optional(Regex),
  present: Type.Optional(Type.Boolean({ description: "false: it must be absent." })),
};

export const HeaderMatch = Type.Object({ name: FieldName, ...condition }, strict);
export const NamedMatch = Type.Object({ name: TokenName, ...condition }, strict);
export type NamedMatch = Static<typeof NamedMatch>;

const list = { minItems: 1, maxItems: 16 } as const;

export const PathMatch = Type.Object(
  {
    prefix: Type.Optional(Path),
    exact: Type.Optional(Path),
    template: Type.Optional({
      ...Path,
      description: "/users/{id}: a variable matches one segment; {rest=**} at the end matches the rest of the path.",
    }),
    regex: Type.Optional(Regex),
  },
  { ...strict, description: "One of them. A prefix matches whole segments: /a matches /a/b, not /ab." },
);
export type PathMatch = Static<typeof PathMatch>;

const GrpcName = Type.String({ minLength: 1, maxLength: REGEX_CHARS_MAX / 2 - 8 });

export const RouteMatchConfig = Type.Object(
  {
    hosts: Type.Optional(Type.Array(HostName, { minItems: 1, maxItems: 64 })),
    path: Type.Optional(PathMatch),
    scheme: Type.Optional(
      Type.Enum(["http", "https"], {
        description: "The scheme of the client's connection, as a trusted proxy reports it.",
      }),
    ),
    methods: Type.Optional(Type.Array(Method, { minItems: 1, uniqueItems: true })),
    headers: Type.Optional(Type.Array(HeaderMatch, { ...list, description: "Any of a header's values may match." })),
    query: Type.Optional(Type.Array(NamedMatch, { ...list, description: "The first of a parameter's values counts." })),
    cookies: Type.Optional(Type.Array(NamedMatch, list)),
    sourceCidrs: Type.Optional(
      Type.Array(Cidr, { minItems: 1, maxItems: 64, description: "The client's address is in one of them." }),
    ),
    grpc: Type.Optional(
      Type.Object(
        {
          type: Type.Optional(
            Type.Enum(["exact", "regex"], { default: "exact", description: "How service and method are compared." }),
          ),
          service: Type.Optional(GrpcName),
          method: Type.Optional(GrpcName),
        },
        {
          ...strict,
          description:
            "Instead of path: POST of application/grpc to /service/method. The service includes its package; absent: any.",
        },
      ),
    ),
  },
  strict,
);
export type RouteMatchConfig = Static<typeof RouteMatchConfig>;
