/**
 * The LMDB engine, kept alive over a full disk. A failed write ends the engine below, which never continues from a state that the disk does
 * not have; here it is opened again from the disk. Reads and watches then continue, and writes are rejected with STORE_FULL until there
 * is room. Any other failure of the device is final, because the kernel may then show pages that are not on the disk: every call is
 * rejected with it until the process is restarted, while the rest of the process goes on.
 */
import { AppError, TaskGroup, type Host } from "#base";
import { closed } from "../rules.ts";
import {
  StoreErrors,
  type Lease,
  type LeaseId,
  type RangeRequest,
  type RangeResult,
  type Revision,
  type Store,
  type StoreStatus,
  type TxnRequest,
  type TxnResult,
  type WatchBatch,
  type WatchRequest,
} from "../types.ts";
import { openEngine, type EngineOptions } from "./engine.ts";
import { hasRoom, keepBeside, lostStore, removedStore } from "./folder.ts";

/** Milliseconds between two checks for room, and between two attempts to open. */
const RETRY_MS = 1_000;

export interface LmdbStoreOptions extends Omit<EngineOptions, "onFatal"> {
  /** Called with the error when the store begins to reject writes, and with undefined when it accepts them again. */
  readonly onRefusing?: (error: AppError | undefined) => void;
}

/**
 * Opens a data folder for this process alone.
 * @throws STORE_LOCKED when another process has it, STORE_CORRUPT when it is not readable, STORE_FULL, STORE_UNAVAILABLE
 */
export async function openLmdbStore(host: Host, options: LmdbStoreOptions): Promise<Store> {
  const lost = lostStore(options.folder);
  if (lost !== undefined) host.log.warn({ folder: options.folder }, lost);
  const store = new RecoveringStore(host, options);
  await store.open();
  keepBeside(options.folder);
  return store;
}

class RecoveringStore implements Store {
  readonly #host: Host;
  readonly #options: LmdbStoreOptions;
  readonly #tasks: TaskGroup;
  /** Undefined while it is being opened again. */
  #engine: Store | undefined;
  /** Why writes are rejected. */
  #refusing: AppError | undefined;
  #lookedMs = 0;
  /** The error when the data file was removed. */
  #removed: Error | undefined;
  #checkedMs = Number.NEGATIVE_INFINITY;
  #disposed = false;

  constructor(host: Host, options: LmdbStoreOptions) {
    this.#host = host;
    this.#options = options;
    this.#tasks = new TaskGroup(host.log);
  }

  async open(): Promise<void> {
    this.#engine = await openEngine(this.#host, { ...this.#options, onFatal: (error) => this.#failed(error) });
  }

  range(request: RangeRequest): Promise<RangeResult> {
    return this.#reading((engine) => engine.range(request));
  }

  txn(request: TxnRequest): Promise<TxnResult> {
    return isWrite(request)
      ? this.#writing((engine) => engine.txn(request))
      : this.#reading((engine) => engine.txn(request));
  }

  watch(request: WatchRequest): AsyncIterable<WatchBatch> {
    return this.#open().watch(request);
  }

  grant(ttlSeconds: number): Promise<Lease> {
    return this.#writing((engine) => engine.grant(ttlSeconds));
  }

  keepAlive(lease: LeaseId): Promise<void> {
    return this.#reading((engine) => engine.keepAlive(lease));
  }

  revoke(lease: LeaseId): Promise<void> {
    return this.#writing((engine) => engine.revoke(lease));
  }

  compact(through: Revision): Promise<void> {
    return this.#writing((engine) => engine.compact(through));
  }

  status(): Promise<StoreStatus> {
    return this.#reading((engine) => engine.status());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#tasks[Symbol.asyncDispose]();
    await this.#engine?.[Symbol.asyncDispose]();
  }

  // Both avoid `async`, which would cost each call two more turns of the microtask queue.
  #reading<T>(read: (engine: Store) => Promise<T>): Promise<T> {
    try {
      return read(this.#open());
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #writing<T>(write: (engine: Store) => Promise<T>): Promise<T> {
    try {
      const engine = this.#open();
      if (this.#refusing && !this.#roomAgain()) throw this.#refusing;
      this.#checkFolder();
      return write(engine);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #open(): Store {
    if (this.#disposed) throw closed();
    if (!this.#engine) throw this.#refusing ?? closed();
    return this.#engine;
  }

  #failed(error: Error): void {
    const refusing = error instanceof AppError ? error : StoreErrors.UNAVAILABLE(error.message, { cause: error });
    if (!this.#refusing) this.#options.onRefusing?.(refusing);
    this.#refusing = refusing;
    const failed = this.#engine;
    this.#engine = undefined;
    this.#lookedMs = this.#host.clock.monotonic();
    this.#tasks.run("the store after a failed write", async (signal) => {
      await failed?.[Symbol.asyncDispose]();
      if (StoreErrors.FULL.is(refusing)) await this.#openAgain(signal);
    });
  }

  /** Opening only reads, so it needs no room. Other failures are retried. */
  async #openAgain(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.open();
        this.#host.log.warn({ code: this.#refusing?.code }, "the store is read-only until the disk has room");
        return;
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        this.#host.log.error({ code: error.code }, `cannot reopen the store: ${error.message}`);
      }
      await this.#host.clock.sleep(RETRY_MS, signal).catch(() => {});
    }
  }

  /** Rejects writes to a removed file, because they would be lost with the process. */
  #checkFolder(): void {
    const nowMs = this.#host.clock.monotonic();
    if (this.#removed === undefined && nowMs - this.#checkedMs < RETRY_MS) return;
    this.#checkedMs = nowMs;
    const removed = removedStore(this.#options.folder);
    if (removed && !this.#removed) this.#host.log.error({ folder: this.#options.folder }, removed.message);
    this.#removed = removed;
    if (removed) throw removed;
  }

  /** Checks for room at intervals, so that a crowd of writers costs one check. */
  #roomAgain(): boolean {
    const nowMs = this.#host.clock.monotonic();
    if (nowMs - this.#lookedMs < RETRY_MS) return false;
    this.#lookedMs = nowMs;
    if (!hasRoom(this.#options.folder)) return false;
    this.#refusing = undefined;
    this.#host.log.info({}, "the store has room again and accepts writes");
    this.#options.onRefusing?.(undefined);
    return true;
  }
}

function isWrite({ then = [], otherwise = [] }: TxnRequest): boolean {
  const changes = ({ type }: { readonly type: string }) => type !== "range";
  return then.some(changes) || otherwise.some(changes);
}
