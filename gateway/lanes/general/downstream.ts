/** The client's end of one exchange, whatever version of HTTP it speaks. Each protocol's own words stay behind it. */
import type { RawHead } from "../../core/request/head.ts";
import type { BodySource } from "../../upstream/body.ts";
import type { WholeEnd } from "../../upstream/end.ts";

/** Who answers. */
export interface DownstreamListener {
  /** The client can take more. */
  onDrain(): void;
  /** It is over. `complete`: the client has been sent the whole answer. Once. */
  onClose(complete: boolean): void;
}

export interface Downstream {
  readonly head: RawHead;
  /** Undefined: the request has no body. */
  readonly body: BodySource | undefined;
  readonly contentLength: string | undefined;
  /** The head of an answer is on its way; it can only be finished or cut. */
  readonly headSent: boolean;
  /** The client is gone. */
  readonly closed: boolean;
  /** Nothing of the answer waits for the client. */
  readonly flushed: boolean;
  listen(listener: DownstreamListener): void;
  /** This answer, which is still to come, is the last on its connection. */
  closeBehind(): void;
  /** Leave to send the body. */
  continue(): void;
  /** 103 and the like. */
  inform(status: number, headers: readonly string[]): void;
  /** Headers are name, value, name, value. `more`: the first of the body follows at once. */
  writeHead(status: number, headers: readonly string[], more: boolean): void;
  /** False: no more, please, until onDrain. */
  write(chunk: Buffer): boolean;
  /** `last`: the last of the body, if any of it is left. */
  end(end: WholeEnd, last: Buffer | undefined): void;
  /** Head and body in one write. */
  whole(status: number, headers: readonly string[], body: Buffer | undefined): void;
  /**
   * Ends it so that nobody takes what was sent for the whole. `status`: trailers that report a failed gRPC call, where
   * they can be sent so that nobody takes them for anything else. True: they were.
   */
  cut(status?: readonly string[]): boolean;
  /** What is left of the request's body is not wanted; the client may still be sending it. */
  discard(): void;
}
