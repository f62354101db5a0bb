/** The endpoint with the fewest requests in flight for its weight. */
import type { Endpoint } from "../endpoints.ts";
import type { BalancingPolicy } from "./policy.ts";

export const leastRequests: BalancingPolicy = {
  pick({ endpoints }, random) {
    // From a random start, so that ties do not always go to the same endpoint.
    const start = Math.floor(random() * endpoints.length);
    let best: Endpoint | undefined;
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[(start + i) % endpoints.length] as Endpoint;
      if (!best || endpoint.load.inFlight * best.weight < best.load.inFlight * endpoint.weight) best = endpoint;
    }
    return best;
  },
};
