/**
 * The registry's wire contract: shapes, limits and REGISTRY_ codes. Pure, and importable by every room: the server
 * checks with it, the client types with it, OpenAPI prints it.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";
import { Check, CHECKS_PER_INSTANCE_MAX, CheckStatus, Id } from "./contract/checks.ts";
import { CheckView, KnownVerdict } from "./contract/health.ts";
import { Name, ServicePolicy } from "./contract/policy.ts";

export * from "./contract/checks.ts";
export * from "./contract/health.ts";
export * from "./contract/policy.ts";
export * from "./contract/check-defaults.ts";

/** Instances of one service. A page of the API and a snapshot frame stay readable. */
export const INSTANCES_PER_SERVICE_MAX = 10_000;

/** Named ports of one instance beside its main one. */
export const PORTS_PER_INSTANCE_MAX = 16;
/** Registrations of one batch: with what goes with each they fit one transaction of the store. */
export const BATCH_MAX = 32;

/** What is spoken on a port. The s of `grpcs`, as of `https`, and `tls` mean TLS; `h2c` is HTTP/2 without. */
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
  { default: "http", description: "What is spoken there." },
);
export type Protocol = Static<typeof Protocol>;

const PortNumber = Type.Integer({ minimum: 1, maximum: 65_535 });
export const Port = Type.Object({ name: Name, port: PortNumber, protocol: Protocol }, { additionalProperties: false });
export type Port = Static<typeof Port>;

/**
 * Where an instance stands in its own life, said by whoever runs it; apart from health, which is judged.
 * Consumers send new requests to those that are serving.
 */
export const Lifecycle = Type.Union(
  [Type.Literal("starting"), Type.Literal("serving"), Type.Literal("draining"), Type.Literal("stopped")],
  {
    default: "serving",
    description:
      "starting: not ready yet · serving: takes requests · draining: finishes what it has, gets nothing new · stopped: done.",
  },
);
export type Lifecycle = Static<typeof Lifecycle>;

/** What a caller says about an instance. Absent members take their defaults. */
export const Registration = Type.Object(
  {
    address: Type.String({
      minLength: 1,
      maxLength: 253,
      pattern: "^[A-Za-z0-9.:_-]+$",
      description: "IP address, or host name as RFC 1123 has it; without port, brackets or a dot at the end.",
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
    tags: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { maxItems: 64, default: [] })),
    metadata: Type.Optional(
      Type.Record(Type.String({ maxLength: 128 }), Type.String({ maxLength: 4096 }), {
        maxProperties: 64,
        default: {},
      }),
    ),
    weight: Type.Optional(Type.Integer({ minimum: 0, maximum: 1000, default: 100 })),
    version: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: "Of the software it runs." })),
    zone: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    lifecycle: Type.Optional(Lifecycle),
    owner: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description:
          "Which of a principal's hosts or programs answers for it, such as an agent's node. " +
          "It grants nothing: an instance belongs to the principal that registered it.",
      }),
    ),
    incarnation: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description:
          "Of the owner's claim; grows with each new one. One no newer than what was deregistered is refused: no ghosts.",
      }),
    ),
    checks: Type.Optional(
      Type.Array(Check, {
        maxItems: CHECKS_PER_INSTANCE_MAX,
        description: "Absent: those of the service's policy, if the servers probe it; else none.",
      }),
    ),
    probedBy: Type.Optional(
      Type.Union([Type.Literal("server"), Type.Literal("agent")], {
        default: "server",
        description: "Who runs its HTTP checks: the server, or the agent that registered it and reports verdicts.",
      }),
    ),
    verdicts: Type.Optional(
      Type.Array(KnownVerdict, {
        maxItems: CHECKS_PER_INSTANCE_MAX,
        description:
          "What its agent has already found of its checks, so that a registration after an outage is healthy at once. " +
          "Not of TTL checks, which pass by reports.",
      }),
    ),
    session: Type.Optional(
      Type.String({ minLength: 1, maxLength: 128, description: "Lives by this session; absent: stays until removed." }),
    ),
  },
  { additionalProperties: false },
);
export type Registration = Static<typeof Registration>;

/** An instance as everyone sees it. */
export const Instance = Type.Object({
  namespace: Type.String(),
  service: Type.String(),
  id: Type.String(),
  address: Type.String(),
  port: Type.Integer(),
  protocol: Protocol,
  ports: Type.Array(Port),
  tags: Type.Array(Type.String()),
  metadata: Type.Record(Type.String(), Type.String()),
  weight: Type.Integer(),
  version: Type.Optional(Type.String()),
  zone: Type.Optional(Type.String()),
  lifecycle: Lifecycle,
  drainUntil: Type.Optional(Type.String({ format: "date-time", description: "When it is stopped at the latest." })),
  owner: Type.Optional(Type.String()),
  incarnation: Type.Optional(Type.Integer()),
  registeredBy: Type.Optional(
    Type.String({ description: "The principal that it belongs to: role and name of its token." }),
  ),
  status: CheckStatus,
  checks: Type.Array(CheckView),
  session: Type.Optional(Type.String()),
  createRevision: Type.Integer(),
  modRevision: Type.Integer({ description: "Of the registration; a flip of health does not change it." }),
});
export type Instance = Static<typeof Instance>;

