/** What a gateway is given by the composition root: where it listens, its limits, and the client it learns by. */
import type { Client } from "#client";
import type { ClusterView, ConfigProblem } from "./api.ts";
import type { ResolveName } from "./sources/names.ts";
import type { Filters } from "./core/request/filter.ts";

export interface TlsIdentity {
  /** PEM. */
  readonly key: string;
  /** PEM, the leaf first. */
  readonly cert: string;
}

/** Arrives checked, complete and frozen. `GATEWAY_SETTINGS` has the defaults of what nobody usually sets. */
export interface GatewaySettings {
  /** Of the gateway's own config set, and of services whose cluster names none. */
  readonly namespace: string;
  /** Who this gateway is to gradual releases of its config; undefined: nobody in particular. */
  readonly instance: { readonly id: string; readonly labels: Readonly<Record<string, string>> } | undefined;
  /** Where this gateway is, so that clusters may prefer what is near; absent: nothing is. */
  readonly zone?: string | undefined;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly tlsPort: number;
  /** Without it there is no HTTPS listener. */
  readonly tls: TlsIdentity | undefined;
  /** The config is this file, and not what the control plane releases. */
  readonly configFile?: string | undefined;
  /** Where the last good config and endpoints are kept, for a start without the control plane. */
  readonly dataFile: string | undefined;
  /** Absent: read at the start, and written. Of several workers one writes; one that replaces another reads the news. */
  readonly dataFileUse?: { readonly read: boolean; readonly write: boolean };
  /** Signs the cookies of sticky sessions; absent: a key of this process alone, so that they end with it. */
  readonly stickyKey?: Buffer | undefined;
  /** How DNS names of a config's own endpoints are resolved; absent: as the system does. */
  readonly resolveName?: ResolveName;
  /** Filters that routes may use beside the built-in ones. */
  readonly filters?: Filters;
  /** Milliseconds that requests in flight may take to end when the gateway stops. */
  readonly drainMs: number;
  /** Milliseconds over which a request's body must keep to the least rate, in lanes/general/pace.ts. */
  readonly requestMs: number;
  /** Milliseconds for a request's head to arrive. */
  readonly headersMs: number;
  /** Milliseconds that a client may take nothing of an answer that waits for it. */
  readonly stallMs: number;
  /** Milliseconds that a client's idle connection is kept. */
  readonly keepAliveMs: number;
  /** Bytes of a request's head. */
  readonly headerBytesMax: number;
}

export const GATEWAY_SETTINGS = {
  instance: undefined,
  drainMs: 10_000,
  requestMs: 60_000,
  headersMs: 10_000,
  stallMs: 30_000,
  keepAliveMs: 65_000,
  headerBytesMax: 16 * 1024,
} as const;

/** As much of the client as a gateway uses. */
export interface GatewayClient {
  readonly registry: Pick<Client["registry"], "watch">;
  readonly config: Pick<Client["config"], "watch" | "acknowledger" | "effectiveOtherThan">;
  /** Absent: limits that gateways share are each one's own. */
  readonly quotas?: Pick<Client["quotas"], "lease">;
}

export interface GatewayPorts {
  readonly httpPort: number;
  readonly httpsPort?: number;
}

export type ConfigOrigin = "file" | "config-file" | "control-plane";

export interface GatewayStatus {
  readonly ready: boolean;
  /**
   * Where what it lives by came from. `file`: the last good state, for nothing newer has been heard since the start;
   * `config-file`: the file of the setting.
   */
  readonly source: ConfigOrigin | "none";
  /** Names the config in force; equal key, equal content. */
  readonly releaseKey: string | undefined;
  readonly routes: number;
  /** Per cluster, the endpoints that get requests. */
  readonly clusters: readonly { readonly name: string; readonly service: string; readonly endpoints: number }[];
  /** Of a newer config that was refused; the one in force goes on. */
  readonly problems: readonly ConfigProblem[];
  /** Of the one in force: hints that became no route, listeners whose port could not be opened. */
  readonly warnings: readonly ConfigProblem[];
  readonly connected: { readonly config: boolean; readonly registry: boolean };
  readonly inFlight: number;
}

export interface Gateway extends AsyncDisposable {
  /** Opens the listeners. @throws the system's own error, such as EADDRINUSE, with its `port`; nothing is left open. */
  listen(): Promise<GatewayPorts>;
  /** Resolves when the first whole config and its endpoints are in force; rejects with the signal's reason. */
  ready(signal: AbortSignal): Promise<void>;
  status(): GatewayStatus;
  /** What each cluster is like now, by its key: shares, ejections, breakers. */
  clusterViews(): ReadonlyMap<string, ClusterView>;
  /** Serves new connections with another certificate; those that stand go on. */
  setTls(identity: TlsIdentity): void;
}
