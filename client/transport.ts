/**
 * How a call to the control plane travels: over the network, or straight into a server in this process. Nothing above
 * knows which. A signal is required, since a reader that merely leaves does not stop the producer behind an in-process
 * stream; aborting does.
 */
import type { TransportResponse } from "./carry.ts";

export type { TransportResponse } from "./carry.ts";

export interface RawBody {
  /** Its media type. */
  readonly type: string;
  readonly bytes: Uint8Array;
}

export interface TransportRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** Path and query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is, in place of `body`. */
  readonly raw?: RawBody;
  /** Whether a repetition changes nothing, so that another member may be asked after no answer. Absent: only a GET is. */
  readonly repeatable?: boolean;
  /** Asked only to see whether the member answers. */
  readonly isProbe?: boolean;
  readonly signal: AbortSignal;
}

export interface Transport extends AsyncDisposable {
  /** @throws CLIENT_UNREACHABLE when no answer came; any answer, whatever its status, is returned. */
  request(request: TransportRequest): Promise<TransportResponse>;
}
