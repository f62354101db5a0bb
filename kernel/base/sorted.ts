/** Binary search. */

/**
 * The first index in [0, length) at which `isReached` is true, or `length`. From there on, `isReached` must stay true.
 */
export function firstIndexWhere(length: number, isReached: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isReached(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
