/** Times of the control plane in the columns of a table, in UTC. `-o json` has them whole. */

/** `2026-12-30 16:05`. */
export function minuteText(time: string | undefined): string | undefined {
  return time?.slice(0, 16).replace("T", " ");
}

/** `16:05:09`, for lists of the latest events only. */
export function clockText(time: string): string {
  return time.slice(11, 19);
}

/** `2026-12-30`. */
export function dayText(time: string | undefined): string | undefined {
  return time?.slice(0, 10);
}
