/**
 * What a principal may reach of what its role allows. A limit that is absent limits nothing. Limits hold names, since a
 * token is issued before the app or service that it is for exists.
 */
export interface Limits {
  readonly namespaces?: readonly string[] | undefined;
  readonly apps?: readonly string[] | undefined;
  readonly services?: readonly string[] | undefined;
}

/** Stands for every name in a limit. */
export const EVERY_NAME = "*";

/** Whether a limit lets a name pass; an absent limit lets every name pass. */
export function within(limit: readonly string[] | undefined, name: string): boolean {
  return limit === undefined || limit.includes(name) || limit.includes(EVERY_NAME);
}

/** Whether anything is limited at all. */
export function isLimited({ namespaces, apps, services }: Limits): boolean {
  return [namespaces, apps, services].some((limit) => limit !== undefined && !limit.includes(EVERY_NAME));
}
