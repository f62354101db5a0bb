/** The client's end of an HTTP/1.x connection: input that is no HTTP, and a body that nobody will read. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "#base";
import { refuse, type Refuse } from "../core/pipeline.ts";
import { FLAG_HEADER, PROBLEM_TYPE, problemText } from "./problem.ts";

/** Bytes of an unwanted body that are read away, so that the client gets to read the answer. Then the line is cut. */
const DISCARDED_BYTES_MAX = 8 * 1024 * 1024;
/** Milliseconds that this may take. */
const DISCARD_MS_MAX = 10_000;

/** What is wrong with a request that Node found broken, too large or too slow; undefined: the connection is gone. */
export function refuseBroken({ code }: { code?: string }): Refuse | undefined {
  if (code === "ECONNRESET") return undefined;
  if (code === "HPE_HEADER_OVERFLOW") return refuse("HEADERS_TOO_LARGE", "The head of the request is too large.");
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return refuse("REQUEST_TIMEOUT", "The request did not arrive in time.");
  return refuse("REQUEST_INVALID", "This is not a valid HTTP/1.1 request.");
}

/** Answers a request that never came so far as to have a place for its answer, and closes. */
export function answerBroken(socket: Socket, refusal: Refuse): void {
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
