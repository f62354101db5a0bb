/**
 * Smooth weighted round robin: endpoints in turn, with the turns of heavy endpoints spread out.
 * @see nginx, ngx_http_upstream_get_peer
 */
import type { Endpoint } from "../endpoints.ts";
import { readiness } from "../weighted-draw.ts";
import { isAvailable, type BalancingPolicy } from "./policy.ts";

export const roundRobin: BalancingPolicy = {
  pick({ endpoints }, _random, options) {
    let sum = 0;
    let best: Endpoint | undefined;
    for (const endpoint of endpoints) {
      if (!isAvailable(endpoint, options)) continue;
      const weight = endpoint.weight * readiness(endpoint, options);
      sum += weight;
      endpoint.load.turn += weight;
      if (!best || endpoint.load.turn > best.load.turn) best = endpoint;
    }
    if (best) best.load.turn -= sum;
    return best ?? endpoints[0];
  },
};
