/** The client's end of one exchange, independent of the version of HTTP. */
import type { RawHead } from "../../core/request/head.ts";
import type { BodySource } from "../../upstream/body.ts";
import type { WholeEnd } from "../../upstream/end.ts";

/** The exchange that answers. */
export interface DownstreamListener {
  /** The client can take more. */
  onDrain(): void;
  /** The exchange ended. `complete`: the client has received the whole answer. Called once. */
  onClose(complete: boolean): void;
}

export interface Downstream {
  readonly head: RawHead;
  /** Undefined: the request has no body. */
  readonly body: BodySource | undefined;
  readonly contentLength: string | undefined;
  /** The head of an answer was sent, so the answer can only be finished or cut. */
  readonly headSent: boolean;
  /** The client is gone. */
  readonly closed: boolean;
  /** No bytes of the answer wait for the client. */
  readonly flushed: boolean;
  listen(listener: DownstreamListener): void;
  /** The answer still to come is the last on its connection. */
  closeBehind(): void;
  /** Sends a 100: the client may send its body. */
  continue(): void;
  /** Sends an informational answer such as 103. */
  inform(status: number, headers: readonly string[]): void;
  /** Headers are name, value, name, value. `more`: the first bytes of the body follow at once. */
  writeHead(status: number, headers: readonly string[], more: boolean): void;
  /** False: write no further bytes until onDrain. */
  write(chunk: Buffer): boolean;
  /** `last`: the last chunk of the body, if it was held. */
  end(end: WholeEnd, last: Buffer | undefined): void;
  /** Head and body in one write. */
  whole(status: number, headers: readonly string[], body: Buffer | undefined): void;
  /**
   * Ends the answer in a way that the client sees as incomplete. `status`: trailers that report a failed gRPC call, for
   * protocols in which they cannot be mistaken for anything else. True: they were sent.
   */
  cut(status?: readonly string[]): boolean;
  /** The rest of the request's body is not wanted; the client may still be sending it. */
  discard(): void;
}
