/** Carries out a plan: resource by resource, each only if the server is still as it was planned. */
import { AppError, messageOf } from "#base";
import type { ControlCalls } from "#client/light";
import { type Inventory, type InventoryEntry, writeInventory } from "./inventory.ts";
import type { ApplyOptions } from "./kind.ts";
import { keyOf, type PlannedChange } from "./plan.ts";

export interface ApplyResult {
  readonly kind: string;
  readonly name: string;
  readonly action: PlannedChange["action"];
  readonly outcome: "applied" | "unchanged" | "kept" | "failed" | "not-tried";
  readonly detail?: string;
}

export interface ApplyPlan {
  readonly changes: readonly PlannedChange[];
  readonly inventory: Inventory;
  readonly owner: string | undefined;
  readonly keepGoing: boolean;
  readonly options: ApplyOptions;
  /** Called before each change. */
  readonly onChange: (change: PlannedChange) => void;
}

export async function applyPlan(client: ControlCalls, plan: ApplyPlan): Promise<ApplyResult[]> {
  const { changes, owner } = plan;
  const described = changes.filter(({ action }) => action !== "delete").map(entryOf);
  const isChange = changes.some(({ action }) => action !== "unchanged" && action !== "orphaned");
  const all = union(plan.inventory.entries, described);
  let inventory = plan.inventory;
  // Before the first change, so that a killed apply leaves nothing that is not known.
  if (owner !== undefined && (isChange || !isSame(inventory.entries, all)))
    inventory = await record(client, owner, inventory, all);
  const results: ApplyResult[] = [];
  let isStopped = false;
  for (const change of changes) {
    const result: ApplyResult = isStopped ? notTried(change) : await applyOne(client, plan, change);
    results.push(result);
    isStopped ||= result.outcome === "failed" && !plan.keepGoing;
  }
  if (owner !== undefined && results.every(({ outcome }) => outcome !== "failed" && outcome !== "not-tried")) {
    await record(client, owner, inventory, described);
  }
  return results;
}

async function record(client: ControlCalls, owner: string, inventory: Inventory, entries: readonly InventoryEntry[]) {
  return isSame(inventory.entries, entries) ? inventory : writeInventory(client, owner, inventory, entries);
}

async function applyOne(client: ControlCalls, plan: ApplyPlan, change: PlannedChange): Promise<ApplyResult> {
  const { action, kind, id, metadata, spec, live, parts } = change;
  const base = { kind: kind.kind, name: id, action };
  if (action === "unchanged") return { ...base, outcome: "unchanged" };
  if (action === "orphaned") return { ...base, outcome: "kept", detail: "no longer described; --prune removes it" };
  plan.onChange(change);
  try {
    const target = { metadata, live, parts };
    const detail =
      action === "delete"
        ? await kind.remove(client, target, plan.options)
        : await kind.write(client, { ...target, spec }, plan.options);
    return { ...base, outcome: "applied", ...(detail ? { detail } : {}) };
  } catch (error) {
    const code = error instanceof AppError ? `${error.code}: ` : "";
    return { ...base, outcome: "failed", detail: `${code}${messageOf(error)}` };
  }
}

function notTried({ kind, id, action }: PlannedChange): ApplyResult {
  return { kind: kind.kind, name: id, action, outcome: "not-tried" };
}

function entryOf({ kind, metadata, parts, spec, action, live }: PlannedChange): InventoryEntry {
  const own = kind.parts?.(spec ?? (action === "orphaned" ? live?.spec : undefined) ?? { keys: {} }) ?? parts;
  return { kind: kind.kind, metadata, ...(kind.parts ? { parts: [...own].sort() } : {}) };
}

/** Every entry of both; the keys of a set that is in both are joined. */
function union(before: readonly InventoryEntry[], now: readonly InventoryEntry[]): InventoryEntry[] {
  const found = new Map<string, InventoryEntry>();
  for (const entry of [...before, ...now]) {
    const key = keyOf(entry);
    const parts = [...new Set([...(found.get(key)?.parts ?? []), ...(entry.parts ?? [])])].sort();
    found.set(key, { ...entry, ...(entry.parts ? { parts } : {}) });
  }
  return [...found.values()];
}

function isSame(a: readonly InventoryEntry[], b: readonly InventoryEntry[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
