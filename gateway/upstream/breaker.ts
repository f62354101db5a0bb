/** Whether a cluster may have one more connection. A circuit breaker as Envoy has it: by what is open now, not by errors. */
import type { Endpoint } from "../core/balancing/endpoints.ts";
import { UpstreamError } from "./transfer.ts";

/** Why not; undefined when it may. */
export function noConnection({ load, cluster }: Endpoint): UpstreamError | undefined {
  const { connections, pending } = load.cluster;
  const { connectionsMax, pendingMax } = cluster.breaker;
  if (pending >= pendingMax) return refused(`${pendingMax} are on their way`);
  if (connections + pending >= connectionsMax) return refused(`it has ${connectionsMax}`);
  return undefined;
}

function refused(message: string): UpstreamError {
  return new UpstreamError("OVERLOADED", message, { connecting: true });
}
