/** Changes of keys before they are released, and the call that releases them. */
import type { Draft, Item, Items, RolloutRequest } from "#config-server/api";
import type { ApiCall } from "../../../data/api.ts";
import { formatOfKey } from "./names.ts";

/** By key; null removes it. */
export type KeyChanges = Readonly<Record<string, Item | null>>;

export interface ReleasePlan {
  /** Path of the set in the control API. */
  readonly path: string;
  readonly changes: KeyChanges;
  /** The keys of the live release, whose secrets are masked; a mask leaves a secret as it is. */
  readonly live: Items;
  /** The version that the changes were made on; 0: nothing was released. */
  readonly version: number;
  readonly reason: string;
  readonly isEmergency: boolean;
  readonly rollout: RolloutRequest | undefined;
}

export function changesOf(drafts: readonly Draft[]): KeyChanges {
  return Object.fromEntries(drafts.map(({ key, item }) => [key, item]));
}

export function withChanges(live: Items, changes: KeyChanges): Items {
  const items = Object.entries({ ...live, ...changes });
  return Object.fromEntries(items.filter((entry): entry is [string, Item] => entry[1] !== null));
}

/** One key is released by itself, so that the command stays short; the rest as a whole release. */
export function releaseCallOf(plan: ReleasePlan): ApiCall {
  const { path, changes, live, version, reason, isEmergency, rollout } = plan;
  const [only, ...others] = Object.entries(changes);
  if (only && others.length === 0 && !isEmergency && !rollout && version > 0 && isSendable(only[1])) {
    return keyCallOf(path, { key: only[0], item: only[1], version, reason });
  }
  return {
    method: "POST",
    path: `${path}/releases`,
    body: {
      items: withChanges(live, changes),
      reason,
      expectedVersion: version,
      ...(isEmergency ? { emergency: true } : {}),
      ...(rollout ? { rollout } : {}),
    },
  };
}

/** A binary value would have to be sent as bytes. */
function isSendable(item: Item | null): boolean {
  return item?.format !== "binary";
}

interface KeyChange {
  readonly key: string;
  readonly item: Item | null;
  readonly version: number;
  readonly reason: string;
}

function keyCallOf(path: string, { key, item, version, reason }: KeyChange): ApiCall {
  const query = new URLSearchParams({ expectedVersion: String(version) });
  if (reason !== "") query.set("reason", reason);
  if (item && item.format !== formatOfKey(key)) query.set("format", item.format);
  if (item?.expand) query.set("expand", "true");
  if (item?.secret !== undefined) query.set("secret", String(item.secret));
  const at = `${path}/keys/${encodeURIComponent(key)}?${query}`;
  return item === null ? { method: "DELETE", path: at } : { method: "PUT", path: at, body: item.value };
}

/** Whether releases since `base` gave a key another value. */
export function isChangedSince(key: string, base: Items | undefined, live: Items | undefined): boolean {
  return JSON.stringify(partsOf(base?.[key])) !== JSON.stringify(partsOf(live?.[key]));
}

function partsOf(item: Item | undefined): unknown {
  return item ? [item.format, item.value, item.secret === true, item.expand === true] : null;
}
