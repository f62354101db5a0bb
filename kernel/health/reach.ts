/**
 * Which targets a process that runs checks may probe, and what it may send there. Clients that may register name the targets, so
 * without these rules a server would open a door to everything that it alone can reach: its loopback, its own listeners, a
 * cloud's metadata.
 */
import type { AppError } from "#base";
import { createNetwork, HealthErrors, type Network, type NetworkRules } from "./network.ts";
import { probeKindOf, type Target } from "./probes/kinds.ts";

export interface ReachRules extends NetworkRules {
  /** Whether a check may send more than a GET or HEAD request without a body, or a gRPC health call. */
  readonly writes: boolean;
}

/** For an agent: its checks are defined by users of its own host, who can connect to all of this themselves. */
export const OWN_HOST_RULES: ReachRules = { refuse: [], loopback: true, metadata: true, writes: true };

export interface Reach extends Network {
  /** Why a target is not probed, as far as its definition shows. Undefined: it may be, or its host is a name. */
  refusal(target: Target): AppError | undefined;
}

/** @throws HEALTH_NETWORK_INVALID */
export function createReach(rules: ReachRules): Reach {
  const network = createNetwork(rules);
  return {
    lookup: network.lookup,
    resolve: network.resolve,
    refusal(target) {
      const kind = probeKindOf(target);
      const place = kind?.connectsTo?.(target);
      const reason =
        (place && network.refusal(place)) ?? (rules.writes ? undefined : writeRefusal(kind?.writes?.(target)));
      return reason === undefined ? undefined : HealthErrors.TARGET_REFUSED(reason);
    },
  };
}

function writeRefusal(writes: string | undefined): string | undefined {
  return (
    writes &&
    `${writes}: a server sends only GET and HEAD without a body. Let the agent of its host run this check, or set probeWrites`
  );
}
