/**
 * What the agent is told and tells: service definition files, the local API, limits and AGENT_ codes. Shapes of the
 * registry and the config server are theirs; here is only what is the agent's own.
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

/** Services that one agent holds: each is a key, its checks, and a claim compared in every full sync. */
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
  address,
  ...facts
} = RegistryRegistration.properties;

/** What a caller says about a service on this host: the session, the owner and who probes are the agent's to say. */
export const LocalRegistration = Type.Object({ address, ...facts }, { additionalProperties: false });
export type LocalRegistration = Static<typeof LocalRegistration>;

/** Body of `PUT /v1/agent/services/:id`, and a service of a definition file without its id. */
const stated = {
  name: Name,
  namespace: Type.Optional(Namespace),
  address: Type.Optional({
    ...address,
    description: "IP address or host name; absent: the address the agent advertises.",
  }),
  ...facts,
};
export const ServiceRequest = Type.Object(stated, { additionalProperties: false });
export type ServiceRequest = Static<typeof ServiceRequest>;

export const ServiceDefinition = Type.Object(
  { id: Type.Optional({ ...Id, description: "Absent: NODE-NAME-PORT." }), ...stated },
  { additionalProperties: false },
);
export type ServiceDefinition = Static<typeof ServiceDefinition>;

export * from "./contract/files.ts";

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

/** A safe file name: it cannot leave its folder, hide, or look like the agent's own temporary files. */
export const FileName = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
  description: "Letters, digits, dot, underscore and dash; at most 128.",
});

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
  description: "Whether the server has it as claimed here.",
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

export const AgentStatus = Type.Object({
  node: Type.String(),
  connected: Type.Boolean({ description: "The latest call to the control plane was answered." }),
  session: Type.Union([Type.Literal("none"), Type.Literal("open")]),
  inSync: Type.Boolean({ description: "The server has exactly what is claimed here." }),
  services: Type.Integer(),
  files: Type.Integer(),
  filesFailed: Type.Integer(),
  problems: Type.Array(Type.Object({ code: Type.String(), detail: Type.String() }), {
    description: "What is wrong now: a definition file, a file not written, a snapshot not kept, a server away.",
  }),
});
export type AgentStatus = Static<typeof AgentStatus>;

export const Resolved = Type.Object({
  namespace: Type.String(),
  service: Type.String(),
  instances: Type.Array(Instance),
  panic: Type.Boolean({ description: "Fewer of the serving instances are healthy than the service's policy asks." }),
  reason: Type.Optional(Type.String({ description: "Of the panic, for people." })),
});
export type Resolved = Static<typeof Resolved>;

export const AgentErrors = defineErrors("AGENT", {
  DEFINITION_INVALID: { status: 400, title: "Definition file not valid" },
  FILE_NOT_WRITTEN: { status: 500, title: "File not written" },
  SNAPSHOT_NOT_KEPT: { status: 500, title: "Snapshot not kept" },
  FOLDER_UNUSABLE: { status: 500, title: "Folder not usable" },
  NOT_LISTENING: { status: 500, title: "Local API not listening" },
  TOKEN_INVALID: { status: 401, title: "Token missing or not valid" },
  HOST_REFUSED: { status: 403, title: "Host not allowed" },
  SERVICE_NOT_FOUND: { status: 404, title: "No such service on this host" },
  SERVICE_DEFINED: { status: 409, title: "Service is held by a definition file" },
  SERVICE_REFUSED: { status: 409, title: "Service refused by the control plane" },
  SERVICES_FULL: { status: 409, title: "Too many services on this host" },
  CHECK_NOT_FOUND: { status: 404, title: "No such check" },
  REGISTRATION_INVALID: { status: 400, title: "Registration not valid" },
  CHECK_INVALID: { status: 400, title: "Check not valid" },
  CHECK_NOT_TTL: { status: 409, title: "Check is not reported but probed" },
  FILE_INVALID: { status: 400, title: "File entry not valid" },
  TEMPLATE_INVALID: { status: 500, title: "Template makes no file" },
  CHECK_REFUSED: { status: 500, title: "File refused by its check" },
  RELOAD_FAILED: { status: 500, title: "Reload failed" },
  CONFIG_OLDER: { status: 409, title: "Server has an older config" },
  NOTHING_HELD: { status: 404, title: "No older config to accept" },
  ACKNOWLEDGEMENT_INVALID: { status: 400, title: "Acknowledgement not valid" },
  ACKNOWLEDGEMENTS_FULL: { status: 409, title: "Too many acknowledgements under way" },
  FILE_NOT_FOUND: { status: 404, title: "No such file" },
  FILES_FULL: { status: 409, title: "Too many files on this host" },
  NOT_KNOWN_YET: { status: 503, title: "Not heard from the control plane yet" },
  SESSION_REFUSED: { status: 403, title: "Session refused by the control plane" },
  SERVER_AWAY: { status: 503, title: "Control plane away" },
});
