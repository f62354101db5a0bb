/**
 * The registry's wire contract: shapes, limits and REGISTRY_ codes. Pure, and importable by every module. The server
 * validates with it, the client takes its types from it, and OpenAPI is generated from it.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";
import { Check, CHECKS_PER_INSTANCE_MAX, CheckStatus, Id } from "./contract/checks.ts";
import { CheckView, KnownVerdict } from "./contract/health.ts";
import { Name, ServicePolicy } from "./contract/policy.ts";

export * from "./contract/checks.ts";
export * from "./contract/health.ts";
export * from "./contract/health-history.ts";
export * from "./contract/policy.ts";
export * from "./contract/check-defaults.ts";

/** Instances of one service. A page of the API and a snapshot frame stay readable. */
export const INSTANCES_PER_SERVICE_MAX = 10_000;

/** Named ports of one instance beside its main one. */
export const PORTS_PER_INSTANCE_MAX = 16;
/** Registrations of one batch: with all of their keys they fit one transaction of the store. */
export const BATCH_MAX = 32;

/** The protocol of a port. `https`, `grpcs` and `tls` use TLS; `h2c` is HTTP/2 without TLS. */
export const Protocol = Type.Union(
  [
    Type.Literal("http"),
    Type.Literal("https"),
    Type.Literal("h2c"),
    Type.Literal("grpc"),
    Type.Literal("grpcs"),
    Type.Literal("tcp"),
    Type.Literal("tls"),
    Type.Literal("udp"),
  ],
  { default: "http", description: "The protocol of the port." },
);
export type Protocol = Static<typeof Protocol>;

/** The largest weight: a share of a thousandth is as fine as traffic can be split. */
export const WEIGHT_MAX = 1000;
const WEIGHT = { minimum: 0, maximum: WEIGHT_MAX };

const PortNumber = Type.Integer({ minimum: 1, maximum: 65_535 });
export const Port = Type.Object({ name: Name, port: PortNumber, protocol: Protocol }, { additionalProperties: false });
export type Port = Static<typeof Port>;

/** Where the sidecar of an instance accepts connections over mTLS, and forwards them to the instance. */
export const Ingress = Type.Object(
  { port: { ...PortNumber, description: "Port at the instance's address." } },
  {
    additionalProperties: false,
    description: "The mTLS ingress of the instance's sidecar. Callers with an identity of their own connect to it.",
  },
);
export type Ingress = Static<typeof Ingress>;

/**
 * The state that an instance declares itself, separate from its health, which checks determine. Clients send new requests
 * to serving instances.
 */
export const Lifecycle = Type.Union(
  [Type.Literal("starting"), Type.Literal("serving"), Type.Literal("draining"), Type.Literal("stopped")],
  {
    default: "serving",
    description:
      "starting: not ready yet · serving: takes requests · draining: finishes its requests and receives no new ones · stopped: done.",
  },
);
export type Lifecycle = Static<typeof Lifecycle>;

/** A registration, as the caller sends it. Absent members take their defaults. */
export const Registration = Type.Object(
  {
    address: Type.String({
      minLength: 1,
      maxLength: 253,
      pattern: "^[A-Za-z0-9.:_-]+$",
      description: "IP address, or host name by RFC 1123, without a port, brackets or a trailing dot.",
    }),
    port: PortNumber,
    protocol: Type.Optional(Protocol),
    ports: Type.Optional(
      Type.Array(
        Type.Object(
          { name: Name, port: PortNumber, protocol: Type.Optional(Protocol) },
          { additionalProperties: false },
        ),
        { maxItems: PORTS_PER_INSTANCE_MAX, default: [], description: "Other ports, by name." },
      ),
    ),
    ingress: Type.Optional(Ingress),
    tags: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { maxItems: 64, default: [] })),
    metadata: Type.Optional(
      Type.Record(Type.String({ maxLength: 128 }), Type.String({ maxLength: 4096 }), {
        maxProperties: 64,
        default: {},
      }),
    ),
    weight: Type.Optional(Type.Integer({ ...WEIGHT, default: 100 })),
    version: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: "Version of its software." })),
    zone: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    lifecycle: Type.Optional(Lifecycle),
    owner: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description:
          "The party that claims the instance, such as an agent's node: one of the principal's hosts or programs. " +
          "It grants no rights; an instance belongs to the principal that registered it.",
      }),
    ),
    incarnation: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description:
          "Number of the owner's claim, which grows with each new claim. A claim that is not newer than a deregistered one " +
          "is rejected, so that a late retry does not restore the instance.",
      }),
    ),
    checks: Type.Optional(
      Type.Array(Check, {
        maxItems: CHECKS_PER_INSTANCE_MAX,
        description: "Absent: the checks of the service's policy if the servers probe the instance, otherwise none.",
      }),
    ),
    probedBy: Type.Optional(
      Type.Union([Type.Literal("server"), Type.Literal("agent")], {
        default: "server",
        description: "Which side runs its checks: the servers, or the agent that registered it and reports verdicts.",
      }),
    ),
    verdicts: Type.Optional(
      Type.Array(KnownVerdict, {
        maxItems: CHECKS_PER_INSTANCE_MAX,
        description:
          "Verdicts that the agent has already reached, so that an instance is healthy at once when it is registered again " +
          "after an outage. TTL checks are excluded: they pass by reports.",
      }),
    ),
    session: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description:
          "The session that it is attached to: it is removed when the session ends. Absent: it stays until it is deregistered.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type Registration = Static<typeof Registration>;