/** Truth plus a flag: the instances are told as they are, and this says whether to believe that so few can be well. */
const PanicFlag = {
  panic: Type.Boolean({ description: "Fewer of the serving instances are healthy than the service's policy asks." }),
  reason: Type.Optional(Type.String({ description: "Of the panic, for people." })),
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

/** Who answers for the service that was asked for. */
export const Origin = Type.Object({
  namespace: Type.String(),
  service: Type.String(),
  tier: Type.Union([Type.Literal("zone"), Type.Literal("service"), Type.Literal("fallback")], {
    description: "zone: those near · service: all of its instances · fallback: another service.",
  }),
});
export type Origin = Static<typeof Origin>;

export const InstanceList = Type.Object({
  revision: Type.Integer({ description: "Up to which all changes of the whole catalog are in this answer." }),
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

/** Seconds that a drain may take, and what it takes when nobody says: a slow request and some room. */
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
        description: "Of a drain: then it is stopped.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type LifecycleRequest = Static<typeof LifecycleRequest>;

/** How far the news of a drain has come. */
export const Drain = Type.Object({
  lifecycle: Lifecycle,
  drainUntil: Type.Optional(Type.String({ format: "date-time" })),
  revision: Type.Integer({ description: "At which it began to drain; who acknowledged that much has seen it." }),
  seen: Type.Boolean({ description: "Every subscriber that acknowledges has seen it." }),
  waitingFor: Type.Array(Type.String(), {
    description: "Subscribers of this server that have not, and members of the control plane that have not said so.",
  }),
});
export type Drain = Static<typeof Drain>;

/** What a deregistration answers; after a drain also how that ended. */
export const Deregistered = Type.Object({
  revision: Type.Integer(),
  seen: Type.Optional(Type.Boolean({ description: "With `drain`: whether all had seen it before it was removed." })),
  waitingFor: Type.Optional(Type.Array(Type.String())),
});
export type Deregistered = Static<typeof Deregistered>;

/** What a write answers: read with `?revision=` of it, anywhere, to see it. */
export const Changed = Type.Object({ revision: Type.Integer() });

/** One open watch, as operators see it. */
export const Watcher = Type.Object({
  id: Type.String(),
  subscriber: Type.Optional(Type.String({ description: "Its own name; absent: it does not acknowledge." })),
  principal: Type.String({ description: "Whose token it came with." }),
  topics: Type.Array(Type.String(), { description: "namespace/service, or namespace/* for all." }),
  since: Type.String({ format: "date-time" }),
  sentRevision: Type.Integer(),
  seenRevision: Type.Integer({ description: "What it acknowledged last; 0: nothing." }),
});
export type Watcher = Static<typeof Watcher>;
export const WatcherList = Type.Object({ watchers: Type.Array(Watcher) });
export const Seen = Type.Object({ revision: Type.Integer({ minimum: 0 }) }, { additionalProperties: false });

/** One process of the control plane. */
export const Member = Type.Object({
  id: Type.String({ description: "Of one start of one process." }),
  self: Type.Boolean({ description: "It is the member that answered." }),
});
export type Member = Static<typeof Member>;
export const MemberList = Type.Object({ members: Type.Array(Member, { description: "Those that are alive, by id." }) });
export type MemberList = Static<typeof MemberList>;

export const SessionRequest = Type.Object(
  {
    ttlSeconds: Type.Integer({ minimum: 1, maximum: 86_400, default: 30, description: "Silence that ends it." }),
  },
  { additionalProperties: false },
);
export const Session = Type.Object({ id: Type.String(), ttlSeconds: Type.Integer() });
export type Session = Static<typeof Session>;

/** Data of a snapshot and of a delta frame: the instances of one service that changed, whole, and the ids that went. */
export interface ServiceDelta {
  readonly namespace: string;
  readonly service: string;
  readonly instances: readonly Instance[];
  readonly removed: readonly string[];
  /** Of the service after this change. */
  readonly panic: boolean;
  readonly reason?: string;
  /** Of its policy after this change: hints that a gateway may use. Absent: there are none, or none any more. */
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
  OWNED_BY_ANOTHER: { status: 409, title: "Instance id is another owner's" },
  NOT_OWNER: { status: 403, title: "Instance is another principal's" },
  CLAIM_OUTDATED: { status: 409, title: "A newer claim was made or taken back" },
  SERVICE_FULL: { status: 409, title: "Too many instances of a service" },
  BEHIND: { status: 503, title: "Revision not seen yet" },
  REVISION_MISMATCH: { status: 412, title: "Instance changed meanwhile" },
});
