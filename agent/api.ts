/**
 * The agent's contract: service definition files, the local API, limits and AGENT_ codes. Shapes of the registry and the config
 * server come from their contracts.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";
import {
  addressProblem,
  Check,
  CheckStatus,
  CheckView,
  CHECK_KINDS,
  checkProblem,
  HealthHistory,
  Id,
  Instance,
  KnownVerdict,
  Name,
  Namespace,
  Registration as RegistryRegistration,
  Report,
  resolveCheck,
} from "#registry/api";
import { EffectiveConfig, isMasked } from "#config-server/api";
import { FileDefinition } from "./contract/files.ts";
import { CertificateFiles } from "./contract/certificate-files.ts";
import { LogSources } from "./contract/logs.ts";
import { SidecarDefinition } from "./contract/sidecar.ts";

export {
  addressProblem,
  Check,
  CHECK_KINDS,
  checkProblem,
  EffectiveConfig,
  HealthHistory,
  Id,
  isMasked,
  Instance,
  KnownVerdict,
  Name,
  Namespace,
  Report,
  resolveCheck,
};

/** Services of one agent: each is a key, its checks, and a claim that every full sync compares. */
export const SERVICES_PER_AGENT_MAX = 1_000;
/** Files that one agent writes: each is read back and compared when its config changes. */
export const FILES_PER_AGENT_MAX = 1_000;
/** Bytes of one definition file; people write these. */
export const DEFINITION_BYTES_MAX = 1024 * 1024;
/** Definition files in the folder. */
export const DEFINITION_FILES_MAX = 1_000;

const {
  session: _session,
  probedBy: _probedBy,
  owner: _owner,
  incarnation: _incarnation,
  verdicts: _verdicts,
  ingress,
  address,
  ...facts
} = RegistryRegistration.properties;

/** The registration of a service on this host. The agent adds the session, the owner and `probedBy`. The sidecar states the ingress. */
export const LocalRegistration = Type.Object({ address, ingress, ...facts }, { additionalProperties: false });
export type LocalRegistration = Static<typeof LocalRegistration>;

/** Body of `PUT /v1/agent/services/:id`, and a service of a definition file without its id. */
const stated = {
  name: Name,
  namespace: Type.Optional(Namespace),
  address: Type.Optional({
    ...address,
    description: "IP address or host name; absent: the address that the agent advertises.",
  }),
  ...facts,
};
export const ServiceRequest = Type.Object(stated, { additionalProperties: false });
export type ServiceRequest = Static<typeof ServiceRequest>;

export const ServiceDefinition = Type.Object(
  {
    id: Type.Optional({ ...Id, description: "Absent: NODE-NAME-PORT." }),
    ...stated,
    sidecar: Type.Optional(SidecarDefinition),
    certificate: Type.Optional(CertificateFiles),
    logs: Type.Optional(LogSources),
  },
  { additionalProperties: false },
);
export type ServiceDefinition = Static<typeof ServiceDefinition>;

export * from "./contract/files.ts";
export * from "./contract/certificate-files.ts";
export * from "./contract/sidecar.ts";

/** A definition file: YAML or JSON. */
export const DefinitionFile = Type.Object(
  {
    service: Type.Optional(ServiceDefinition),
    services: Type.Optional(Type.Array(ServiceDefinition)),
    file: Type.Optional(FileDefinition),
    files: Type.Optional(Type.Array(FileDefinition)),
  },
  { additionalProperties: false },
);
export type DefinitionFile = Static<typeof DefinitionFile>;

export interface ClaimName {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
}

export const LocalCheck = Type.Object({
  id: Type.String(),
  type: CheckView.properties.type,
  status: CheckStatus,
  since: Type.String({ format: "date-time" }),
  output: Type.String(),
});
export type LocalCheck = Static<typeof LocalCheck>;

export const SyncMark = Type.Union([Type.Literal("inSync"), Type.Literal("changed"), Type.Literal("deleted")], {
  description: "Whether the server has the service as this host claims it.",
});
export type SyncMark = Static<typeof SyncMark>;

export const LocalService = Type.Object({
  namespace: Type.String(),
  service: Type.String(),
  id: Type.String(),
  source: Type.Union([Type.Literal("file"), Type.Literal("api")]),
  sync: SyncMark,
  error: Type.Optional(Type.String({ description: "Why the server does not have it yet." })),
  registration: LocalRegistration,
});
export type LocalService = Static<typeof LocalService>;
export const LocalServices = Type.Object({ services: Type.Array(LocalService) });

export const LocalHealth = Type.Object({
  services: Type.Array(
    Type.Object({
      namespace: Type.String(),
      service: Type.String(),
      id: Type.String(),
      status: CheckStatus,
      checks: Type.Array(LocalCheck),
    }),
  ),
});
export type LocalHealth = Static<typeof LocalHealth>;

export const AgentIdentityStatus = Type.Object({
  spiffeId: Type.String(),
  serial: Type.String({ description: "Serial number of the certificate." }),
  expiresAt: Type.String({
    format: "date-time",
    description: "End of the certificate, which is renewed at half its life.",
  }),
  controlUrls: Type.Array(Type.String(), { description: "Members of the control plane." }),
  code: Type.Optional(Type.String({ description: "Code of the problem." })),
  problem: Type.Optional(Type.String({ description: "Why the certificate is not valid or was not renewed." })),
});
export type AgentIdentityStatus = Static<typeof AgentIdentityStatus>;

