/**
 * Opens connections to endpoints, TLS verified always, and remembers two things about a failure that undici does not
 * say: whether the upstream was ever reached, and whether the connection had served before.
 */
import { buildConnector } from "undici";
import type { CompiledCluster } from "../core/table.ts";

/** Errors of connections that never stood: the upstream saw nothing of the request. */
const connecting = new WeakSet<Error>();
/** Errors of connections that an answer had come by before. */
const reused = new WeakSet<Error>();

export function failedConnecting(error: unknown): boolean {
  return error instanceof Error && connecting.has(error);
}

/**
 * undici tells reuse for a closed socket only (`error.socket.bytesRead`); a reset comes as a bare ECONNRESET, so the
 * connector looks at the socket first.
 */
export function failedReused(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { socket } = error as { socket?: { bytesRead?: number } };
  return reused.has(error) || (socket?.bytesRead ?? 0) > 0;
}

export function connectorOf(cluster: CompiledCluster): buildConnector.connector {
  const { ca, serverName } = cluster.tls;
  const connect = buildConnector({
    timeout: cluster.connectMs,
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    allowH2: false,
    ...(ca === undefined ? {} : { ca }),
  });
  return (options, callback) =>
    connect(serverName === undefined ? options : { ...options, servername: serverName }, (...[error, socket]) => {
      if (error) {
        connecting.add(error);
        callback(error, null);
        return;
      }
      // Before undici's own listener, which fails the request with this very error.
      socket.on("error", (cause: Error) => {
        if (socket.bytesRead > 0) reused.add(cause);
      });
      callback(null, socket);
    });
}
