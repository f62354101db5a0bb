/**
 * Whether a cluster may open one more connection. A circuit breaker like Envoy's: it counts open connections, not
 * errors.
 */
import type { Endpoint } from "../core/balancing/endpoints.ts";
import { UpstreamError } from "./transfer.ts";

/** Why no connection may be opened; undefined: one may. */
export function noConnection({ load, cluster }: Endpoint): UpstreamError | undefined {
  const { connections, pending } = load.cluster;
  const { connectionsMax, pendingMax } = cluster.breaker;
  if (pending >= pendingMax) return refused(`${pendingMax} are being opened, which is its limit pendingMax`);
  if (connections + pending >= connectionsMax)
    return refused(`${connectionsMax} are open, which is its limit connectionsMax`);
  return undefined;
}

function refused(message: string): UpstreamError {
  return new UpstreamError("OVERLOADED", message, { connecting: true });
}
