/** Whether an address accepts a TCP connection now. */
import { createConnection } from "node:net";
import { bareHost, deadline, type Host } from "#base";

/** Milliseconds for one test connection. */
const CONNECT_MS = 2_000;

export async function canConnect(
  { clock }: Host,
  { hostname, port }: { hostname: string; port: number },
  signal: AbortSignal,
): Promise<boolean> {
  using late = deadline(clock, CONNECT_MS);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = createConnection({
    host: bareHost(hostname),
    port,
    signal: AbortSignal.any([late.signal, signal]),
  });
  socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}
