/** A token of the local API for some of what it can do. `*` stands for every name. */
export interface LocalAccess {
  /** Of the token's file, below `tokens` in the agent's data folder. */
  readonly name: string;
  /** Whose configs it may read, acknowledge and keep in files. */
  readonly apps: readonly string[];
  /** Under which names it may register services. */
  readonly services: readonly string[];
}

/** What an agent must be told: complete and frozen, with the defaults filled in by whoever starts it. */
export interface AgentSettings {
  /** Of the program, for the document of the local API. */
  readonly version: string;
  /** Name of this host; part of the ids of services that do not say their own. */
  readonly node: string;
  /** By which gradual releases of a config find this host. */
  readonly labels: Readonly<Record<string, string>>;
  /** Address that services are reached at when they do not say: 127.0.0.1 for all on one host. */
  readonly address: string;
  /** Where the local API listens; port 0 takes a free one. */
  readonly host: string;
  readonly port: number;
  /** Of the local API; absent: one that is made at the first start and kept in the data folder. */
  readonly token: string | undefined;
  /** Further tokens of the local API, each for some of what it can do. */
  readonly access: readonly LocalAccess[];
  /** Folder of the snapshot. */
  readonly dataDir: string;
  /** Folder of the files that the local API may ask for. */
  readonly filesDir: string;
  /** Folder of definition files; undefined: none. */
  readonly servicesDir: string | undefined;
  /** Silence after which this host's services leave the registry. */
  readonly sessionTtlSeconds: number;
  /** Between two looks at all that the server has of this host. */
  readonly fullSyncSeconds: number;
  /** Absolute paths of programs that checks of type exec may run. */
  readonly execAllow: readonly string[];
  /** Whether a clean stop takes the services out at once; otherwise they stay until the session lapses. */
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
  servicesDir: undefined,
  sessionTtlSeconds: 30,
  fullSyncSeconds: 60,
  execAllow: Object.freeze([]) as readonly string[],
  leaveOnStop: true,
});
