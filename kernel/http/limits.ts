/**
 * Limits of a principal narrow what its policies grant. An absent limit allows everything. Limits contain names, because a token may be
 * issued before its app or service exists.
 */
export interface Limits {
  readonly namespaces?: readonly string[] | undefined;
  readonly apps?: readonly string[] | undefined;
  readonly services?: readonly string[] | undefined;
}

/** Matches every name in a limit. */
export const EVERY_NAME = "*";

/** Whether a limit allows a name. An absent limit allows every name. */
export function within(limit: readonly string[] | undefined, name: string): boolean {
  return limit === undefined || limit.includes(name) || limit.includes(EVERY_NAME);
}

/** Whether anything is limited at all. */
export function isLimited({ namespaces, apps, services }: Limits): boolean {
  return [namespaces, apps, services].some((limit) => limit !== undefined && !limit.includes(EVERY_NAME));
}
