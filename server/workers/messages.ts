/**
 * What the main process and a worker of its gateway say to each other, over the channel that only the two of them have.
 * Each order of messages is kept; a worker says `online` first, and is told everything else after that.
 */
import type { MetricValues } from "#base";
import type { Listener } from "#base/address-class";
import type { LogSettings } from "#base/system";
import type { RawBody } from "#client";
import type { ClusterView, GatewayPorts, GatewaySettings, PeerNews } from "#gateway";

/** All that a worker needs to know. Secrets among it are in memory only: never in an argument, the environment or a file. */
export interface WorkerStart {
  /** Stays the same when a process replaces another. */
  readonly worker: number;
  readonly workers: number;
  /** What can be sent of the gateway's settings; filters are loaded from their modules by each worker. */
  readonly settings: Omit<GatewaySettings, "filters">;
  /** Where it may connect to. `own`: what the main process listens on now; `ports` tells of changes. */
  readonly dial: { readonly loopback: boolean; readonly own: Listening };
  readonly filterModules: readonly string[];
  /** Whether there is a control plane to be asked, through the main process. */
  readonly controlled: boolean;
  /** One name for all of them: whoever waits for the gateway waits for each. */
  readonly subscriber: string;
  /** It replaces one that ended, so it takes connections only once it knows what the others know. */
  readonly replaces: boolean;
  readonly log: LogSettings;
  readonly otlpUrl: string | undefined;
  readonly traceSampleRatio: number;
}

/** Ports of a process, each with the address that it was opened on. */
export type Listening = readonly Listener[];

/** A request to the control plane, which the main process makes with its own token. */
export interface RelayedRequest {
  readonly id: number;
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Instead of a body that is JSON. */
  readonly raw?: RawBody;
  /** Whether a repetition changes nothing. */
  readonly repeatable?: boolean;
}

/** Of its answer. Names of headers are in lower case. */
export interface RelayedHead {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** What a worker may be asked, and answers. */
export interface WorkerAnswers {
  readonly values: MetricValues;
  readonly clusters: ReadonlyMap<string, ClusterView>;
}

export type ToWorker =
  | { readonly type: "start"; readonly start: WorkerStart }
  | ({ readonly type: "head"; readonly id: number } & RelayedHead)
  | { readonly type: "chunk"; readonly id: number; readonly bytes: Uint8Array }
  | { readonly type: "end"; readonly id: number }
  /** No answer came, or not all of it. */
  | { readonly type: "failed"; readonly id: number; readonly message: string }
  | { readonly type: "ports"; readonly own: Listening }
  /** Of another worker; without news it is gone. */
  | { readonly type: "news"; readonly worker: number; readonly news: PeerNews | undefined }
  | { readonly type: keyof WorkerAnswers; readonly id: number }
  | { readonly type: "stop" };

export type FromWorker =
  | { readonly type: "online" }
  | ({ readonly type: "request" } & RelayedRequest)
  | { readonly type: "abort"; readonly id: number }
  | { readonly type: "listening"; readonly ports: GatewayPorts }
  /** It cannot listen, and ends. */
  | {
      readonly type: "refused";
      readonly code: string | undefined;
      readonly port: number | undefined;
      readonly message: string;
    }
  /** Its first whole config and endpoints are in force. */
  | { readonly type: "ready" }
  | { readonly type: "news"; readonly news: PeerNews }
  | { readonly type: "answer"; readonly id: number; readonly answer: WorkerAnswers[keyof WorkerAnswers] };

/** Exit code of a replacement to which the control plane said nothing: the next may begin with the last good state. */
export const UNHEARD_EXIT = 75;
