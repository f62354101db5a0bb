/**
 * Messages between the main process and a worker of its gateway, over a private channel. Messages arrive in order. A worker first sends
 * `online`, and receives everything else after that.
 */
import type { MetricValues } from "#base";
import type { Listener } from "#base/address-class";
import type { LogSettings } from "#base/system";
import type { RawBody } from "#client";
import type { IdentityMaterial } from "#identity/core";
import type { OtlpProtocol } from "#settings";
import type { ClusterView, GatewayPorts, GatewaySettings, PeerNews } from "#gateway";

/** Everything that a worker needs. Secrets stay in memory: never in an argument, the environment or a file. */
export interface WorkerStart {
  /** Stays the same when a process replaces another. */
  readonly worker: number;
  readonly workers: number;
  /** The gateway's settings without filters, which each worker loads from their modules. */
  readonly settings: Omit<GatewaySettings, "filters">;
  /** Where it may connect to. `own`: the current listeners of the main process; `ports` messages announce changes. */
  readonly dial: { readonly loopback: boolean; readonly own: Listening };
  readonly filterModules: readonly string[];
  /** Whether there is a control plane, which workers reach through the main process. */
  readonly controlled: boolean;
  /** One subscriber name for all workers, so that a drain waits for each of them. */
  readonly subscriber: string;
  /** It replaces a worker that ended, so it accepts connections only when it has the same state as the others. */
  readonly replaces: boolean;
  readonly log: LogSettings;
  readonly otlpUrl: string | undefined;
  readonly otlpProtocol: OtlpProtocol;
  readonly traceSampleRatio: number;
  readonly traceSlowMs: number;
}

/** Ports of a process, each with its address. */
export type Listening = readonly Listener[];

/** A request to the control plane, which the main process makes with its own token. */
export interface RelayedRequest {
  readonly id: number;
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Replaces a JSON body. */
  readonly raw?: RawBody;
  /** Whether the request is idempotent. */
  readonly repeatable?: boolean;
}

/** The head of the response. Header names are in lower case. */
export interface RelayedHead {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** Queries to a worker, and the type of each answer. */
export interface WorkerAnswers {
  readonly values: MetricValues;
  readonly clusters: ReadonlyMap<string, ClusterView>;
}

export type ToWorker =
  | { readonly type: "start"; readonly start: WorkerStart }
  | ({ readonly type: "head"; readonly id: number } & RelayedHead)
  | { readonly type: "chunk"; readonly id: number; readonly bytes: Uint8Array }
  | { readonly type: "end"; readonly id: number }
  /** The response failed, completely or in the middle. */
  | { readonly type: "failed"; readonly id: number; readonly message: string }
  | { readonly type: "ports"; readonly own: Listening }
  /** The renewed certificate that the gateway serves. */
  | { readonly type: "tls"; readonly tls: NonNullable<GatewaySettings["tls"]> }
  /** The gateway's certificate with its key, in memory only. */
  | { readonly type: "identity"; readonly material: IdentityMaterial }
  /** Serial numbers of certificates that are not accepted. */
  | { readonly type: "revoked"; readonly serials: readonly string[] }
  /** News of another worker; undefined when that worker has ended. */
  | { readonly type: "news"; readonly worker: number; readonly news: PeerNews | undefined }
  | { readonly type: keyof WorkerAnswers; readonly id: number }
  | { readonly type: "stop" };

export type FromWorker =
  | { readonly type: "online" }
  | ({ readonly type: "request" } & RelayedRequest)
  | { readonly type: "abort"; readonly id: number }
  | { readonly type: "listening"; readonly ports: GatewayPorts }
  /** The worker cannot listen, and ends. */
  | {
      readonly type: "refused";
      readonly code: string | undefined;
      readonly port: number | undefined;
      readonly message: string;
    }
  /** The worker's first complete config and endpoints are in force. */
  | { readonly type: "ready" }
  | { readonly type: "news"; readonly news: PeerNews }
  | { readonly type: "answer"; readonly id: number; readonly answer: WorkerAnswers[keyof WorkerAnswers] };

/** Exit code of a replacement without an answer from the control plane. The next one may use the last-known-good state. */
export const UNHEARD_EXIT = 75;
