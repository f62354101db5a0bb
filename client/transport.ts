/**
 * The transport of a call to the control plane: the network, or a server in this process. Its callers do not know which. A signal is
 * required, since a reader that leaves does not stop the producer of an in-process stream, but an abort does.
 */
import type { TransportResponse } from "./carry.ts";

export type { TransportResponse } from "./carry.ts";

export interface RawBody {
  /** Its media type. */
  readonly type: string;
  readonly bytes: Uint8Array;
}

export interface TransportRequest {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Path and query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent unchanged, in place of `body`. */
  readonly raw?: RawBody;
  /** Whether a repetition changes nothing, so that the call may be sent to another member after no answer. Absent: only for a read. */
  readonly repeatable?: boolean;
  /** Whether the call only tests if the member answers. */
  readonly isProbe?: boolean;
  readonly signal: AbortSignal;
}

export interface Transport extends AsyncDisposable {
  /** Returns any answer, whatever its status. @throws CLIENT_UNREACHABLE without an answer */
  request(request: TransportRequest): Promise<TransportResponse>;
}
