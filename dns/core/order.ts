/**
 * The order in which instances are returned: drawn by weight without replacement, so that clients that use the first
 * one send each instance its share. Instances of the own zone come before all others.
 */
import { costlyInvariant, firstIndexWhere, type Random } from "#base";

export interface Weighted {
  /** Above 0. */
  readonly weight: number;
  /** The SRV priority; lower ones come first. */
  readonly priority: number;
}

/** Tries per requested item before the draw from a large group stops drawing at random. */
const TRIES_PER_ITEM = 4;

/** Draws at most `count` of the items, which are in order of priority. */
export function draw<Item extends Weighted>(random: Random, items: readonly Item[], count: number): Item[] {
  costlyInvariant(() => items.every(({ weight }) => weight > 0), "instances without a weight are not drawn");
  costlyInvariant(
    () => items.every(({ priority }, at) => at === 0 || priority >= (items[at - 1] as Item).priority),
    "instances are drawn in order of priority",
  );
  const drawn: Item[] = [];
  for (let start = 0; start < items.length && drawn.length < count;) {
    const { priority } = items[start] as Item;
    let end = start + 1;
    while (end < items.length && items[end]?.priority === priority) end++;
    const group = start === 0 && end === items.length ? items : items.slice(start, end);
    drawn.push(...drawGroup(random, group, count - drawn.length));
    start = end;
  }
  costlyInvariant(
    () => new Set(drawn).size === Math.min(count, items.length),
    "no instance is drawn twice or left out",
  );
  return drawn;
}

function drawGroup<Item extends Weighted>(random: Random, items: readonly Item[], count: number): Item[] {
  if (items.length === 1) return [...items];
  // For a few of many, sorting all would cost more than discarding repeated draws.
  return items.length > 4 * count ? drawFew(random, items, count) : drawAll(random, items).slice(0, count);
}

/** @see Efraimidis and Spirakis, Weighted random sampling with a reservoir (2006) */
function drawAll<Item extends Weighted>(random: Random, items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, key: -Math.log(1 - random.float()) / item.weight }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

function drawFew<Item extends Weighted>(random: Random, items: readonly Item[], count: number): Item[] {
  const ends = new Float64Array(items.length);
  let total = 0;
  for (const [i, { weight }] of items.entries()) ends[i] = total += weight;
  const drawn = new Set<Item>();
  for (let tries = count * TRIES_PER_ITEM; tries > 0 && drawn.size < count; tries--) {
    const value = random.float() * total;
    drawn.add(items[firstIndexWhere(items.length - 1, (index) => (ends[index] as number) > value)] as Item);
  }
  // A few heavy items came up repeatedly. The rest follow in order.
  const start = Math.floor(random.float() * items.length);
  for (let i = 0; drawn.size < count; i++) drawn.add(items[(start + i) % items.length] as Item);
  return [...drawn];
}
