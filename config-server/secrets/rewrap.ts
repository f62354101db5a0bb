/**
 * Rewraps data keys with the active key. Each write compares the revision of its data key, so a crash half-way leaves some
 * keys under the old key and some under the new one, and every value can still be read. Releases do not change.
 */
import { AppError, encodeJson, messageOf, Trigger, type Host } from "#base";
import type { StoreEntry, Store, TxnRequest } from "#store";
import { type Rewrapped, type SecretsStatus } from "../api.ts";
import { unwrap, wrap } from "./cipher.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import { pagesUnder } from "../releases/listing.ts";
import { parseDataKeyKey, SECRETS_PREFIX } from "../core/keys.ts";
import { parseWrapped, type WrappedKey } from "../core/sealed.ts";

/** Data keys read at a time, and wrapped in one transaction. */
const PAGE = 100;
/** Milliseconds between two searches for data keys under an old key, such as those of a member that had not read the new one. */
const REWRAP_MS = 600_000;
/** Milliseconds from reading new keys to rewrapping with them, so that other members have read them, too. */
export const REWRAP_GRACE_MS = 60_000;

export class Rewrapper {
  readonly #host: Host;
  readonly #store: Store;
  readonly #config: ConfigServer;
  readonly #due = new Trigger();
  #running: { readonly active: string | undefined; readonly done: Promise<Rewrapped> } | undefined;
  /** Values by the key that they need, as of the last count. */
  #values = new Map<string, number>();
  /** Keys that the metric has labels for. */
  readonly #rewrapped;

  constructor(host: Host, store: Store, config: ConfigServer) {
    this.#host = host;
    this.#store = store;
    this.#config = config;
    config.secrets.keys.onChange(() => this.#due.fire());
    this.#rewrapped = host.metrics
      .counter({
        name: "posthouse_config_secrets_rewrapped_total",
        help: "Secrets whose data key was rewrapped with the active key.",
        labelNames: [],
      })
      .labels();
    host.metrics.gauge({
      name: "posthouse_config_secrets",
      help: "Stored secrets, by the key that they need, as of the last count.",
      labelNames: ["key"],
      collect: (gauge) => {
        for (const { id, values } of this.#counts()) gauge.labels(id).set(values);
      },
    });
    host.metrics.gauge({
      name: "posthouse_config_secrets_unreadable",
      help: "Live secrets that cannot be decrypted.",
      collect: (gauge) => gauge.labels().set(config.unreadable().length),
    });
  }

  /** Rewraps a while after the start, a while after new keys, and regularly. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#try(() => this.#count());
    while (!signal.aborted) {
      await this.#host.clock.sleep(REWRAP_GRACE_MS, signal).catch(() => {});
      if (signal.aborted) return;
      await this.#try(() => this.rewrap());
      const cancel = this.#host.clock.after(REWRAP_MS, () => this.#due.fire());
      await this.#due.wait(signal);
      cancel();
    }
  }

  async #try(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#host.log.debug({ code: error.code }, `secrets were not rewrapped: ${messageOf(error)}`);
    }
  }

  /** Rewraps all data keys that are under another key. Concurrent callers share one round. */
  async rewrap(): Promise<Rewrapped> {
    const { keys } = this.#config.secrets;
    // A round that began with another active key does not count.
    while (this.#running && this.#running.active !== keys.active?.id) await this.#running.done.catch(() => {});
    this.#running ??= {
      active: keys.active?.id,
      done: this.#round().finally(() => (this.#running = undefined)),
    };
    return this.#running.done;
  }

  async status(): Promise<SecretsStatus> {
    await this.#count();
    const { source, active, problem } = this.#config.secrets.keys;
    return {
      source,
      ...(active ? { active: active.id } : {}),
      keys: this.#counts(),
      unreadable: this.#config.unreadable().map(({ name, key, message }) => ({ ...name, key, message })),
      ...(problem === undefined ? {} : { problem }),
    };
  }

  #counts(): SecretsStatus["keys"] {
    const { keys } = this.#config.secrets;
    const ids = [...new Set([...keys.ids, ...this.#values.keys()])];
    return ids.map((id) => ({ id, values: this.#values.get(id) ?? 0, here: keys.get(id) !== undefined }));
  }

  async #round(): Promise<Rewrapped> {
    const active = this.#config.secrets.keys.active;
    let rewrapped = 0;
    let failed = 0;
    if (active) {
      for await (const entries of pagesUnder(this.#store, SECRETS_PREFIX, { limit: PAGE })) {
        const old = entries.filter(({ value }) => parseWrapped(value)?.key !== active.id);
        const rewrappedKeys = old.map((entry) => ({ entry, record: this.#wrapAgain(entry) }));
        failed += rewrappedKeys.filter(({ record }) => !record).length;
        const good = rewrappedKeys.flatMap(({ entry, record }) => (record ? [{ entry, record }] : []));
        if (good.length === 0) continue;
        const done = (await this.#store.txn(putsOf(good))).succeeded;
        // Another member was first for one of them: the others are written one by one.
        const each = done ? [] : await Promise.all(good.map((one) => this.#store.txn(putsOf([one]))));
        const count = done ? good.length : each.filter(({ succeeded }) => succeeded).length;
        rewrapped += count;
        this.#rewrapped.inc(count);
      }
    }
    await this.#count();
    if (rewrapped + failed > 0) this.#host.log.info({ rewrapped, failed }, "data keys of secrets were rewrapped");
    return { active: active?.id ?? "", rewrapped, failed };
  }

  /** Undefined when the data key cannot be unwrapped, and so stays as it is. */
  #wrapAgain({ key, value }: StoreEntry): WrappedKey | undefined {
    const { keys } = this.#config.secrets;
    const record = parseWrapped(value);
    const wrapping = record && keys.get(record.key);
    const place = parseDataKeyKey(key);
    const bytes = wrapping && unwrap(wrapping, place, record);
    if (!bytes || !keys.active) return undefined;
    const wrapped = wrap(this.#host.random, keys.active, place, bytes);
    bytes.fill(0);
    return wrapped;
  }

  async #count(): Promise<void> {
    const values = new Map<string, number>();
    for await (const entries of pagesUnder(this.#store, SECRETS_PREFIX, { limit: PAGE })) {
      for (const { value } of entries) {
        const id = parseWrapped(value)?.key ?? "";
        values.set(id, (values.get(id) ?? 0) + 1);
      }
    }
    this.#values = values;
  }
}

function putsOf(records: readonly { readonly entry: StoreEntry; readonly record: WrappedKey }[]): TxnRequest {
  return {
    when: records.map(({ entry }) => ({
      key: entry.key,
      target: "modRevision",
      is: "equal",
      value: entry.modRevision,
    })),
    then: records.map(({ entry, record }) => ({ type: "put", key: entry.key, value: encodeJson(record) })),
  };
}