/** An instance as readers see it. */
export const Instance = Type.Object({
  namespace: Type.String(),
  service: Type.String(),
  id: Type.String(),
  address: Type.String(),
  port: Type.Integer(),
  protocol: Protocol,
  ports: Type.Array(Port),
  ingress: Type.Optional(Ingress),
  tags: Type.Array(Type.String()),
  metadata: Type.Record(Type.String(), Type.String()),
  weight: Type.Integer(),
  version: Type.Optional(Type.String()),
  zone: Type.Optional(Type.String()),
  lifecycle: Lifecycle,
  drainUntil: Type.Optional(
    Type.String({ format: "date-time", description: "Deadline of its drain, after which it is stopped." }),
  ),
  owner: Type.Optional(Type.String()),
  incarnation: Type.Optional(Type.Integer()),
  registeredBy: Type.Optional(
    Type.String({ description: "The principal that it belongs to, as role and name of the token." }),
  ),
  status: CheckStatus,
  checks: Type.Array(CheckView),
  session: Type.Optional(Type.String()),
  createRevision: Type.Integer(),
  modRevision: Type.Integer({ description: "Revision of the registration. A change of health does not change it." }),
});
export type Instance = Static<typeof Instance>;

/** One target of Prometheus's HTTP service discovery. */
export const ScrapeTarget = Type.Object({
  targets: Type.Array(Type.String({ description: "Address and port to scrape: one." })),
  labels: Type.Record(Type.String(), Type.String(), {
    description: "__scheme__, __metrics_path__, and facts of the instance as __meta_posthouse_ labels.",
  }),
});
export type ScrapeTarget = Static<typeof ScrapeTarget>;
export const ScrapeTargetList = Type.Array(ScrapeTarget);

/** Instances are reported unchanged. This flag says that implausibly few of them are healthy. */
const PanicFlag = {
  panic: Type.Boolean({
    description: "Fewer of the serving instances are healthy than the service's policy requires.",
  }),
  reason: Type.Optional(Type.String({ description: "Reason of the panic, for people." })),
};
export interface Panic {
  readonly panic: boolean;
  readonly reason?: string;
}

export const ServiceSummary = Type.Object({
  namespace: Type.String(),
  service: Type.String(),
  instances: Type.Integer(),
  passing: Type.Integer(),
  warning: Type.Integer(),
  critical: Type.Integer(),
  unknown: Type.Integer(),
  draining: Type.Integer(),
});
export type ServiceSummary = Static<typeof ServiceSummary>;

export const ServiceList = Type.Object({ revision: Type.Integer(), services: Type.Array(ServiceSummary) });
export type ServiceList = Static<typeof ServiceList>;

/** Where the instances of a response come from, when it may be another service than the requested one. */
export const Origin = Type.Object({
  namespace: Type.String(),
  service: Type.String(),
  tier: Type.Union([Type.Literal("zone"), Type.Literal("service"), Type.Literal("fallback")], {
    description: "zone: instances of the caller's zone · service: all of its instances · fallback: another service.",
  }),
});
export type Origin = Static<typeof Origin>;

export const InstanceList = Type.Object({
  revision: Type.Integer({
    description: "Revision up to which this response includes all changes of the whole catalog.",
  }),
  instances: Type.Array(Instance),
  ...PanicFlag,
  from: Type.Optional(Origin),
});
export type InstanceList = Static<typeof InstanceList>;

export const ServiceView = Type.Object({ ...ServiceSummary.properties, ...PanicFlag, policy: ServicePolicy });
export type ServiceView = Static<typeof ServiceView>;

export const Registered = Type.Object({ revision: Type.Integer(), created: Type.Boolean() });
export type Registered = Static<typeof Registered>;

export const Batch = Type.Object(
  {
    instances: Type.Array(
      Type.Object({ service: Name, id: Id, registration: Registration }, { additionalProperties: false }),
      { minItems: 1, maxItems: BATCH_MAX, description: "All are registered in one revision, or none." },
    ),
  },
  { additionalProperties: false },
);
export type Batch = Static<typeof Batch>;
export const BatchRegistered = Type.Object({ revision: Type.Integer(), created: Type.Integer() });
export type BatchRegistered = Static<typeof BatchRegistered>;

