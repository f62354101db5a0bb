/** The client's end of an HTTP/1.x connection: input that is no HTTP, and a body that nobody will read. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "#base";
import { refuse, type Refuse } from "../core/decision/pipeline.ts";
import { Lingering, LINGER_MS_MAX } from "./linger.ts";
import { FLAG_HEADER, PROBLEM_TYPE, problemText } from "./problem.ts";

/**
 * Bytes of an unwanted body behind which a connection is kept: as many as the sockets between hold, so that the client
 * has most likely sent them. A longer body, and one of unknown length, costs less than it is worth.
 */
const KEPT_BEHIND_BYTES_MAX = 64 * 1024;

/** What is wrong with a request that Node found broken, too large or too slow; undefined: the connection is gone. */
export function refuseBroken({ code }: { code?: string }): Refuse | undefined {
  if (code === "ECONNRESET") return undefined;
  if (code === "HPE_HEADER_OVERFLOW") return refuse("HEADERS_TOO_LARGE", "The head of the request is too large.");
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return refuse("REQUEST_TIMEOUT", "The request did not arrive in time.");
  return refuse("REQUEST_INVALID", "This is not a valid HTTP/1.1 request.");
}

/** Answers a request that never came so far as to have a place for its answer, and closes. */
export function answerBroken(clock: Clock, socket: Socket, refusal: Refuse): void {
  const body = problemText(refusal, "");
  const lingering = new Lingering(clock, socket);
  socket.write(
    `HTTP/1.1 ${refusal.status} ${refusal.title}\r\ncontent-type: ${PROBLEM_TYPE}\r\n${FLAG_HEADER}: ${refusal.flag}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
  lingering.halfClose();
}

/** Whether the next request may follow on the same connection, though the body of this one is not wanted. */
export function keptBehind(contentLength: string | undefined): boolean {
  return contentLength !== undefined && Number(contentLength) <= KEPT_BEHIND_BYTES_MAX;
}

/** Reads a short body away, so that it is never taken for the next request. */
export function drainRequest(clock: Clock, request: IncomingMessage): void {
  if (request.complete) return;
  const { socket } = request;
  const cancel = clock.after(LINGER_MS_MAX, () => socket.destroy());
  request.on("error", () => {});
  request.once("close", cancel);
  request.once("end", cancel);
  request.resume();
}
