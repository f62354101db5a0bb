/** Closes a server: it finishes the requests that it has, and takes no further ones. */
import type { Host } from "#base";
import type { ListeningServer } from "./own-address.ts";

/** Milliseconds between looks for connections that have become idle: a client may keep them open for minutes. */
const LOOK_MS = 50;

/** After `limitMs`, what is still open is cut. */
export async function closeServer({ clock }: Host, server: ListeningServer, limitMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  const finished = closed.then(() => "finished" as const);
  const endMs = clock.monotonic() + limitMs;
  while (clock.monotonic() < endMs) {
    server.closeIdleConnections?.();
    if ((await Promise.race([finished, clock.sleep(LOOK_MS)])) === "finished") return;
  }
  server.closeAllConnections?.();
}
