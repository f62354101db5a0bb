/**
 * Every setting once: its type, default, unit, bounds and description. Flag, environment variable, file key, check and reference page
 * are all derived from its row.
 */
import { Type, type Static } from "typebox";
import { CONTROL_ROWS } from "./control.ts";
import { oneOf } from "./one-of.ts";
import { SIGN_IN_ROWS } from "./sign-in.ts";
import { TELEMETRY_ROWS } from "./telemetry.ts";

const port = (description: string, value: number) =>
  Type.Integer({ default: value, minimum: 0, maximum: 65_535, description: `${description} 0 chooses a free port.` });
const address = (description: string) => Type.String({ default: "127.0.0.1", format: "host-address", description });
const url = () => Type.String({ pattern: "^https?://", format: "http-url" });
const labels = (description: string) =>
  Type.Array(
    Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}=[A-Za-z0-9._:/@+-]{1,256}$", maxLength: 385 }),
    { default: [], maxItems: 32, description },
  );

export const ROLE_NAMES = ["registry", "config-server", "gateway", "agent"] as const;
export type RoleName = (typeof ROLE_NAMES)[number];

/** One git branch or folder that config is mirrored from. */
const ConfigSource = Type.Object(
  {
    name: Type.String({ pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" }),
    type: oneOf(["git", "folder"]),
    path: Type.String({ minLength: 1, maxLength: 4096 }),
    branch: Type.String({ default: "main", minLength: 1, maxLength: 255 }),
    folder: Type.Optional(Type.String({ pattern: "^(?!/)(?!(.*/)?\\.\\.?(/|$)).+$", maxLength: 4096 })),
    namespace: Type.Optional(Type.String({ pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" })),
    intervalSeconds: Type.Integer({ default: 30, minimum: 1, maximum: 86_400 }),
    prune: Type.Boolean({ default: false }),
  },
  { additionalProperties: false },
);

/** A token of the agent's local API that is limited to some apps and services. */
const LocalAccess = Type.Object(
  {
    name: Type.String({ pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" }),
    apps: Type.Array(Type.String({ pattern: "^(\\*|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$" }), {
      default: [],
      maxItems: 256,
    }),
    services: Type.Array(Type.String({ pattern: "^(\\*|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$" }), {
      default: [],
      maxItems: 256,
    }),
  },
  { additionalProperties: false },
);

export const Settings = Type.Object(
  {
    roles: Type.Array(oneOf(ROLE_NAMES), {
      default: [...ROLE_NAMES],
      minItems: 1,
      uniqueItems: true,
      description: "Roles of this process. registry and config-server require each other and provide the control API.",
    }),
    data: Type.String({
      default: "./data",
      minLength: 1,
      description: "Folder for everything that must outlive the process.",
    }),
    host: address("Address that the control API listens on."),
    port: port("Port of the control API.", 8500),
    portBase: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 65_530,
        description:
          "First of six consecutive ports, for when the usual ones are in use: control API, agent, operations, gateway, gateway TLS " +
          "and DNS. A port that is set explicitly keeps its value.",
      }),
    ),
    tls: oneOf(["auto", "on", "off"], {
      default: "auto",
      description:
        "TLS on the control API, the operations port and the agent's port. auto: on for an address beyond this machine.",
    }),
    tlsCertFile: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          "PEM certificate chain of those ports, read again after each change. Absent: one from the control plane's own authority.",
      }),
    ),
    tlsKeyFile: Type.Optional(Type.String({ minLength: 1, description: "PEM key of tlsCertFile." })),
    tlsNames: Type.Array(Type.String({ format: "host-address", maxLength: 253 }), {
      default: [],
      maxItems: 64,
      description:
        "More names and addresses in the certificate of this machine, beside its host name, its addresses and localhost.",
    }),
    trustDomain: Type.String({
      default: "posthouse",
      pattern: "^[a-z0-9._-]{1,255}$",
      description: "Trust domain of the certificate authority: the first part of every SPIFFE id.",
    }),
    insecurePlaintext: Type.Boolean({
      default: false,
      description:
        "Accept tokens and secrets on the network without TLS: listen beyond this machine, and use http URLs of other machines.",
    }),
    ...SIGN_IN_ROWS,
    store: oneOf(["lmdb", "etcd", "memory"], {
      default: "lmdb",
      description:
        "Where state is stored: in this process's data folder, in an etcd cluster, or in memory only (for trials).",
    }),
    etcdUrls: Type.Array(url(), {
      default: ["http://127.0.0.1:2379"],
      minItems: 1,
      description: "Members of the etcd cluster.",
    }),
    etcdUsername: Type.Optional(Type.String({ description: "User name for etcd, if it requires one." })),
    etcdPassword: Type.Optional(Type.String({ secret: true, description: "Password for etcd." })),
    etcdCaFile: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          "PEM file of the authorities that etcd is verified by, for https URLs. Absent: those of the system.",
      }),
    ),
    etcdCertFile: Type.Optional(
      Type.String({ minLength: 1, description: "PEM client certificate for etcd, if it requires one." }),
    ),
    etcdKeyFile: Type.Optional(Type.String({ minLength: 1, description: "PEM key of etcdCertFile." })),
    storeStartSeconds: Type.Number({
      default: 10,
      minimum: 0.1,
      maximum: 600,
      description: "How long a start waits for the store before it fails.",
    }),
    probeRefuse: Type.Array(Type.String({ minLength: 1, maxLength: 64 }), {
      default: ["169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "64:ff9b::a9fe:0/112"],
      maxItems: 256,
      description:
        "Networks that servers do not probe. The default is link-local. Metadata addresses of clouds are always refused.",
    }),
    probeLoopback: Type.Boolean({
      default: false,
      description:
        "Whether servers probe services on their own loopback addresses, except their own listeners. Agents always do.",
    }),
    probeWrites: Type.Boolean({
      default: false,
      description:
        "Whether servers' checks may send bodies, texts over tcp and udp, and HTTP methods other than GET and HEAD. Agents' always may.",
    }),
    configSources: Type.Array(ConfigSource, {
      default: [],
      maxItems: 64,
      description:
        "Git branches and folders that config is mirrored from (docs/guides/config-transfer.md): a list in the file, JSON elsewhere.",
    }),
    controlUrls: Type.Array(url(), { ...CONTROL_ROWS.controlUrls, minItems: 1 }),
    token: Type.Optional(Type.String({ secret: true, ...CONTROL_ROWS.token })),
    controlCaFile: Type.Optional(Type.String({ minLength: 1, ...CONTROL_ROWS.controlCaFile })),
    controlFingerprint: Type.Optional(
      Type.String({ pattern: "^(?:[0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$", ...CONTROL_ROWS.controlFingerprint }),
    ),
    operationsPort: port("Port of /livez, /readyz and /metrics in a gateway process without the control API.", 8502),
    secretKeyFile: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          "File with the keys for config secrets: ID:BASE64 lines, the active one first. Absent: one in the data folder; none with etcd.",
      }),
    ),
    secretKeyCommand: Type.Array(Type.String({ minLength: 1, maxLength: 4096 }), {
      default: [],
      maxItems: 64,
      description: "Absolute path of a program that prints these keys, and its arguments. Replaces secretKeyFile.",
    }),
    gatewayHost: address("Address that the gateway listens on."),
    gatewayPort: port("Port of the gateway for HTTP.", 8080),
    gatewayTlsPort: port("Port of the gateway for HTTPS.", 8443),
    gatewayCertFile: Type.Optional(
      Type.String({
        description: "PEM certificate chain for HTTPS. Absent: one from the CA that the first start creates.",
      }),
    ),
    gatewayKeyFile: Type.Optional(Type.String({ description: "PEM key of gatewayCertFile." })),
    gatewayNamespace: Type.String({
      default: "default",
      pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
      description: "Namespace whose app `gateway`, profile `default`, contains the routes.",
    }),
    gatewayFile: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          "The gateway reads its config from this file, again after each change, instead of from the control plane.",
      }),
    ),
    gatewayFilters: Type.Array(Type.String({ minLength: 1, maxLength: 4096 }), {
      default: [],
      maxItems: 64,
      description: "Modules with additional filters, for the gateway and for the control API, which checks releases.",
    }),
    gatewayStickyKeyFile: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          "32 bytes in hex that sign the cookies of sticky sessions. Absent: `gateway/sticky.key` in the data folder, created at the first start.",
      }),
    ),
    gatewayWorkers: Type.Integer({
      default: 1,
      minimum: 1,
      maximum: 64,
      description:
        "Number of gateway processes, on the same ports; about one per core. 1: the gateway runs in the main process.",
    }),
    gatewayZone: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: "Zone of the gateway, whose instances it prefers. Absent: no preference.",
      }),
    ),
    gatewayLoopback: Type.Optional(
      oneOf(["on", "off"], {
        description:
          "Whether the gateway may connect to loopback, for services on its host. Absent: on with a local control plane or gatewayFile.",
      }),
    ),
    gatewayDrainSeconds: Type.Number({
      default: 10,
      minimum: 0,
      maximum: 3600,
      description: "How long a stopping gateway waits for running requests.",
    }),
    gatewayName: Type.Optional(
      Type.String({
        pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description: "Id of this gateway among the subscribers of its config. Absent: the host name.",
      }),
    ),
    gatewayLabels: labels("Labels of this gateway, which gradual releases of its config can select: name=value."),
    agentHost: address("Address that the agent's local API listens on."),
    agentPort: port("Port of the agent's local API.", 8501),
    agentToken: Type.Optional(
      Type.String({
        secret: true,
        minLength: 16,
        description:
          "Token of the local API. Absent: one that the first start creates, in `agent/token` of the data folder.",
      }),
    ),
    agentAccess: Type.Array(LocalAccess, {
      default: [],
      maxItems: 256,
      description:
        "More tokens of the local API, each for some apps and services (docs/guides/agent.md): a list in the file, JSON elsewhere.",
    }),
    agentSocket: Type.Optional(
      Type.String({
        pattern: "^/",
        maxLength: 97,
        description:
          "Path of the agent's Unix socket. Absent: `agent/agent.sock` in the data folder, which other users cannot reach.",
      }),
    ),
    agentSocketMode: Type.String({
      default: "0600",
      pattern: "^0?[0-7]{3}$",
      description: "Mode of the agent's socket. A program that can open it has every right of the agent.",
    }),
    agentSocketOwner: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: "User of the agent's socket, if the agent runs as root.",
      }),
    ),
    agentSocketGroup: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: "Group of the agent's socket, by name or number." }),
    ),
    agentName: Type.Optional(
      Type.String({
        pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description: "Name of this host among agents. Absent: its host name.",
      }),
    ),
    agentLabels: labels("Labels of this host, which gradual releases of a config can select: name=value."),
    agentAddress: Type.String({
      default: "127.0.0.1",
      format: "host-address",
      description: "Address of this host's services, unless a service definition has its own.",
    }),
    agentServices: Type.Optional(
      Type.String({ description: "Folder of service definition files. Absent: `agent/services` in the data folder." }),
    ),
    agentExecAllow: Type.Array(Type.String({ pattern: "^/", maxLength: 4096 }), {
      default: [],
      maxItems: 256,
      description:
        "Absolute paths of programs that checks of type exec, and checks and reloads of files, may run on this host.",
    }),
    agentSessionSeconds: Type.Integer({
      default: 30,
      minimum: 2,
      maximum: 86_400,
      description: "Time without a heartbeat after which an agent's services are deregistered.",
    }),
    agentLogsBytesMax: Type.Integer({
      default: 1024 * 1024 * 1024,
      minimum: 1024 * 1024,
      description: "Size of all logs that the agent has collected. Beyond it the oldest files are deleted.",
    }),
    agentLogsKeepDays: Type.Integer({
      default: 7,
      minimum: 1,
      maximum: 3_650,
      description: "Days for which the agent keeps collected logs, today included.",
    }),
    dns: oneOf(["on", "off"], {
      default: "on",
      description: "Whether a process with the control API or an agent answers DNS.",
    }),
    dnsHost: address("Address that DNS listens on, over UDP and TCP. It requires no token."),
    dnsPort: port("Port of DNS, for UDP and TCP.", 8600),
    dnsZone: Type.String({
      default: "posthouse.",
      maxLength: 128,
      pattern: "^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.?$",
      description: "DNS zone of the services' names.",
    }),
    dnsNamespace: Type.String({
      default: "default",
      pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
      description:
        "Namespace whose services have short names. Without the control API, the only namespace that is answered.",
    }),
    dnsNear: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: "Zone whose instances come first in answers, such as this machine's. Absent: no preference.",
      }),
    ),
    dnsTtlSeconds: Type.Integer({
      default: 1,
      minimum: 0,
      maximum: 3600,
      description: "How long clients may cache a DNS answer. They do not see a change before.",
    }),
    dnsForwarders: Type.Array(Type.String({ minLength: 1, maxLength: 64 }), {
      default: [],
      maxItems: 3,
      description:
        "DNS servers for names outside the zone, as IP or IP:PORT, tried in order. None: such queries are refused.",
    }),
    dnsQueriesPerSecond: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1_000_000,
        description:
          "DNS queries that one client (an IPv4 address or an IPv6 /64) may send. 0: unlimited. Absent: 1000; unlimited from this machine.",
      }),
    ),
    ...TELEMETRY_ROWS,
  },
  { additionalProperties: false },
);
export type Settings = Static<typeof Settings>;
export type SettingName = keyof Settings;
