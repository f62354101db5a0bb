/**
 * The record of issued certificates, without keys. Each is stored before its certificate is handed out, so that everything in use can be
 * listed and revoked. Records that arrive while one write is under way share the next one.
 */
import { decodeJson, encodeJson, type Host } from "#base";
import { type Compare, type Put, SharedLease, type Store } from "#store";
import {
  CERTIFICATE_SECONDS,
  CERTIFICATES_PAGE_MAX,
  type CertificateList,
  type CertificateSummary,
  IdentityErrors,
} from "./api.ts";
import { RENEWAL_GRACE_MS } from "./core/authority-record.ts";
import {
  type CertificateRecord,
  CERTIFICATES_PREFIX,
  type IdentityState,
  REVOKED_PREFIX,
  type RevokedRecord,
} from "./state.ts";

/**
 * Certificates listed: those of ten thousand processes, which renew twice a day. Of more, the newest are kept; the others stay valid, and
 * a node's end with the node.
 */
const CERTIFICATES_LISTED_MAX = 20_000;
/** Records of one write: what a transaction takes, with a comparison each. */
const BATCH_MAX = 60;
/** Records deleted at a time, and read at a time. */
const SWEEP_MAX = 100;
const PAGE = 1_000;

interface Waiting {
  readonly put: Omit<Put, "lease">;
  /** The node that the certificate is for must be there still. */
  readonly when: Compare | undefined;
  readonly done: PromiseWithResolvers<boolean>;
}

/** A node, as its own certificates and those that it requested name it. */
export interface NodeHolder {
  readonly spiffeId: string;
  /** Id of its principal. */
  readonly principal: string;
}

export class Certificates {
  readonly #host: Host;
  readonly #store: Store;
  readonly #state: IdentityState;
  readonly #lease: SharedLease;
  readonly #revokedLease: SharedLease;
  #waiting: Waiting[] = [];
  #writing = false;

  constructor(host: Host, store: Store, state: IdentityState) {
    this.#host = host;
    this.#store = store;
    this.#state = state;
    this.#lease = new SharedLease(host, store, CERTIFICATE_SECONDS);
    // As long as a certificate could still be exchanged for a new one.
    this.#revokedLease = new SharedLease(host, store, CERTIFICATE_SECONDS + RENEWAL_GRACE_MS / 1000);
  }

