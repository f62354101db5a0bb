/**
 * The audit of revealed secrets. The record is durable before the value is returned: a reveal that cannot be recorded fails.
 */
import { decodeJson, encodeJson, randomId, type Host, own } from "#base";
import { SharedLease, type Store } from "#store";
import {
  ConfigErrors,
  type AuditList,
  type AuditRecord,
  type Revealed,
  type RevealRequest,
  type SetName,
} from "../api.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import { nothingReleased } from "../releases/stored-releases.ts";
import { AUDIT_PREFIX, auditKey, setId } from "../core/keys.ts";
import { isSealed } from "../core/sealed.ts";

/** Seconds that a record is kept: 280 days, which a shared lease extends to a year at most, the longest lease. */
const AUDIT_KEEP_SECONDS = 280 * 86_400;
const ID_BYTES = 6;

export class Audit {
  readonly #host: Host;
  readonly #store: Store;
  readonly #config: ConfigServer;
  readonly #lease: SharedLease;
  readonly #reveals;

  constructor(host: Host, store: Store, config: ConfigServer) {
    this.#host = host;
    this.#store = store;
    this.#config = config;
    this.#lease = new SharedLease(host, store, AUDIT_KEEP_SECONDS);
    this.#reveals = host.metrics
      .counter({
        name: "posthouse_config_secret_reveals_total",
        help: "Secrets revealed to operators.",
        labelNames: [],
      })
      .labels();
  }

  /** @throws CONFIG_SET_NOT_FOUND, CONFIG_RELEASE_NOT_FOUND, CONFIG_KEY_NOT_FOUND, CONFIG_SECRET_UNREADABLE */
  async reveal(name: SetName, { key, version: wanted, reason }: RevealRequest, who: string): Promise<Revealed> {
    const version = wanted ?? (await this.#config.releases.liveVersion(name));
    if (version === 0) throw nothingReleased(name);
    const item = own((await this.#config.releases.read(name, version)).items, key);
    if (!item || !isSealed(item)) {
      throw ConfigErrors.KEY_NOT_FOUND(`Release ${version} of "${setId(name)}" has no secret "${key}".`);
    }
    const value = await this.#config.secrets.openOne(name, key, item);
    const atMs = this.#host.clock.now();
    const id = randomId(this.#host.random, ID_BYTES);
    const at = new Date(atMs).toISOString();
    const record: AuditRecord = { id, action: "reveal", who, at, ...name, version, key, reason };
    await this.#lease.use((lease) =>
      this.#store.txn({ then: [{ type: "put", key: auditKey(atMs, id), value: encodeJson(record), lease }] }),
    );
    this.#host.log.warn({ ...record }, "a secret was revealed");
    this.#reveals.inc();
    return { key, version, format: item.format, value };
  }

  /** Newest first; `after` is the value from the previous page. */
  async list({ after, limit }: { after: string | undefined; limit: number }): Promise<AuditList> {
    const page = await this.#store.range({
      prefix: AUDIT_PREFIX,
      limit,
      ...(after === undefined ? {} : { after: `${AUDIT_PREFIX}${after}` }),
    });
    const last = page.entries.at(-1);
    return {
      records: page.entries.map(({ value }) => decodeJson<AuditRecord>(value)),
      ...(page.more && last ? { after: last.key.slice(AUDIT_PREFIX.length) } : {}),
    };
  }
}
