/** Whether the caller of a request is still connected. */
import type { ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";
import type { FastifyReply } from "fastify";
import { HttpErrors } from "./problem.ts";

/** Calls back once when the caller disconnects; at once when it already has, for example during authentication. */
export function onGone(raw: ServerResponse, callback: () => void): void {
  const { stream } = raw as unknown as Partial<Http2ServerResponse>;
  if (stream?.destroyed ?? raw.destroyed) return callback();
  let gone = false;
  const once = () => {
    if (!gone) callback();
    gone = true;
  };
  raw.once("close", once);
  raw.on("error", once);
}

/** Aborts when the caller disconnects, so that no work continues for it. */
export function whileConnected({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  onGone(raw, () => gone.abort(HttpErrors.UNAVAILABLE("The caller disconnected.")));
  return gone.signal;
}
