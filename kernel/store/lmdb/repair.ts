/**
 * Recovery from a damaged data file without a backup: the undamaged records are written to a new file, which is checked and replaces the
 * damaged one. The damaged file stays beside it. Only current entries are kept, because watchers would miss changes in a history with
 * gaps. The new revision is higher than any that a watcher can have seen, so all watchers read everything again.
 */
import { existsSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { messageOf, type Host } from "#base";
import { StoreErrors, type Revision } from "../types.ts";
import { Disk } from "./disk.ts";
import { DATA_FILE, encodeMeta, encodeRow, leaseKey, META, type Change } from "./layout.ts";
import { lockFolder } from "./lock.ts";
import { Salvage, type Dropped } from "./salvage.ts";
import { endingFor, finishSwap, swapIn, workFolder } from "./swap.ts";
import { UnknownFormat, verifyFile } from "./verify.ts";

/** Bytes of values that are written in one commit. */
const COMMIT_BYTES = 4 * 1024 * 1024;

export interface RepairOptions {
  /** The data folder of the store. */
  readonly folder: string;
  /** Only list what would be dropped. */
  readonly dryRun?: boolean;
}

export interface RepairReport {
  /** The data folder of the store. */
  readonly folder: string;
  readonly outcome: "whole" | "repaired" | "dry-run";
  /** The damage. Each text names the page or the record. */
  readonly damage: readonly string[];
  readonly dropped: readonly Dropped[];
  /** Changes of unknown keys. */
  readonly unreadable: number;
  readonly kept: { readonly keys: number; readonly leases: number };
  /** The revision of the repaired store, or the one that it would have. */
  readonly revision: Revision;
  /** Where the damaged data file is now. */
  readonly damagedFile?: string;
}

/**
 * Repairs the data folder of a store that no process has open. An undamaged store is not changed.
 * @throws STORE_LOCKED, STORE_CORRUPT when nothing can be read, STORE_FULL, STORE_UNAVAILABLE; the store is then as it was
 */
export async function repairLmdbStore(host: Host, { folder, dryRun = false }: RepairOptions): Promise<RepairReport> {
  if (!existsSync(folder)) throw StoreErrors.UNAVAILABLE(`No store found in "${folder}". Check the setting data.`);
  using _lock = lockFolder(folder);
  finishSwap(folder);
  // Left by an interrupted repair.
  rmSync(workFolder(folder), { recursive: true, force: true });
  const damage = damageOf(folder);
  if (damage === "empty") return { folder, outcome: "whole", ...NOTHING };
  using salvage = salvageOf(folder);
  const { dropped, unreadable, leases } = salvage;
  const kept = { keys: salvage.kept.length, leases: leases.size };
  // An undamaged store keeps its revision.
  if (damage === undefined) return { folder, outcome: "whole", ...NOTHING, kept, revision: salvage.revision - 1 };
  const report = {
    folder,
    damage: [...new Set([damage, ...salvage.damage])],
    dropped,
    unreadable,
    kept,
    revision: salvage.revision,
  };
  if (dryRun) return { ...report, outcome: "dry-run" };
  try {
    await build(workFolder(folder), salvage);
  } catch (error) {
    rmSync(workFolder(folder), { recursive: true, force: true });
    throw error;
  }
  const ending = endingFor(folder, host.clock.now());
  swapIn(folder, ending);
  return { ...report, outcome: "repaired", damagedFile: join(folder, `${DATA_FILE}.${ending}`) };
}

const NOTHING = { damage: [], dropped: [], unreadable: 0, kept: { keys: 0, leases: 0 }, revision: 0 } as const;

/**
 * The damage of the file, values included; undefined when it is undamaged, `empty` when it has no data yet.
 * @throws STORE_CORRUPT, STORE_UNAVAILABLE
 */
function damageOf(folder: string): string | undefined {
  const path = join(folder, DATA_FILE);
  if (!existsSync(path) || statSync(path).size === 0) throw hopeless(folder, "its data file is gone");
  try {
    return verifyFile(folder, Infinity).format === undefined ? "empty" : undefined;
  } catch (error) {
    if (error instanceof UnknownFormat)
      throw hopeless(folder, `it has ${error.message}, which this program cannot read`);
    if (error instanceof TypeError || error instanceof ReferenceError) throw error;
    return messageOf(error);
  }
}

function salvageOf(folder: string): Salvage {
  try {
    return new Salvage(folder);
  } catch (error) {
    if (error instanceof TypeError || error instanceof ReferenceError) throw error;
    throw hopeless(folder, messageOf(error), error);
  }
}

function hopeless(folder: string, what: string, cause?: unknown): Error {
  return StoreErrors.CORRUPT(
    `The store in "${folder}" cannot be repaired: ${what}. Restore it from a backup, or move it away to start with an empty store.`,
    { cause },
  );
}

/** Writes the kept records to a new store, and verifies it. */
async function build(folder: string, salvage: Salvage): Promise<void> {
  {
    await using disk = await Disk.open(folder);
    const { revision, leases } = salvage;
    await disk.write({
      changes: [],
      meta: [
        { key: META.compacted, value: encodeMeta(META.compacted, revision) },
        { key: META.revision, value: encodeMeta(META.revision, revision) },
        ...[...leases].map(([id, ttl]) => ({ key: leaseKey(id), value: encodeMeta(leaseKey(id), ttl) })),
      ],
      forgotten: [],
    });
    for (const changes of commitsOf(salvage)) await disk.write({ changes, meta: [], forgotten: [] });
  }
  const { changes } = verifyFile(folder, Infinity);
  const isSame = (a: Change, b: Change | undefined) => JSON.stringify(a) === JSON.stringify(b);
  if (changes.length !== salvage.kept.length || !changes.every((change, at) => isSame(change, salvage.kept[at]))) {
    throw StoreErrors.UNAVAILABLE(
      `The repaired store in "${folder}" differs from the records that were written to it. The original store was not changed.`,
    );
  }
}

type Encoded = { readonly change: Change } & Pick<ReturnType<typeof encodeRow>, "row" | "head">;

function* commitsOf(salvage: Salvage): Iterable<Encoded[]> {
  let changes: Encoded[] = [];
  let bytes = 0;
  for (const change of salvage.kept) {
    const { row, head } = encodeRow(change, salvage.valueOf(change));
    changes.push({ change, row, head });
    bytes += row.byteLength;
    if (bytes < COMMIT_BYTES) continue;
    yield changes;
    changes = [];
    bytes = 0;
  }
  if (changes.length > 0) yield changes;
}
