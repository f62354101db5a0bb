/**
 * Limits of HTTP/2. One connection carries all watches and calls of a client, so it may have many streams. A client that breaks the rules,
 * or that resets streams for sport, loses its connection.
 */
import {
  constants,
  type Http2SecureServer,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Host } from "#base";

/** Streams of one connection: all watches of a busy process. Clients open another connection for more. */
const STREAMS_MAX = 2_000;
/** Streams that a client may reset in a burst, as when it ends all of its watches, and per second (CVE-2023-44487). */
const RESETS = { burst: STREAMS_MAX, perSecond: 200 } as const;
/** Streams that end in an error of the protocol before the connection ends: an attacker makes the server send resets (CVE-2025-8671). */
const FAILED_STREAMS_MAX = 200;
/** Streams above STREAMS_MAX that are refused one by one. A client may open many before it has read the limit. */
const REFUSED_STREAMS_MAX = 10_000;
/** MiB that nghttp2 may hold for one connection: some kilobytes for each stream. */
const SESSION_MEMORY_MIB = 32;
/** Entries of one SETTINGS frame; the protocol has seven. */
const SETTINGS_MAX = 16;
/** Fields of a head: with the entries of the compression table, half a megabyte. */
const HEADER_FIELDS_MAX = 128;
/** Bytes in transit from a client on one stream. */
const STREAM_WINDOW_BYTES = 256 * 1024;

export function http2Options(headerBytesMax: number): SecureServerOptions {
  return {
    settings: {
      maxConcurrentStreams: STREAMS_MAX,
      maxHeaderListSize: headerBytesMax,
      initialWindowSize: STREAM_WINDOW_BYTES,
    },
    maxHeaderListPairs: HEADER_FIELDS_MAX,
    maxSessionMemory: SESSION_MEMORY_MIB,
    maxSessionInvalidFrames: FAILED_STREAMS_MAX,
    maxSessionRejectedStreams: REFUSED_STREAMS_MAX,
    maxSettings: SETTINGS_MAX,
    maxOutstandingPings: 4,
    streamResetBurst: RESETS.burst,
    streamResetRate: RESETS.perSecond,
  };
}

/** Whether a head is too large. A client that has not acknowledged the limit yet may exceed it, and nghttp2 then lets it pass. */
export function isHeadTooLarge(
  { rawHeaders }: { readonly rawHeaders: readonly string[] },
  headerBytesMax: number,
): boolean {
  let bytes = 0;
  for (const text of rawHeaders) bytes += text.length;
  return bytes > headerBytesMax;
}

/** Bounds the time that a request takes to arrive, and the streams of a connection that fail. */
export function limitSessions(host: Host, server: Http2SecureServer, requestMsMax: number): void {
  server.on("sessionError", () => {});
  server.on("session", (session: ServerHttp2Session) => {
    let failed = 0;
    session.on("stream", (stream, _headers, flags) => {
      resetWhenCut(session, stream);
      if ((flags & constants.NGHTTP2_FLAG_END_STREAM) === 0) {
        const cancel = host.clock.after(requestMsMax, () => stream.close(constants.NGHTTP2_CANCEL));
        stream.once("end", cancel).once("close", cancel);
      }
      stream.once("close", () => {
        const { rstCode } = stream;
        if (rstCode !== constants.NGHTTP2_NO_ERROR && rstCode !== constants.NGHTTP2_CANCEL) failed += 1;
        if (failed <= FAILED_STREAMS_MAX || session.destroyed) return;
        session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
      });
    });
  });
}

/**
 * Node resets a destroyed stream with the code of success, which looks like the end of a whole answer. A cut answer must look cut, as
 * it does over HTTP/1.1.
 */
function resetWhenCut(session: ServerHttp2Session, stream: ServerHttp2Stream): void {
  const destroy = stream.destroy.bind(stream);
  stream.destroy = (error?: Error) => {
    if (!stream.writableFinished && !stream.closed && !session.destroyed) stream.close(constants.NGHTTP2_CANCEL);
    return destroy(error);
  };
}
