/** Any endpoint, drawn by weight. */
import { drawReady } from "../weighted-draw.ts";
import type { BalancingPolicy } from "./policy.ts";

export const random: BalancingPolicy = {
  pick: (set, chance, options) => set.endpoints[drawReady(set, chance, options)],
};