/** Seconds that a drain may take, and the default: a slow request with some margin. */
export const DRAIN_SECONDS_MAX = 3600;
export const DRAIN_SECONDS = 30;
export const LifecycleRequest = Type.Object(
  {
    lifecycle: Lifecycle,
    deadlineSeconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: DRAIN_SECONDS_MAX,
        default: DRAIN_SECONDS,
        description: "Longest time of a drain, in seconds; then the instance is stopped.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type LifecycleRequest = Static<typeof LifecycleRequest>;

export const WeightRequest = Type.Object(
  {
    weight: Type.Integer({
      ...WEIGHT,
      description: "Its part of the requests beside the weights of the other instances; 0: it receives none.",
    }),
  },
  { additionalProperties: false },
);
export type WeightRequest = Static<typeof WeightRequest>;

/** Which subscribers have seen a drain. */
export const Drain = Type.Object({
  lifecycle: Lifecycle,
  drainUntil: Type.Optional(Type.String({ format: "date-time" })),
  revision: Type.Integer({
    description: "Revision at which the drain began. Subscribers that acknowledged it have seen the drain.",
  }),
  seen: Type.Boolean({ description: "Whether every subscriber that acknowledges has seen it." }),
  waitingFor: Type.Array(Type.String(), {
    description:
      "Subscribers of this server that have not seen it, and members of the control plane that have not confirmed that theirs have.",
  }),
});
export type Drain = Static<typeof Drain>;

/** The response to a deregistration. After a drain, also the outcome of that. */
export const Deregistered = Type.Object({
  revision: Type.Integer(),
  seen: Type.Optional(
    Type.Boolean({
      description: "With `drain`: whether every subscriber had seen it before the instance was removed.",
    }),
  ),
  waitingFor: Type.Optional(Type.Array(Type.String())),
});
export type Deregistered = Static<typeof Deregistered>;

/** The response to a write. A read with this `?revision=`, at any member, includes the write. */
export const Changed = Type.Object({ revision: Type.Integer() });

/** One open watch, as operators see it. */
export const Watcher = Type.Object({
  id: Type.String(),
  subscriber: Type.Optional(
    Type.String({ description: "The subscriber's own name. Absent: it does not acknowledge." }),
  ),
  principal: Type.String({ description: "The principal of its token." }),
  topics: Type.Array(Type.String(), { description: "namespace/service, or namespace/* for all of its services." }),
  since: Type.String({ format: "date-time" }),
  sentRevision: Type.Integer(),
  seenRevision: Type.Integer({ description: "The revision that it acknowledged last; 0: none." }),
});
export type Watcher = Static<typeof Watcher>;
export const WatcherList = Type.Object({ watchers: Type.Array(Watcher) });
export type WatcherList = Static<typeof WatcherList>;
export const Seen = Type.Object({ revision: Type.Integer({ minimum: 0 }) }, { additionalProperties: false });

/** One process of the control plane. */
export const Member = Type.Object({
  id: Type.String({ description: "Identifies one start of one process." }),
  self: Type.Boolean({ description: "Whether it is the member that answered." }),
});
export type Member = Static<typeof Member>;
export const MemberList = Type.Object({
  members: Type.Array(Member, { description: "The members that are alive, in order of id." }),
});
export type MemberList = Static<typeof MemberList>;

export const SessionRequest = Type.Object(
  {
    ttlSeconds: Type.Integer({
      minimum: 1,
      maximum: 86_400,
      default: 30,
      description: "The session ends after this many seconds without a heartbeat.",
    }),
  },
  { additionalProperties: false },
);
export const Session = Type.Object({ id: Type.String(), ttlSeconds: Type.Integer() });
export type Session = Static<typeof Session>;

/** Data of a snapshot frame and of a delta frame: the changed instances of one service, each in full, and the removed ids. */
export interface ServiceDelta {
  readonly namespace: string;
  readonly service: string;
  readonly instances: readonly Instance[];
  readonly removed: readonly string[];
  /** Panic of the service after this change. */
  readonly panic: boolean;
  readonly reason?: string;
  /** The policy's hints for gateways after this change. Absent: the policy has none, or no longer has any. */
  readonly gateway?: NonNullable<ServicePolicy["gateway"]>;
}

export const RegistryErrors = defineErrors("REGISTRY", {
  SERVICE_NOT_FOUND: { status: 404, title: "Service not found" },
  INSTANCE_NOT_FOUND: { status: 404, title: "Instance not found" },
  CHECK_NOT_FOUND: { status: 404, title: "Check not found" },
  POLICY_NOT_FOUND: { status: 404, title: "Service has no policy" },
  SUBSET_NOT_FOUND: { status: 404, title: "Subset not found" },
  WATCH_NOT_FOUND: { status: 404, title: "Watch not found" },
  FILTER_INVALID: { status: 400, title: "Filter not valid" },
  REGISTRATION_INVALID: { status: 400, title: "Registration not valid" },
  CHECK_INVALID: { status: 400, title: "Check not valid" },
  SESSION_NOT_FOUND: { status: 404, title: "Session not found" },
  OWNED_BY_ANOTHER: { status: 409, title: "Instance id belongs to another owner" },
  NOT_OWNER: { status: 403, title: "Instance belongs to another principal" },
  CLAIM_OUTDATED: { status: 409, title: "A newer claim was made or withdrawn" },
  SERVICE_FULL: { status: 409, title: "Service has too many instances" },
  BEHIND: { status: 503, title: "Revision not seen yet" },
  REVISION_MISMATCH: { status: 412, title: "Instance has changed meanwhile" },
});
