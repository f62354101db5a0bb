/** How much of an answer has arrived, compared with what its head announces. */
import { grpcKind, type GrpcKind } from "../../core/request/grpc.ts";
import { firstHeaderValue } from "../../core/request/header-list.ts";
import { announcedBytes, hasBody, type Extent } from "../../upstream/end.ts";

export const EXCESS = "sent more than its Content-Length announces";
export const SHORTFALL = "sent less than its Content-Length announces";
export const NO_GRPC_STATUS = "ended the call without a status";

export class AnswerExtent implements Extent {
  readonly marked = true;
  readonly announced: number | undefined;
  /** A gRPC answer whose trailers must carry the status. */
  readonly owesStatus: boolean;
  received = 0;
  /** The last chunk of an announced body. */
  last: Buffer | undefined;

  constructor(
    { method, grpc }: { readonly method: string; readonly grpc: GrpcKind | undefined },
    status: number,
    headers: readonly string[],
  ) {
    this.announced = hasBody(method, status) ? announcedBytes(headers) : undefined;
    this.owesStatus =
      grpc !== undefined &&
      status === 200 &&
      grpcKind(firstHeaderValue(headers, "content-type")) === "grpc" &&
      firstHeaderValue(headers, "grpc-status") === undefined;
  }

  /**
   * Counts a chunk. The last byte ends the answer for an HTTP/1.1 client, so the last chunk is held until the service has
   * ended its answer.
   */
  take(chunk: Buffer): "send" | "hold" | "excess" {
    this.received += chunk.length;
    if (this.announced === undefined || this.received < this.announced) return "send";
    if (this.received > this.announced) return "excess";
    this.last = chunk;
    return "hold";
  }
}