  /** Stores a record. False when `when` did not hold, and nothing was stored. */
  add(serial: string, record: CertificateRecord, when?: Compare): Promise<boolean> {
    const put = { type: "put", key: `${CERTIFICATES_PREFIX}${serial}`, value: encodeJson(record) } as const;
    const waiting: Waiting = { put, when, done: Promise.withResolvers() };
    this.#waiting.push(waiting);
    if (!this.#writing) void this.#write();
    return waiting.done.promise;
  }

  async #write(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, BATCH_MAX);
      this.#waiting = this.#waiting.slice(BATCH_MAX);
      try {
        const succeeded = await this.#commit(batch);
        // One node that has gone must not affect the others of its batch.
        for (const one of batch) one.done.resolve(succeeded || (batch.length > 1 && (await this.#commit([one]))));
      } catch (error) {
        for (const { done } of batch) done.reject(error);
      }
    }
    this.#writing = false;
  }

  #commit(batch: readonly Waiting[]): Promise<boolean> {
    const when = new Map(batch.flatMap(({ when }) => (when ? [[when.key, when]] : [])));
    return this.#lease.use(async (lease) => {
      const then = batch.map(({ put }): Put => ({ ...put, lease }));
      const { succeeded } = await this.#store.txn({ when: [...when.values()], then });
      return succeeded;
    });
  }

  /** Certificates that are valid now or were revoked, the newest first. */
  list({
    spiffeId,
    limit = CERTIFICATES_PAGE_MAX,
  }: {
    readonly spiffeId?: string | undefined;
    readonly limit?: number;
  }): CertificateList {
    const nowMs = this.#host.clock.now();
    const found = [...this.#state.certificates, ...this.#state.revoked].filter(
      ([, one]) => one.expiresAtMs > nowMs && (spiffeId === undefined || one.spiffeId === spiffeId),
    );
    found.sort(([, a], [, b]) => b.issuedAtMs - a.issuedAtMs);
    return {
      certificates: found.slice(0, limit).map(([serial, one]) => summaryOf(serial, one)),
      more: Math.max(0, found.length - limit),
    };
  }

  /** @throws IDENTITY_CERTIFICATE_NOT_FOUND */
  get(serial: string): CertificateSummary {
    const found = this.#state.revoked.get(serial) ?? this.#state.certificates.get(serial);
    if (found) return summaryOf(serial, found);
    throw notFound(serial);
  }

  /** The certificates of every workload, by its SPIFFE id, including those that ended a moment ago. */
  bySpiffeId(): ReadonlyMap<string, readonly CertificateRecord[]> {
    return Map.groupBy(this.#state.certificates.values(), ({ spiffeId }) => spiffeId);
  }

  /** @throws IDENTITY_CERTIFICATE_NOT_FOUND */
  async revoke(serial: string, by: string): Promise<void> {
    const key = `${CERTIFICATES_PREFIX}${serial}`;
    const record = this.#state.certificates.get(serial) ?? (await this.#read(key));
    if (!record) {
      if (this.#state.revoked.has(serial)) return;
      throw notFound(serial);
    }
    await this.#revokedLease.use((lease) =>
      this.#store.txn({ then: [{ type: "delete", key }, this.#revocation(serial, record, by, lease)] }),
    );
    this.#host.log.info({ serial, spiffeId: record.spiffeId, by }, "certificate revoked");
  }

  /**
   * Revokes the listed certificates of a node, and those that it requested for services. Certificates that are being issued meanwhile are
   * the caller's to prevent.
   */
  async revokeAll({ spiffeId, principal }: NodeHolder, by: string): Promise<void> {
    const serials = (await this.#stored()).filter(
      ([, record]) => record.spiffeId === spiffeId || record.by === principal,
    );
    for (let at = 0; at < serials.length; at += BATCH_MAX) {
      const part = serials.slice(at, at + BATCH_MAX);
      await this.#revokedLease.use((lease) =>
        this.#store.txn({
          then: part.flatMap(([serial, record]) => [
            { type: "delete", key: `${CERTIFICATES_PREFIX}${serial}` } as const,
            this.#revocation(serial, record, by, lease),
          ]),
        }),
      );
    }
  }

  #revocation(serial: string, record: CertificateRecord, by: string, lease: string): Put {
    const revoked: RevokedRecord = { ...record, revokedAtMs: this.#host.clock.now(), revokedBy: by };
    return { type: "put", key: `${REVOKED_PREFIX}${serial}`, value: encodeJson(revoked), lease };
  }

  /** As the store has them, which may be a moment ahead of the view. */
  async #stored(): Promise<(readonly [string, CertificateRecord])[]> {
    const found: (readonly [string, CertificateRecord])[] = [];
    for (let after: string | undefined; ;) {
      const request = { prefix: CERTIFICATES_PREFIX, limit: PAGE, ...(after === undefined ? {} : { after }) };
      const { entries, more } = await this.#store.range(request);
      for (const { key, value } of entries) found.push([key.slice(CERTIFICATES_PREFIX.length), decodeJson(value)]);
      after = entries.at(-1)?.key;
      if (!more || after === undefined) return found;
    }
  }

  async #read(key: string): Promise<CertificateRecord | undefined> {
    const { entries } = await this.#store.range({ key });
    return entries[0] && decodeJson<CertificateRecord>(entries[0].value);
  }

  /** Deletes the oldest records beyond the number that is listed. */
  async sweep(): Promise<void> {
    const surplus = this.#state.certificates.size - CERTIFICATES_LISTED_MAX;
    if (surplus <= 0) return;
    const oldest = [...this.#state.certificates].sort(([, a], [, b]) => a.issuedAtMs - b.issuedAtMs).slice(0, surplus);
    for (let at = 0; at < oldest.length; at += SWEEP_MAX) {
      const part = oldest.slice(at, at + SWEEP_MAX);
      await this.#store.txn({
        then: part.map(([serial]) => ({ type: "delete", key: `${CERTIFICATES_PREFIX}${serial}` })),
      });
    }
  }
}

function notFound(serial: string): Error {
  return IdentityErrors.CERTIFICATE_NOT_FOUND(
    `Certificate ${serial} not found: it is mistyped, or has expired. List certificates with \`posthouse cert ls\`.`,
  );
}

function summaryOf(serial: string, record: CertificateRecord | RevokedRecord): CertificateSummary {
  const { spiffeId, dns, ips, issuedAtMs, expiresAtMs, by } = record;
  return {
    serial,
    spiffeId,
    ...(dns ? { dns: [...dns] } : {}),
    ...(ips ? { ips: [...ips] } : {}),
    issuedAt: new Date(issuedAtMs).toISOString(),
    expiresAt: new Date(expiresAtMs).toISOString(),
    by,
    ...("revokedBy" in record
      ? { revoked: { at: new Date(record.revokedAtMs).toISOString(), by: record.revokedBy } }
      : {}),
  };
}
