/** The balancing policies, by the names that a cluster's `balance` may have. Each is one file. */
import type { Balance } from "../../../api.ts";
import { leastRequests } from "./least-requests.ts";
import { maglev } from "./maglev.ts";
import { p2c } from "./p2c.ts";
import type { BalancingPolicy } from "./policy.ts";
import { random } from "./random.ts";
import { roundRobin } from "./round-robin.ts";

export const BALANCING_POLICIES: Readonly<Record<Balance, BalancingPolicy>> = {
  p2c,
  "round-robin": roundRobin,
  "least-requests": leastRequests,
  maglev,
  random,
};
