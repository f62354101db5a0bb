/** Whether whoever asked is still there to be answered. */
import type { FastifyReply } from "fastify";
import { HttpErrors } from "./problem.ts";

/** Aborts when the caller is gone, so that nothing is waited for in vain. */
export function whileConnected({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.on("close", () => gone.abort(HttpErrors.UNAVAILABLE("The caller has gone.")));
  return gone.signal;
}
