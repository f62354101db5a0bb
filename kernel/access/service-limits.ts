/** Limits of a service token: those that are asked for, within the limits of the agent that asks. */
import { EVERY_NAME, type Limits, within } from "#http";

export type AskedLimits = { readonly [Kind in keyof Limits]?: readonly string[] | undefined };

const KINDS = ["namespaces", "apps", "services"] as const satisfies (keyof Limits)[];

/** A name that is asked for and that the caller's own limits do not include. */
export interface OutsideLimit {
  readonly kind: keyof Limits;
  readonly name: string;
  readonly allowed: readonly string[];
}

/** The first name outside of the caller's limits; undefined: all are within. `*` is within only a limit that has it, or no limit. */
export function outsideOwnLimits(own: Limits, asked: AskedLimits): OutsideLimit | undefined {
  for (const kind of KINDS) {
    const allowed = own[kind];
    const name = (asked[kind] ?? []).find((one) => !within(allowed, one));
    if (name !== undefined) return { kind, name, allowed: allowed ?? [] };
  }
  return undefined;
}

/** The limits of the token. An absent kind is the caller's own. */
export function serviceLimits(own: Limits, asked: AskedLimits): Limits {
  return Object.fromEntries(
    KINDS.flatMap((kind) => {
      const names = asked[kind] ?? own[kind];
      return names === undefined ? [] : [[kind, names]];
    }),
  );
}

/** The apps whose secrets the token receives: those asked for, as far as the caller receives them itself. */
export function serviceSecretApps(own: readonly string[], apps: readonly string[] | undefined): readonly string[] {
  if (apps === undefined) return own;
  if (apps.includes(EVERY_NAME)) return own;
  return apps.filter((app) => within(own, app));
}
