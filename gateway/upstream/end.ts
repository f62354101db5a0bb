/**
 * How a message ends: complete or broken, never in between. Each protocol marks the end in its own way (END_STREAM, the
 * last chunk, the last byte of a length, the end of a connection), and each has ends that look like it (a reset without
 * an error, a short body). Only `endOf` decides. Everything that passes an end on takes the type that only `endOf`
 * creates, so that an unchecked end does not compile.
 * @see RFC 9112 §6.3, RFC 9113 §8.1
 */
declare const JUDGED: unique symbol;

/** The end of a complete message: its trailers, as name, value, name, value. */
export type WholeEnd = readonly string[] & { readonly [JUDGED]: true };

/** The known facts of a message after its last byte. */
export interface Extent {
  /** Its protocol marked the end; the message did not merely stop. */
  readonly marked: boolean;
  /**
   * Bytes that it announced; undefined: it announced none, or they belong to another message, as in an answer to HEAD.
   */
  readonly announced: number | undefined;
  /** Bytes received. */
  readonly received: number;
}

/** undefined: the message is broken. */
export function endOf(extent: Extent, trailers: readonly string[]): WholeEnd | undefined {
  const { marked, announced, received } = extent;
  return marked && (announced === undefined || announced === received) ? (trailers as WholeEnd) : undefined;
}

/** The end of a message that the gateway itself makes, or of a gRPC call whose trailers report its failure. */
export function ownEnd(trailers: readonly string[] = []): WholeEnd {
  return trailers as WholeEnd;
}

const LENGTH = /^\d{1,15}$/;

/** The bytes that the headers announce for a body; undefined: no valid length. */
export function announcedBytes(headers: readonly string[]): number | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    if ((headers[i] as string).length !== 14 || (headers[i] as string).toLowerCase() !== "content-length") continue;
    const value = headers[i + 1] as string;
    return LENGTH.test(value) ? Number(value) : undefined;
  }
  return undefined;
}

/** Whether an answer has a body, regardless of its Content-Length. @see RFC 9110 §6.4.1 */
export function hasBody(method: string, status: number): boolean {
  return method !== "HEAD" && status !== 204 && status !== 304;
}
