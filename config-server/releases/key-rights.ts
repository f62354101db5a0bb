/**
 * The rights of a caller on single keys. Most policies name no keys, and then there is nothing to check beyond the set: these functions
 * return undefined, and nothing is compared or filtered.
 */
import { type Action, isAllowed, maySee, type Principal, requireAllowed } from "#http";
import type { SetName } from "../api.ts";
import { type KeyView, makeKeyView, seenItems, type SeesKey } from "../core/key-view.ts";

/** Throws HTTP_FORBIDDEN unless the caller may do the action on every one of the keys. */
export type KeyPermit = (name: SetName, keys: Iterable<string>) => void;

type KeyAction = Extract<Action, `config:${string}`>;

export function keyPermit(principal: Principal, action: KeyAction): KeyPermit | undefined {
  if (!principal.rights.looksAt(action, "key")) return undefined;
  return ({ namespace, app, profile }, keys) => {
    for (const key of keys) requireAllowed(principal, action, { namespace, app, profile, key });
  };
}

/** Whether the caller may read a set, or at least one key of it. */
export function readsSet(principal: Principal): (name: SetName) => boolean {
  return ({ namespace, app, profile }) => maySee(principal, "config:read", { namespace, app, profile });
}

/** Whether the caller may read a key. */
export function readsKey(principal: Principal): SeesKey {
  if (!principal.rights.looksAt("config:read", "key")) return () => true;
  return ({ namespace, app, profile }, key) => maySee(principal, "config:read", { namespace, app, profile, key });
}

/** Members of a record of keys that the caller may read. */
export function readableItems<T>(principal: Principal, name: SetName, items: Record<string, T>): Record<string, T> {
  if (!principal.rights.looksAt("config:read", "key")) return items;
  return seenItems(name, items, readsKey(principal));
}

const views = new WeakMap<Principal["rights"], Map<string, KeyView>>();

/** The view of all principals with these rights and limits. Undefined: the same for every key. */
export function keyViewFor(principal: Principal): KeyView | undefined {
  const { rights, limits, secretApps } = principal;
  const actions = ["config:read", "config:secrets"] as const;
  if (!actions.some((action) => rights.looksAt(action, "key"))) return undefined;
  let known = views.get(rights);
  if (!known) views.set(rights, (known = new Map()));
  const id = JSON.stringify([limits ?? null, secretApps ?? null]);
  let view = known.get(id);
  if (!view) {
    const sees = readsKey(principal);
    const seesSecret: KeyView["seesSecret"] = ({ namespace, app, profile }, key) =>
      isAllowed(principal, "config:secrets", { namespace, app, profile, key });
    known.set(id, (view = makeKeyView({ sees, seesSecret })));
  }
  return view;
}

/** The author of a release, and the keys that it may change. */
export interface ReleaseAuthor {
  readonly name: string;
  readonly permit?: KeyPermit | undefined;
}

export function releaseAuthor(principal: Principal): ReleaseAuthor {
  return { name: principal.name, permit: keyPermit(principal, "config:publish") };
}