export const CertificateFileState = Type.Object({
  id: Type.String({ description: "Id of the service." }),
  namespace: Type.String(),
  service: Type.String(),
  path: Type.String({ description: "Path of the certificate." }),
  written: Type.Boolean({ description: "Whether the files have the current certificate." }),
  expiresAt: Type.Optional(Type.String({ format: "date-time" })),
  error: Type.Optional(
    Type.String({ description: "Why a certificate is missing, or why it was not written or reloaded." }),
  ),
});
export type CertificateFileState = Static<typeof CertificateFileState>;

export const AgentStatus = Type.Object({
  node: Type.String(),
  connected: Type.Boolean({ description: "Whether the control plane answered the latest call." }),
  session: Type.Union([Type.Literal("none"), Type.Literal("open")]),
  inSync: Type.Boolean({ description: "Whether the server has exactly what this host claims." }),
  services: Type.Integer(),
  files: Type.Integer(),
  filesFailed: Type.Integer(),
  identity: Type.Optional({
    ...AgentIdentityStatus,
    description: "Absent: the agent has not joined, and uses a token.",
  }),
  certificates: Type.Optional(
    Type.Array(CertificateFileState, {
      description: "Certificates of services as files. Absent: no service wants them.",
    }),
  ),
  problems: Type.Array(Type.Object({ code: Type.String(), detail: Type.String() }), {
    description:
      "Current problems: a definition file, a file or a snapshot that cannot be written, a server that is away.",
  }),
});
export type AgentStatus = Static<typeof AgentStatus>;

export const Resolved = Type.Object({
  namespace: Type.String(),
  service: Type.String(),
  instances: Type.Array(Instance),
  panic: Type.Boolean({
    description: "Whether fewer serving instances are healthy than the service's policy requires.",
  }),
  reason: Type.Optional(Type.String({ description: "Why the service is in panic, for people." })),
});
export type Resolved = Static<typeof Resolved>;

export const AgentErrors = defineErrors("AGENT", {
  DEFINITION_INVALID: { status: 400, title: "Definition file not valid" },
  FILE_NOT_WRITTEN: { status: 500, title: "File not written" },
  SNAPSHOT_NOT_KEPT: { status: 500, title: "Snapshot not written" },
  FOLDER_UNUSABLE: { status: 500, title: "Folder not usable" },
  NOT_LISTENING: { status: 500, title: "Local API not listening" },
  ALREADY_JOINED: { status: 409, title: "This host has joined already" },
  JOIN_TOKEN_INVALID: { status: 400, title: "Not a join token" },
  JOIN_TOKEN_SPENT: { status: 409, title: "Join token was used" },
  JOIN_NEEDS_TLS: { status: 400, title: "A join needs TLS" },
  JOIN_INCOMPLETE: { status: 409, title: "A join was interrupted" },
  JOIN_UNANSWERED: { status: 503, title: "No answer to the join" },
  CLOCK_WRONG: { status: 409, title: "Clock of this machine is wrong" },
  IDENTITY_DAMAGED: { status: 500, title: "Identity of this host not usable" },
  CERTIFICATE_ENDED: { status: 401, title: "Certificate of this host has ended" },
  CERTIFICATE_NOT_YET_VALID: { status: 401, title: "Certificate of this host not valid yet" },
  CERTIFICATE_NOT_RENEWED: { status: 503, title: "Certificate not renewed" },
  CERTIFICATE_NOT_WRITTEN: { status: 500, title: "Certificate of a service not written" },
  OWNER_UNKNOWN: { status: 400, title: "User or group not known" },
  TOKEN_INVALID: { status: 401, title: "Token missing or not valid" },
  HOST_REFUSED: { status: 403, title: "Host not allowed" },
  CROSS_ORIGIN: { status: 403, title: "Request of a web page" },
  CONTROL_PLANE_AWAY: { status: 503, title: "Control plane not reached" },
  SERVICE_TOKEN_REFUSED: { status: 403, title: "No service token for this caller" },
  SERVICE_NOT_FOUND: { status: 404, title: "No such service on this host" },
  SERVICE_DEFINED: { status: 409, title: "Service is defined in a definition file" },
  SERVICE_REFUSED: { status: 409, title: "Service rejected by the control plane" },
  SERVICES_FULL: { status: 409, title: "Too many services on this host" },
  CHECK_NOT_FOUND: { status: 404, title: "No such check" },
  REGISTRATION_INVALID: { status: 400, title: "Registration not valid" },
  CHECK_INVALID: { status: 400, title: "Check not valid" },
  CHECK_NOT_TTL: { status: 409, title: "Check is probed, not reported" },
  FILE_INVALID: { status: 400, title: "File entry not valid" },
  TEMPLATE_INVALID: { status: 500, title: "Template not valid" },
  CHECK_REFUSED: { status: 500, title: "File rejected by its check" },
  RELOAD_FAILED: { status: 500, title: "Reload failed" },
  CONFIG_OLDER: { status: 409, title: "Server has an older config" },
  NOTHING_HELD: { status: 404, title: "No older config to accept" },
  ACKNOWLEDGEMENT_INVALID: { status: 400, title: "Acknowledgement not valid" },
  ACKNOWLEDGEMENTS_FULL: { status: 409, title: "Too many acknowledgements waiting" },
  FILE_NOT_FOUND: { status: 404, title: "No such file" },
  FILES_FULL: { status: 409, title: "Too many files on this host" },
  NOT_KNOWN_YET: { status: 503, title: "Not known yet" },
  SESSION_REFUSED: { status: 403, title: "Session rejected by the control plane" },
  SERVER_AWAY: { status: 503, title: "Control plane does not answer" },
});
