/**
 * The resources that an owner applied, kept at the server as a config set of its own: app `posthouse-apply`, profile OWNER. It is written before and
 * after the changes, so an apply that is killed leaves no resource that a later one does not know.
 */
import { own } from "#base";
import type { ControlCalls } from "#client/light";
import { liveSet } from "../live-set.ts";
import type { Metadata } from "./kind.ts";

const APP = "posthouse-apply";
const KEY = "inventory.json";

export interface InventoryEntry {
  readonly kind: string;
  readonly metadata: Metadata;
  /** Keys of a ConfigSet. */
  readonly parts?: readonly string[];
}
export interface Inventory {
  readonly version: number;
  readonly entries: readonly InventoryEntry[];
}

export async function readInventory(client: ControlCalls, owner: string | undefined): Promise<Inventory> {
  if (owner === undefined) return { version: 0, entries: [] };
  const { version, items } = await liveSet(client, { namespace: "default", app: APP, profile: owner });
  const text = own(items, KEY)?.value ?? '{"resources":[]}';
  return { version, entries: (JSON.parse(text) as { resources: InventoryEntry[] }).resources };
}

/** @returns the inventory as it is now @throws CONFIG_VERSION_CONFLICT when another apply of this owner runs */
export async function writeInventory(
  client: ControlCalls,
  owner: string,
  { version }: Inventory,
  entries: readonly InventoryEntry[],
): Promise<Inventory> {
  const value = `${JSON.stringify({ resources: entries }, null, 2)}\n`;
  const set = { namespace: "default", app: APP, profile: owner };
  const done = await client.config.publish(set, {
    items: { [KEY]: { format: "json", value } },
    expectedVersion: version,
    reason: "posthouse apply",
  });
  return { version: done.version, entries };
}
