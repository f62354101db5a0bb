/**
 * The part of the agent's contract that is about the sidecar: the ingress and the upstreams of a service in its definition, and their
 * state.
 */
import { Type, type Static } from "typebox";
import { Name, Namespace } from "#registry/api";

/** Upstreams of one service: each is a listener of this host and a watch of the registry. */
const UPSTREAMS_MAX = 64;
/** Bytes of a socket's path that every system accepts (sockaddr_un.sun_path, with its final zero). */
const SOCKET_PATH_BYTES_MAX = 103;
/** Seconds that a connection may last, when a definition limits it: a day. */
const LIFETIME_SECONDS_MAX = 86_400;

const PortNumber = Type.Integer({ minimum: 1, maximum: 65_535 });
const Address = Type.String({ minLength: 1, maxLength: 253, pattern: "^[A-Za-z0-9.:_-]+$" });

export const SidecarIngress = Type.Object(
  {
    port: Type.Optional({ ...PortNumber, description: "Port of the ingress. Absent: any free port." }),
    address: Type.Optional({
      ...Address,
      description: "Address that the ingress listens on. Absent: the one that the service registers.",
    }),
    localPort: Type.Optional({
      ...PortNumber,
      description: "Port on which the service itself accepts connections. Absent: the one that it registers.",
    }),
    localAddress: Type.Optional({ ...Address, description: "Address of the service itself. Absent: 127.0.0.1." }),
    lifetimeSeconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: LIFETIME_SECONDS_MAX,
        description: "Longest life of a connection. Absent: as long as both sides want.",
      }),
    ),
  },
  {
    additionalProperties: false,
    description: "Other services reach this one over mTLS, and only those that the rules of its namespace allow.",
  },
);
export type SidecarIngress = Static<typeof SidecarIngress>;

export const SidecarUpstream = Type.Object(
  {
    service: Name,
    namespace: Type.Optional({ ...Namespace, description: "Absent: the namespace of the calling service." }),
    port: Type.Optional({ ...PortNumber, description: "Port of 127.0.0.1 at which the upstream is reached." }),
    socket: Type.Optional(
      Type.String({
        pattern: "^/",
        maxLength: SOCKET_PATH_BYTES_MAX,
        description: "In place of a port: absolute path of a Unix socket.",
      }),
    ),
    mode: Type.Optional(
      Type.String({ pattern: "^0[0-7]{3}$", description: "Mode of the socket, such as 0660. Absent: 0600." }),
    ),
  },
  { additionalProperties: false, description: "Needs either port or socket." },
);
export type SidecarUpstream = Static<typeof SidecarUpstream>;

export const SidecarDefinition = Type.Object(
  {
    ingress: Type.Optional(SidecarIngress),
    upstreams: Type.Optional(Type.Array(SidecarUpstream, { maxItems: UPSTREAMS_MAX })),
  },
  { additionalProperties: false },
);
export type SidecarDefinition = Static<typeof SidecarDefinition>;

/** The first problem that the shape does not show, with its field below the definition. */
export function sidecarProblem({ upstreams = [] }: SidecarDefinition): { field: string; message: string } | undefined {
  const seen = new Set<string>();
  for (const [i, { port, socket, mode }] of upstreams.entries()) {
    const field = `/sidecar/upstreams/${i}`;
    if ((port === undefined) === (socket === undefined)) return { field, message: "needs either port or socket" };
    if (socket === undefined && mode !== undefined)
      return { field: `${field}/mode`, message: "a port has no mode; use socket, or remove mode" };
    const place = socket ?? String(port);
    if (seen.has(place)) return { field, message: `another upstream already uses ${place}; give each its own` };
    seen.add(place);
  }
  return undefined;
}

const Time = Type.String({ format: "date-time" });
const Problem = Type.Optional(
  Type.String({ description: "Why it does not work, or why its latest connection failed." }),
);

export const SidecarState = Type.Object({
  ingresses: Type.Array(
    Type.Object({
      id: Type.String({ description: "Id of the instance." }),
      namespace: Type.String(),
      service: Type.String(),
      port: Type.Optional(Type.Integer({ description: "Absent while it is not open." })),
      connections: Type.Integer(),
      certificateExpiresAt: Type.Optional(Time),
      rulesKnown: Type.Boolean({ description: "Until the rules are known, nothing is let in." }),
      problem: Problem,
    }),
  ),
  upstreams: Type.Array(
    Type.Object({
      id: Type.String({ description: "Id of the instance that calls." }),
      namespace: Type.String({ description: "Namespace of the upstream." }),
      service: Type.String({ description: "The upstream." }),
      port: Type.Optional(Type.Integer()),
      socket: Type.Optional(Type.String()),
      connections: Type.Integer(),
      endpoints: Type.Integer({ description: "Instances that may be used now." }),
      problem: Problem,
    }),
  ),
  denials: Type.Array(
    Type.Object({
      at: Time,
      caller: Type.String({ description: "SPIFFE id of the caller." }),
      namespace: Type.String(),
      service: Type.String(),
      address: Type.String(),
      reportOnly: Type.Boolean({ description: "Let through, since the rules only report." }),
      why: Type.String({ description: "The rule that denied it, or the one that is missing." }),
    }),
    { description: "The latest ones first." },
  ),
  pairs: Type.Array(
    Type.Object({
      caller: Type.String(),
      namespace: Type.String(),
      service: Type.String(),
      denied: Type.Integer(),
      reportOnly: Type.Integer(),
      lastAt: Time,
    }),
    { description: "Denials since the start, by caller and service." },
  ),
});
export type SidecarState = Static<typeof SidecarState>;
