/** Whether the caller of a request is still there to receive the answer. */
import type { ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import { HttpErrors } from "./problem.ts";

/** Calls back once when the caller has gone; at once when it went before anybody listened, as during authentication. */
export function onGone(raw: ServerResponse, callback: () => void): void {
  if (raw.destroyed) return callback();
  let gone = false;
  const once = () => {
    if (!gone) callback();
    gone = true;
  };
  raw.once("close", once);
  raw.on("error", once);
}

/** Aborts when the caller is gone, so that nothing is waited for in vain. */
export function whileConnected({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  onGone(raw, () => gone.abort(HttpErrors.UNAVAILABLE("The caller has gone.")));
  return gone.signal;
}
