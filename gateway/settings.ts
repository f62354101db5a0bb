/** The settings of a gateway, given by the composition root: ports, limits, and the client for the control plane. */
import type { DialRules } from "#base/dial";
import type { Client } from "#client";
import type { IdentitySource } from "#identity/core";
import type { ClusterView, ConfigProblem } from "./api.ts";
import type { ResolveName } from "./sources/names.ts";
import type { Filters } from "./core/request/filter.ts";
import type { GatewayPeers } from "./peers.ts";

export interface TlsIdentity {
  /** PEM. */
  readonly key: string;
  /** PEM, the leaf first. */
  readonly cert: string;
}

/** Checked, complete and frozen. `GATEWAY_SETTINGS` has the defaults of rarely used fields. */
export interface GatewaySettings {
  /** The namespace of the gateway's own config set, and of services whose cluster names none. */
  readonly namespace: string;
  /** The identity of this gateway in gradual rollouts of its config; undefined: it has none. */
  readonly instance: { readonly id: string; readonly labels: Readonly<Record<string, string>> } | undefined;
  /** The gateway's zone, so that clusters can prefer near endpoints; absent: they do not. */
  readonly zone?: string | undefined;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly tlsPort: number;
  /** Undefined: the gateway has no HTTPS listener. */
  readonly tls: TlsIdentity | undefined;
  /** The config comes from this file, and not from the control plane. */
  readonly configFile?: string | undefined;
  /** The file for the last good config and endpoints, for a start without the control plane. */
  readonly dataFile: string | undefined;
  /**
   * Absent: the file is read at the start and written later. Of several workers one writes; a worker that replaces
   * another reads the newest state.
   */
  readonly dataFileUse?: { readonly read: boolean; readonly write: boolean };
  /** Signs the cookies of sticky sessions; absent: with a key of this process, so that sessions end with it. */
  readonly stickyKey?: Buffer | undefined;
  /** Resolves DNS names of a config's own endpoints; absent: the system does. */
  readonly resolveName?: ResolveName;
  /** Filters for routes, in addition to the built-in ones. */
  readonly filters?: Filters;
  /** Milliseconds for requests in flight to end when the gateway stops. */
  readonly drainMs: number;
  /** Milliseconds over which a request's body must reach the minimum rate of lanes/general/pace.ts. */
  readonly requestMs: number;
  /** Milliseconds for a request's head to arrive. */
  readonly headersMs: number;
  /** Milliseconds for which a client may stop reading an answer. */
  readonly stallMs: number;
  /** Milliseconds for which an idle client connection is kept. */
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

/** The part of the client that a gateway uses. */
export interface GatewayClient {
  readonly registry: Pick<Client["registry"], "watch">;
  readonly config: Pick<Client["config"], "watch" | "acknowledger" | "effectiveOtherThan">;
  /** Absent: each gateway applies shared limits on its own. */
  readonly quotas?: Pick<Client["quotas"], "lease">;
  /** Absent: the gateway does not report its traffic. */
  readonly traffic?: Pick<Client["traffic"], "report">;
}

export interface GatewayPorts {
  readonly httpPort: number;
  readonly httpsPort?: number;
}

export type ConfigOrigin = "file" | "config-file" | "control-plane";

export interface GatewayStatus {
  readonly ready: boolean;
  /**
   * The origin of the config in force. `file`: the last good state, because nothing newer arrived since the start;
   * `config-file`: the configured file.
   */
  readonly source: ConfigOrigin | "none";
  /** Identifies the config in force; equal keys mean equal content. */
  readonly releaseKey: string | undefined;
  readonly routes: number;
  /** The endpoints of each cluster that receive requests. */
  readonly clusters: readonly { readonly name: string; readonly service: string; readonly endpoints: number }[];
  /** Problems of a newer config that was rejected; the previous one stays in force. */
  readonly problems: readonly ConfigProblem[];
  /** Warnings about the config in force: hints that became no route, listeners whose port could not be opened. */
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
  /** The current state of each cluster, by its key: shares, ejections, breakers. */
  clusterViews(): ReadonlyMap<string, ClusterView>;
  /** Serves new connections with another certificate. Established connections are not affected. */
  setTls(identity: TlsIdentity): void;
}

export interface GatewayParts {
  readonly client: GatewayClient;
  readonly settings: GatewaySettings;
  readonly peers?: GatewayPeers;
  readonly dial?: DialRules;
  /** The gateway's own certificate, for the ingresses of sidecars. Absent: they are not used. */
  readonly identity?: IdentitySource | undefined;
}
