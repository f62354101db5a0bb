/** The client's end of an HTTP/1.x connection: input that is no HTTP, and a body that nobody will read. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "#base";
import { refuse } from "../core/pipeline.ts";
import { FLAG_HEADER, PROBLEM_TYPE, problemText } from "./problem.ts";

/** Bytes of an unwanted body that are read away, so that the client gets to read the answer. Then the line is cut. */
const DISCARDED_BYTES_MAX = 8 * 1024 * 1024;
/** Milliseconds that this may take. */
const DISCARD_MS_MAX = 10_000;

/** Node found the request broken, too large or too slow. Answers when nothing was answered yet, and closes. */
export function onClientError(error: Error & { code?: string }, socket: Socket, answering: boolean): void {
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
export function drainRequest(clock: Clock, request: IncomingMessage): void {
  if (request.complete) return;
  let bytes = 0;
  const { socket } = request;
  const cancel = clock.after(DISCARD_MS_MAX, () => socket.destroy());
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > DISCARDED_BYTES_MAX) socket.destroy();
  });
  request.on("error", () => {});
  request.once("close", cancel);
  request.once("end", cancel);
  request.resume();
}
