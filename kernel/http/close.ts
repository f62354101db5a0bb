/** Closes an HTTP server in bounded time, whatever its clients do. */
import type { FastifyInstance } from "fastify";
import type { Host } from "#base";
import { cutConnections } from "./server.ts";

/**
 * Milliseconds for running requests to finish after a server begins to close; then their connections are cut. Without a bound, one
 * client that sends half a request, or stops reading its watch, would delay the stop of the whole process.
 */
export const CLOSE_MS_MAX = 5_000;

/** Accepts nothing new, lets running requests finish, and cuts those that take longer than CLOSE_MS_MAX. */
export async function closeHttpServer(host: Host, app: FastifyInstance): Promise<void> {
  const cancel = host.clock.after(CLOSE_MS_MAX, () => {
    host.log.warn({ ms: CLOSE_MS_MAX }, "connections were cut because their requests did not finish in time");
    cutConnections(app);
  });
  try {
    await app.close();
  } finally {
    cancel();
  }
}
