/** The only interface to state: the contract, the engines behind it, and helpers to read and write through it. */
import type { Host } from "#base";
import type { EtcdStoreOptions } from "./etcd/engine.ts";
import type { LmdbStoreOptions } from "./lmdb/recovering.ts";
import type { RepairOptions, RepairReport } from "./lmdb/repair.ts";
import type { MemoryStoreOptions } from "./memory/engine.ts";
import type { Store } from "./types.ts";

export * from "./types.ts";
export {
  commit,
  COMMIT_TRIES,
  type Committed,
  type CommitOptions,
  type KnownEntries,
  type CommitPlan,
} from "./commit.ts";
export { openMemoryStore, type MemoryStoreOptions } from "./memory/engine.ts";
export { SharedLease } from "./shared-lease.ts";
export { View, type ViewOptions } from "./view.ts";
export type { EtcdStoreOptions } from "./etcd/engine.ts";
export type { EtcdTls, EtcdTlsSource } from "./etcd/members.ts";
export type { LmdbStoreOptions } from "./lmdb/recovering.ts";
export type { Dropped } from "./lmdb/salvage.ts";
export type { RepairOptions, RepairReport } from "./lmdb/repair.ts";

export type StoreOptions =
  | ({ readonly engine: "memory" } & MemoryStoreOptions)
  | ({ readonly engine: "lmdb" } & LmdbStoreOptions)
  | ({ readonly engine: "etcd" } & EtcdStoreOptions);

/**
 * Opens the chosen engine and loads no other: a gateway on etcd needs no native addon.
 * @throws STORE_LOCKED, STORE_CORRUPT, STORE_FULL, STORE_UNAVAILABLE
 */
export async function openStore(host: Host, options: StoreOptions): Promise<Store> {
  if (options.engine === "memory") return (await import("./memory/engine.ts")).openMemoryStore(host, options);
  if (options.engine === "lmdb") return (await import("./lmdb/recovering.ts")).openLmdbStore(host, options);
  return (await import("./etcd/engine.ts")).openEtcdStore(host, options);
}

/**
 * Keeps the undamaged records of an embedded store that cannot be opened, and reports the lost ones.
 * @throws STORE_LOCKED, STORE_CORRUPT, STORE_FULL, STORE_UNAVAILABLE
 */
export async function repairStore(host: Host, options: RepairOptions): Promise<RepairReport> {
  return (await import("./lmdb/repair.ts")).repairLmdbStore(host, options);
}
