/** Compares resources with the server: what would be created, changed and removed. */
import { canonicalJson } from "#base";
import type { ControlCalls } from "#client/light";
import { stringify } from "yaml";
import type { DesiredResource } from "./documents.ts";
import { changedLines } from "./diff-lines.ts";
import type { Inventory, InventoryEntry } from "./inventory.ts";
import type { ApplyOptions, LiveResource, Metadata, ResourceKind } from "./kind.ts";
import { RESOURCE_KINDS } from "./kinds.ts";

export type PlannedAction = "create" | "update" | "unchanged" | "delete" | "orphaned";

export interface PlannedChange {
  readonly action: PlannedAction;
  readonly kind: ResourceKind;
  readonly id: string;
  readonly metadata: Metadata;
  /** Absent for one that is removed. */
  readonly spec?: unknown;
  readonly live: LiveResource | undefined;
  readonly parts: readonly string[];
  /** Changed lines, with "+" or "-". */
  readonly lines: readonly string[];
}

export interface PlanOptions extends ApplyOptions {
  /** Whether what this owner no longer describes is removed. */
  readonly prune: boolean;
}

export async function planChanges(
  client: ControlCalls,
  desired: readonly DesiredResource[],
  inventory: Inventory,
  options: PlanOptions,
): Promise<PlannedChange[]> {
  const earlier = new Map(inventory.entries.map((entry) => [keyOf(entry), entry]));
  const changes: PlannedChange[] = [];
  for (const resource of desired) {
    const entry = earlier.get(`${resource.kind.kind} ${resource.id}`);
    changes.push(await planOne(client, resource, entry?.parts ?? [], options));
  }
  const described = new Set(desired.map(({ kind, id }) => `${kind.kind} ${id}`));
  for (const entry of inventory.entries.toReversed()) {
    if (!described.has(keyOf(entry))) changes.push(...(await planRemoval(client, entry, options)));
  }
  return changes;
}

export function keyOf({ kind, metadata }: InventoryEntry): string {
  const row = RESOURCE_KINDS.find((one) => one.kind === kind);
  return `${kind} ${row?.idOf(metadata) ?? metadata.name}`;
}

async function planOne(
  client: ControlCalls,
  { kind, id, metadata, spec }: DesiredResource,
  earlierParts: readonly string[],
  options: PlanOptions,
): Promise<PlannedChange> {
  const now = kind.parts?.(spec) ?? [];
  const parts = [...new Set([...now, ...(options.prune ? earlierParts : [])])];
  const live = await kind.read(client, metadata, parts);
  const comparable = kind.comparable?.(spec, live?.spec, options) ?? spec;
  const isSame = live !== undefined && canonicalJson(live.spec) === canonicalJson(comparable);
  const target = kind.parts ? comparable : spec;
  const action = isSame ? "unchanged" : live === undefined ? "create" : "update";
  const lines = isSame ? [] : changedLines(textOf(kind, live?.spec), textOf(kind, comparable));
  return { action, kind, id, metadata, spec: target, live, parts, lines };
}

async function planRemoval(
  client: ControlCalls,
  entry: InventoryEntry,
  { prune }: PlanOptions,
): Promise<PlannedChange[]> {
  const kind = RESOURCE_KINDS.find((one) => one.kind === entry.kind);
  if (!kind) return [];
  const { metadata, parts = [] } = entry;
  const live = await kind.read(client, metadata, parts);
  const isGone = live === undefined || (kind.parts !== undefined && kind.parts(live.spec).length === 0);
  if (isGone) return [];
  const lines = prune ? changedLines(textOf(kind, live.spec), "") : [];
  return [{ action: prune ? "delete" : "orphaned", kind, id: kind.idOf(metadata), metadata, live, parts, lines }];
}

function textOf(kind: ResourceKind, spec: unknown): string {
  if (spec === undefined) return "";
  return stringify(kind.shown?.(spec) ?? spec, { sortMapEntries: true });
}
