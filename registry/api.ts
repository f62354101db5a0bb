/**
 * The registry's wire contract: shapes, limits and REGISTRY_ codes. Pure, and importable by every room: the server
 * checks with it, the client types with it, OpenAPI prints it.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";
import { Check, CHECKS_PER_INSTANCE_MAX, CheckStatus, CheckView } from "./checks.ts";

export * from "./checks.ts";

/** Instances of one service. A page of the API and a snapshot frame stay readable. */
export const INSTANCES_PER_SERVICE_MAX = 10_000;

const NAME = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
/** A DNS label, since names become host names. */
export const Name = Type.String({ pattern: NAME, description: "A DNS label: a-z, 0-9 and -, at most 63." });
export const Namespace = Type.String({ pattern: NAME, default: "default", description: "A DNS label." });
/** What a caller says about an instance. Absent members take their defaults. */
export const Registration = Type.Object(
  {
    address: Type.String({ minLength: 1, maxLength: 253, pattern: "^[A-Za-z0-9.:_-]+$", description: "IP or host." }),
    port: Type.Integer({ minimum: 1, maximum: 65_535 }),
    protocol: Type.Optional(Type.Union([Type.Literal("http"), Type.Literal("https")], { default: "http" })),
    tags: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { maxItems: 64, default: [] })),
    metadata: Type.Optional(
      Type.Record(Type.String({ maxLength: 128 }), Type.String({ maxLength: 4096 }), {
        maxProperties: 64,
        default: {},
      }),
    ),
    weight: Type.Optional(Type.Integer({ minimum: 0, maximum: 1000, default: 100 })),
    zone: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    draining: Type.Optional(
      Type.Boolean({ default: false, description: "Finishes what it has; consumers send it nothing new." }),
    ),
    checks: Type.Optional(Type.Array(Check, { maxItems: CHECKS_PER_INSTANCE_MAX, default: [] })),
    probedBy: Type.Optional(
      Type.Union([Type.Literal("server"), Type.Literal("agent")], {
        default: "server",
        description: "Who runs its HTTP checks: the server, or the agent that registered it and reports verdicts.",
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
  protocol: Type.Union([Type.Literal("http"), Type.Literal("https")]),
  tags: Type.Array(Type.String()),
  metadata: Type.Record(Type.String(), Type.String()),
  weight: Type.Integer(),
  zone: Type.Optional(Type.String()),
  draining: Type.Boolean(),
  status: CheckStatus,
  checks: Type.Array(CheckView),
  session: Type.Optional(Type.String()),
  createRevision: Type.Integer(),
  modRevision: Type.Integer({ description: "Of the registration; a flip of health does not change it." }),
});
export type Instance = Static<typeof Instance>;

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
export const InstanceList = Type.Object({ revision: Type.Integer(), instances: Type.Array(Instance) });
export type ServiceList = Static<typeof ServiceList>;
export type InstanceList = Static<typeof InstanceList>;

export const Registered = Type.Object({ revision: Type.Integer(), created: Type.Boolean() });
export type Registered = Static<typeof Registered>;

export const Draining = Type.Object({ draining: Type.Boolean() }, { additionalProperties: false });

/** What a write answers: read with `?revision=` of it, anywhere, to see it. */
export const Changed = Type.Object({ revision: Type.Integer() });

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
}

export const RegistryErrors = defineErrors("REGISTRY", {
  SERVICE_NOT_FOUND: { status: 404, title: "Service not found" },
  INSTANCE_NOT_FOUND: { status: 404, title: "Instance not found" },
  CHECK_NOT_FOUND: { status: 404, title: "Check not found" },
  CHECK_INVALID: { status: 400, title: "Check not valid" },
  SESSION_NOT_FOUND: { status: 404, title: "Session not found" },
  SERVICE_FULL: { status: 409, title: "Too many instances of a service" },
  BEHIND: { status: 503, title: "Revision not seen yet" },
  REVISION_MISMATCH: { status: 412, title: "Instance changed meanwhile" },
});
