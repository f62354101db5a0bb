/**
 * Maglev's table: every endpoint is in it as often as it weighs, and who comes or goes moves hardly any place but his
 * own. Gateways that know the same endpoints build the same table, so a caller meets the same endpoint through each.
 * @see Eisenbud et al., Maglev: A Fast and Reliable Software Network Load Balancer, §3.4
 */

/** Places, a prime each: a hundred or more for each endpoint keeps the shares within a percent. */
const SIZES = [2_039, 16_381, 65_537] as const;

export interface Weighted {
  readonly key: string;
  readonly weight: number;
}

/** Indices of endpoints, by place. Empty when there are none. */
export function maglevTable(endpoints: readonly Weighted[]): Uint16Array {
  const size = SIZES.find((one) => one >= endpoints.length * 100) ?? SIZES[2];
  if (endpoints.length === 0) return new Uint16Array(0);
  const heaviest = Math.max(...endpoints.map(({ weight }) => weight));
  const rows = endpoints.map(({ key, weight }) => ({
    at: hashOf(key, 1) % size,
    step: (hashOf(key, 2) % (size - 1)) + 1,
    share: weight / heaviest,
    due: 0,
  }));
  const table = new Uint16Array(size).fill(0xffff);
  for (let filled = 0; ;) {
    for (const [index, row] of rows.entries()) {
      row.due += row.share;
      // A lighter one has its turn only so often.
      if (row.due < 1) continue;
      row.due -= 1;
      while (table[row.at] !== 0xffff) row.at = (row.at + row.step) % size;
      table[row.at] = index;
      if (++filled === size) return table;
    }
  }
}

/** FNV-1a with MurmurHash3's finish: short, without tables, and even in all of its bits. */
export function hashOf(text: string, seed = 0): number {
  let hash = 0x811c9dc5 ^ Math.imul(seed, 0x9e3779b1);
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
