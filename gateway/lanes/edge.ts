/** The client's end of an HTTP/1.x connection: input that is not HTTP, and bodies that are not read. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "#base";
import { refuse, type Refuse } from "../core/decision/pipeline.ts";
import { Lingering, LINGER_MS_MAX } from "./linger.ts";
import { FLAG_HEADER, PROBLEM_TYPE, problemText } from "./problem.ts";

/**
 * Bytes of an unwanted body after which a connection is kept: as many as the sockets between hold, so that the client
 * has most likely sent them already. Reading a longer body, or one of unknown length, costs more than a new connection.
 */
const KEPT_BEHIND_BYTES_MAX = 64 * 1024;

/** The refusal of a request that Node found broken, too large or too slow; undefined: the connection is gone. */
export function refuseBroken({ code }: { code?: string }): Refuse | undefined {
  if (code === "ECONNRESET") return undefined;
  if (code === "HPE_HEADER_OVERFLOW") return refuse("HEADERS_TOO_LARGE", "The head of the request is too large.");
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return refuse("REQUEST_TIMEOUT", "The request did not arrive in time.");
  return refuse("REQUEST_INVALID", "This is not a valid HTTP/1.1 request.");
}

/** Answers a request that failed before it had a response object, and closes. */
export function answerBroken(clock: Clock, socket: Socket, refusal: Refuse): void {
  const body = problemText(refusal, "");
  const lingering = new Lingering(clock, socket);
  socket.write(
    `HTTP/1.1 ${refusal.status} ${refusal.title}\r\ncontent-type: ${PROBLEM_TYPE}\r\n${FLAG_HEADER}: ${refusal.flag}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
  lingering.halfClose();
}

/** Whether the next request may follow on the connection, although the body of this one is not wanted. */
export function keptBehind(contentLength: string | undefined): boolean {
  return contentLength !== undefined && Number(contentLength) <= KEPT_BEHIND_BYTES_MAX;
}

/** Discards a short body, so that it is never read as the next request. */
export function drainRequest(clock: Clock, request: IncomingMessage): void {
  if (request.complete) return;
  const { socket } = request;
  const cancel = clock.after(LINGER_MS_MAX, () => socket.destroy());
  request.on("error", () => {});
  request.once("close", cancel);
  request.once("end", cancel);
  request.resume();
}
