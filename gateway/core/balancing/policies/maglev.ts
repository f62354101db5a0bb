/**
 * Maglev hashing: the same endpoint for the same key. Each endpoint has slots of a table in proportion to its weight,
 * and adding or removing an endpoint moves few slots of the others. Gateways with the same endpoints build the same
 * table, so a caller gets the same endpoint through each of them.
 * @see Eisenbud et al., Maglev: A Fast and Reliable Software Network Load Balancer, §3.4
 */
import { invariant, textHash32 } from "#base";
import type { Endpoint, EndpointSet } from "../endpoints.ts";
import { p2c } from "./p2c.ts";
import { isAvailable, type BalancingPolicy, type PickOptions } from "./policy.ts";

/** Without a hash key, with more endpoints than a table holds, or when none of the key's slots is available, p2c chooses. */
export const maglev: BalancingPolicy = {
  pick: (set, random, options) => endpointOfKey(set, options) ?? p2c.pick(set, random, options),
  prepare(endpoints) {
    if (endpoints.length > ENDPOINTS_MAX) return {};
    let table: Uint16Array | undefined;
    return { maglev: () => (table ??= maglevTable(endpoints)) };
  },
};

/** The endpoint of the key's slot, or of the key's further slots while that one is not available. */
function endpointOfKey(set: EndpointSet, options: PickOptions): Endpoint | undefined {
  const table = set.maglev?.();
  if (!table || table.length === 0 || options.hashKey === undefined) return undefined;
  for (let attempt = 0; attempt < set.endpoints.length; attempt++) {
    const endpoint = set.endpoints[table[textHash32(options.hashKey, attempt) % table.length] as number];
    if (endpoint && isAvailable(endpoint, options)) return endpoint;
  }
  return undefined;
}

/** Sizes of a table, all prime. A hundred slots or more for each endpoint keep the shares within one percent. */
const SIZES = [2_039, 16_381, 65_537] as const;

/** A slot that no endpoint has yet. */
const FREE = 0xffff;
/** Endpoints of a table: their indices are less than that of a free slot. */
const ENDPOINTS_MAX = FREE - 1;

interface Weighted {
  readonly key: string;
  readonly weight: number;
}

/** Indices of endpoints, by slot; empty without endpoints. */
export function maglevTable(endpoints: readonly Weighted[]): Uint16Array {
  const size = SIZES.find((one) => one >= endpoints.length * 100) ?? SIZES[2];
  if (endpoints.length === 0) return new Uint16Array(0);
  invariant(endpoints.length <= ENDPOINTS_MAX, "a Maglev table has at most 65,534 endpoints");
  const heaviest = Math.max(...endpoints.map(({ weight }) => weight));
  invariant(heaviest > 0, "an endpoint of a Maglev table weighs more than 0");
  const rows = endpoints.map(({ key, weight }) => ({
    at: textHash32(key, 1) % size,
    step: (textHash32(key, 2) % (size - 1)) + 1,
    share: weight / heaviest,
    due: 0,
  }));
  const table = new Uint16Array(size).fill(FREE);
  for (let filled = 0; ;) {
    for (const [index, row] of rows.entries()) {
      row.due += row.share;
      // The lighter the endpoint, the fewer rounds in which it takes a slot.
      if (row.due < 1) continue;
      row.due -= 1;
      while (table[row.at] !== FREE) row.at = (row.at + row.step) % size;
      table[row.at] = index;
      if (++filled === size) return table;
    }
  }
}
