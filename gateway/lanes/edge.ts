/** The client's end of a connection: input that is no HTTP, a body that nobody will read, an answer as it comes. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import { refuse } from "../core/pipeline.ts";
import { FLAG_HEADER, PROBLEM_TYPE, problemText } from "./problem.ts";

/** Bytes of a refused body that are read away, so that the client gets to read the refusal. Then the line is cut. */
const DISCARDED_BYTES_MAX = 8 * 1024 * 1024;

/** Node found the request broken, too large or too slow. Answers when nothing was answered yet, and closes. */
export function onClientError(
  error: Error & { code?: string },
  socket: Socket,
  current:
    | { readonly reply: { readonly raw: { readonly headersSent: boolean; readonly writableFinished: boolean } } }
    | undefined,
): void {
  const answering = current !== undefined && current.reply.raw.headersSent && !current.reply.raw.writableFinished;
  if (error.code === "ECONNRESET" || !socket.writable || answering) {
    socket.destroy(error);
    return;
  }
  const refusal =
    error.code === "HPE_HEADER_OVERFLOW"
      ? refuse("HEADERS_TOO_LARGE", "The head of the request is too large.")
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? refuse("REQUEST_TIMEOUT", "The request did not arrive in time.")
        : refuse("REQUEST_INVALID", "This is not a valid HTTP/1.1 request.");
  const body = problemText(refusal, "");
  socket.end(
    `HTTP/1.1 ${refusal.status} ${refusal.title}\r\ncontent-type: ${PROBLEM_TYPE}\r\n${FLAG_HEADER}: ${refusal.flag}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    // What the client still sends must not keep the socket.
    () => socket.destroy(),
  );
}

/** Reads a body away, so that it is never taken for the next request, and cuts a client that will not stop. */
export function drainRequest(request: IncomingMessage): void {
  if (request.complete) return;
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > DISCARDED_BYTES_MAX) request.socket.destroy();
  });
  request.on("error", () => {});
  request.resume();
}

/** Passes the answer on as it comes. Its head goes at once when nobody knows how long the body will take. */
export function sendAnswer(reply: FastifyReply, stream: Readable): void {
  const flush = reply.getHeader("content-length") === undefined && reply.request.raw.method !== "HEAD";
  void reply.send(stream);
  const { statusCode } = reply;
  if (flush && statusCode !== 204 && statusCode !== 304) reply.raw.flushHeaders();
}
