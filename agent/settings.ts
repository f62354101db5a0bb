/** A token of the local API with limited permissions. `*` means every name. */
export interface LocalAccess {
  /** Name of the token's file, below `tokens` in the agent's data folder. */
  readonly name: string;
  /** Apps whose configs it may read, acknowledge and keep in files. */
  readonly apps: readonly string[];
  /** Names under which it may register services. */
  readonly services: readonly string[];
}

export interface SocketSettings {
  /** Absent: `agent.sock` in the data folder, which only the agent's user can enter. */
  readonly path: string | undefined;
  readonly mode: number;
  /** Name or number. Absent: the agent's own. Only root can give a file to another user. */
  readonly owner: string | undefined;
  readonly group: string | undefined;
}

/** The settings of an agent. They are complete: the program that starts it fills in the defaults. */
export interface AgentSettings {
  /** Version of the program, for the OpenAPI document of the local API. */
  readonly version: string;
  /** Name of this host; part of the ids of services without one. */
  readonly node: string;
  /** Gradual releases of a config select this host by these. */
  readonly labels: Readonly<Record<string, string>>;
  /** Address of services without one: 127.0.0.1 when everything is on one host. */
  readonly address: string;
  /** Address and port of the local API; port 0 selects a free one. */
  readonly host: string;
  readonly port: number;
  /** Token of the local API; absent: one is generated at the first start and kept in the data folder. */
  readonly token: string | undefined;
  /** Further tokens of the local API, each with limited permissions. */
  readonly access: readonly LocalAccess[];
  /** The Unix socket of the local API. A caller who can open it has every right of the agent. */
  readonly socket: SocketSettings;
  /** Folder of the snapshot. */
  readonly dataDir: string;
  /** Folder of the files that callers of the local API request. */
  readonly filesDir: string;
  /** Folder of definition files; undefined: none. */
  readonly servicesDir: string | undefined;
  /** Bytes of all collected logs of services, in the data folder. */
  readonly logsBytesMax: number;
  /** Days for which collected logs are kept, today included. */
  readonly logsKeepDays: number;
  /** Seconds without a heartbeat after which this host's services leave the registry. */
  readonly sessionTtlSeconds: number;
  /** Seconds between two comparisons of everything that the server has of this host. */
  readonly fullSyncSeconds: number;
  /** Absolute paths of the programs that checks of type exec may run. */
  readonly execAllow: readonly string[];
  /** Milliseconds that a stop, or a definition that is gone, leaves to the connections of the sidecar under way. */
  readonly sidecarDrainMs: number;
  /** Whether a clean stop deregisters the services at once; otherwise they stay until the session lapses. */
  readonly leaveOnStop: boolean;
}

export const AGENT_DEFAULTS = Object.freeze({
  version: "0.0.0",
  labels: Object.freeze({}),
  address: "127.0.0.1",
  host: "127.0.0.1",
  port: 8501,
  token: undefined,
  access: Object.freeze([]) as readonly LocalAccess[],
  socket: Object.freeze({ path: undefined, mode: 0o600, owner: undefined, group: undefined }),
  servicesDir: undefined,
  logsBytesMax: 1024 * 1024 * 1024,
  logsKeepDays: 7,
  sessionTtlSeconds: 30,
  fullSyncSeconds: 60,
  execAllow: Object.freeze([]) as readonly string[],
  sidecarDrainMs: 10_000,
  leaveOnStop: true,
});
