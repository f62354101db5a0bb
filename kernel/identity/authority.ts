/**
 * The certificate authority of the control plane: issues certificates for keys that workloads made, verifies those of peers, and rotates
 * itself. Every member is the same authority: its record is in the store, and its keys are sealed there.
 */
import { generateKeyPairSync } from "node:crypto";
import { AppError, deadline, decodeJson, encodeJson, messageOf, type Host, Trigger } from "#base";
import { HttpErrors, WatchHub } from "#http";
import { commit, keyOfEvent, type Store, type StoreEntry, type StoreEvent, View } from "#store";
import { CERTIFICATE_SECONDS, IdentityErrors, REVOKED_MAX, type TrustBundle } from "./api.ts";
import { AuthorityKeys } from "./authority-keys.ts";
import { Certificates } from "./certificates.ts";
import { type AuthorityRecord, BACKDATE_MS, firstAuthority, issuingRoot } from "./core/authority-record.ts";
import type { IdentityMaterial } from "./core/identity-source.ts";
import type { VerifiedPeer } from "./core/peer.ts";
import { listedRevocations, RevokedSerials } from "./core/revocations.ts";
import { formatSpiffeId, type WorkloadName } from "./core/spiffe-id.ts";
import { PeerVerifier, type VerifyOptions } from "./peers.ts";
import type { Sealer } from "./sealer.ts";
import { AUTHORITY_KEY, IDENTITY_PREFIX, IdentityState, nodeKey, type NodeRecord, REVOKED_PREFIX } from "./state.ts";
import { randomSerial } from "./x509/authority-certificates.ts";
import { type CheckedCsr, readCsr } from "./x509/csr.ts";
import { makeLeaf } from "./x509/leaf.ts";
import { spkiOf } from "./x509/library.ts";

/** Seconds that a certificate must last to be worth issuing, when its issuer is about to end. */
const LIFE_MS_MIN = 60_000;
/** Milliseconds for which a new peer waits for this member to catch up with the store. */
const CATCH_UP_MS = 2_000;
/** Topic of the hub: there is one bundle. */
export const BUNDLE_TOPIC = "bundle";

export interface AuthorityOptions {
  readonly sealer: Sealer;
  readonly trustDomain: string;
  /** Name of this member, for its own certificates. */
  readonly member: string;
}

export interface IssueRequest {
  /** In PEM, or already checked. Its SPIFFE id does not count: the caller checked it against `workload`. */
  readonly csr: string | CheckedCsr;
  readonly workload: WorkloadName;
  readonly dns?: readonly string[] | undefined;
  readonly ips?: readonly string[] | undefined;
  readonly ttlSeconds?: number | undefined;
  /** The principal that requests it, for the record. */
  readonly by: string;
}

export interface Issued {
  /** The leaf, then the intermediates, in PEM. */
  readonly certificate: string;
  readonly bundle: string;
  readonly spiffeId: string;
  readonly serial: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export class CertificateAuthority implements AsyncDisposable {
  /** The watch of the bundle. */
  readonly hub: WatchHub;
  readonly certificates: Certificates;
  readonly keys: AuthorityKeys;
  readonly state: IdentityState;
  readonly store: Store;
  /** Those of the bundle. */
  readonly revocations = new RevokedSerials();
  /** Fires when the record or the keys for secrets have changed. */
  readonly changed = new Trigger();
  readonly #host: Host;
  readonly #options: AuthorityOptions;
  readonly #view: View;
  readonly #peers: PeerVerifier;
  readonly #listeners = new Set<() => void>();
  #catchingUp: Promise<void> | undefined;
  #creating: Promise<AuthorityRecord> | undefined;
  #published = "";
  /** When the keys for secrets were read last, on the monotonic clock. */
  keysSinceMs: number;
  /** Why nothing can be issued; undefined when it can. */
  problem: AppError | undefined;

  constructor(host: Host, store: Store, options: AuthorityOptions) {
    this.#host = host;
    this.store = store;
    this.#options = options;
    this.keysSinceMs = host.clock.monotonic();
    this.state = new IdentityState(() => this.#peers.forget());
    this.#peers = new PeerVerifier(host, this.state);
    this.keys = new AuthorityKeys(host, options.sealer);
    this.certificates = new Certificates(host, store, this.state);
    this.hub = new WatchHub(host, "trust-bundle", { documents: true, ageMs: () => this.#view.ageMs });
    options.sealer.onChange(() => {
      this.keys.close();
      this.keysSinceMs = host.clock.monotonic();
      this.changed.fire();
    });
    this.#view = new View(host, store, {
      name: "identity",
      prefix: IDENTITY_PREFIX,
      reset: (entries, revision) => {
        this.state.clear();
        for (const entry of entries) this.state.put(entry);
        this.#peers.forget();
        this.hub.reset(revision);
        const { pem, revoked } = this.bundle();
        this.#published = pem;
        this.revocations.replace(revoked);
        this.#warnOfTrustDomain();
        this.#notify();
      },
      apply: ({ revision, events }) => {
        for (const event of events) {
          if (event.type === "put") this.state.put(event.entry);
          else this.state.delete(event.key);
        }
        const pem = this.state.authority?.bundle ?? "";
        // A revocation that leaves the store has no news for anybody: its certificate has ended long before.
        const isNew = pem !== this.#published || events.some(isRevocation);
        this.#published = pem;
        this.hub.publish(revision, isNew ? [{ topics: [BUNDLE_TOPIC], data: this.#newBundle() }] : []);
        if (events.some((event) => keyOfEvent(event) === AUTHORITY_KEY)) this.#notify();
      },
    });
  }

  /** Names in certificates would change with it, so the authority keeps the one that it was created with. */
  #warnOfTrustDomain(): void {
    const { trustDomain } = this.#options;
    if (this.trustDomain === trustDomain) return;
    this.#host.log.warn(
      { setting: trustDomain, authority: this.trustDomain },
      `the trust domain of the authority is "${this.trustDomain}", and the setting trustDomain is ignored`,
    );
  }

  #notify(): void {
    this.changed.fire();
    for (const listener of this.#listeners) listener();
  }

  /** Follows the store. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    return this.#view.run(signal);
  }

  get revision(): number {
    return this.#view.revision;
  }

  waitFor(revision: number, signal: AbortSignal): Promise<void> {
    return this.#view.waitFor(revision, signal);
  }

  /** Whether there is an authority that can issue. `ensure` creates it. */
  get ready(): boolean {
    return this.state.authority !== undefined && this.problem === undefined;
  }

  /** Calls the listener after each change of the authority, such as a new root. Returns the function that ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  get trustDomain(): string {
    return this.state.authority?.record.trustDomain ?? this.#options.trustDomain;
  }

  /** Every root that is trusted now, and what was revoked. Empty before there is an authority. */
  bundle(): TrustBundle {
    const { bundle = "", revision = 0, fingerprints = [] } = this.state.authority ?? {};
    const all = this.state.revoked.entries().map(([serial, { expiresAtMs }]) => ({ serial, expiresAtMs }));
    return {
      trustDomain: this.trustDomain,
      revision: Math.max(revision, this.state.revokedAtRevision),
      pem: bundle,
      fingerprints: [...fingerprints],
      ...listedRevocations(all, { nowMs: this.#host.clock.now(), max: REVOKED_MAX }),
    };
  }

  #newBundle(): TrustBundle {
    const bundle = this.bundle();
    this.revocations.replace(bundle.revoked);
    const { revokedMore } = bundle;
    if (revokedMore > 0) {
      this.#host.log.warn(
        { revoked: bundle.revoked.length, revokedMore },
        "more certificates are revoked than the trust bundle lists; sidecars accept the others until they end",
      );
    }
    return bundle;
  }

  /** The fingerprint of the root that new certificates come from; undefined before there is an authority. */
  get fingerprint(): string | undefined {
    return this.state.authority && issuingRoot(this.state.authority.record)?.id;
  }

  /** The record of the authority, which is created by the first caller that needs it. @throws IDENTITY_NO_KEYS, HTTP_UNAVAILABLE */
  async ensure(): Promise<AuthorityRecord> {
    const known = this.state.authority?.record;
    if (known) return known;
    if (this.#view.revision === 0) throw HttpErrors.UNAVAILABLE("Identity is not loaded yet. Try again shortly.");
    this.#creating ??= this.#create().finally(() => (this.#creating = undefined));
    return this.#creating;
  }

  async #create(): Promise<AuthorityRecord> {
    const { entries } = await this.store.range({ key: AUTHORITY_KEY });
    if (entries[0]) return this.#adopt(entries[0]);
    const { trustDomain } = this.#options;
    const made = firstAuthority(trustDomain, await this.keys.newRoot(trustDomain));
    // Members that start at once may all get here. The first write wins, and the others use its record.
    const { result: first, revision } = await commit<StoreEntry | undefined>(
      this.store,
      [{ key: AUTHORITY_KEY }],
      (known) => {
        const result = known.get(AUTHORITY_KEY);
        return { writes: result ? [] : [{ type: "put", key: AUTHORITY_KEY, value: encodeJson(made) }], result };
      },
    );
    if (first) return this.#adopt(first);
    this.state.adopt(made, revision);
    this.#host.log.info({ trustDomain, fingerprint: this.fingerprint }, "certificate authority created");
    return made;
  }

  #adopt({ value, modRevision }: StoreEntry): AuthorityRecord {
    const record = decodeJson<AuthorityRecord>(value);
    this.state.adopt(record, modRevision);
    return record;
  }

  /**
   * Changes the record in one transaction. The plan may throw, and returns undefined to leave it as it is. Returns whether it changed.
   */
  async update(plan: (record: AuthorityRecord) => AuthorityRecord | undefined): Promise<boolean> {
    const { result, revision } = await commit(this.store, [{ key: AUTHORITY_KEY }], (known) => {
      const entry = known.get(AUTHORITY_KEY);
      const next = entry && plan(decodeJson<AuthorityRecord>(entry.value));
      return next
        ? { writes: [{ type: "put", key: AUTHORITY_KEY, value: encodeJson(next) }], result: next }
        : { result: undefined };
    });
    if (result) this.state.adopt(result, revision);
    return result !== undefined;
  }

  /** @throws unless a certificate can be issued now: IDENTITY_KEYS_LOST, IDENTITY_AUTHORITY_EXPIRED, IDENTITY_NO_KEYS */
  async requireIssuing(): Promise<void> {
    await this.keys.issuer(await this.ensure());
  }

  /** Issues a certificate for the key of a request. @throws the IDENTITY_ errors of requests and of an authority that cannot issue */
  async issue(request: IssueRequest): Promise<Issued> {
    const { csr } = request;
    const { spki } = typeof csr === "string" ? await readCsr(csr) : csr;
    return this.#issueFor(spki, request);
  }

  /** A certificate for this member's own listeners, or for another part of this process, with a key made here. */
  async issueOwn(
    names: { readonly dns: readonly string[]; readonly ips: readonly string[] },
    workload: WorkloadName & { readonly kind: "member" | "gateway" } = { kind: "member", name: this.#options.member },
  ): Promise<IdentityMaterial> {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const by = `member:${this.#options.member}`;
    const { certificate, bundle, spiffeId, expiresAtMs } = await this.#issueFor(spkiOf(privateKey), {
      ...names,
      workload,
      by,
      isOwn: true,
    });
    const key = privateKey.export({ type: "pkcs8", format: "pem" });
    return { spiffeId, certificate, key, bundle, expiresAtMs };
  }

  /** `isOwn`: of a part of this process, which did not join. The control API does not know such a gateway as a caller. */
  async #issueFor(spki: Buffer, request: Omit<IssueRequest, "csr"> & { readonly isOwn?: boolean }): Promise<Issued> {
    const { workload, dns = [], ips = [], ttlSeconds = CERTIFICATE_SECONDS, by, isOwn = false } = request;
    const record = await this.ensure();
    const issuer = await this.keys.issuer(record);
    const nowMs = Math.floor(this.#host.clock.now() / 1000) * 1000;
    const expiresAtMs = Math.min(nowMs + ttlSeconds * 1000, issuer.expiresAtMs);
    if (expiresAtMs - nowMs < LIFE_MS_MIN) {
      throw IdentityErrors.AUTHORITY_EXPIRED(
        "The issuing certificate ends within a minute. Rotate it, or import a new one.",
      );
    }
    const serial = randomSerial(this.#host.random);
    const spiffeId = formatSpiffeId({ trustDomain: record.trustDomain, workload });
    const leaf = makeLeaf(issuer, {
      serial,
      spki,
      spiffeId,
      dns,
      ips,
      notBeforeMs: nowMs - BACKDATE_MS,
      notAfterMs: expiresAtMs,
    });
    const isStored = await this.certificates.add(
      serial,
      {
        spiffeId,
        ...(dns.length > 0 ? { dns } : {}),
        ...(ips.length > 0 ? { ips } : {}),
        issuedAtMs: nowMs,
        expiresAtMs,
        by,
      },
      !isOwn && (workload.kind === "agent" || workload.kind === "gateway")
        ? { key: nodeKey(workload.kind, workload.name), target: "version", is: "greater", value: 0 }
        : undefined,
    );
    if (!isStored) {
      throw IdentityErrors.NODE_NOT_FOUND(`The ${workload.kind} "${workload.name}" was removed. Let it join again.`);
    }
    const { bundle } = this.state.authority ?? { bundle: "" };
    return { certificate: leaf + issuer.chain, bundle, spiffeId, serial, issuedAtMs: nowMs, expiresAtMs };
  }

  /** @throws the IDENTITY_CERTIFICATE_ error that names the reason, HTTP_UNAVAILABLE */
  verifyPeer(der: Buffer, options?: VerifyOptions): VerifiedPeer {
    if (this.#view.revision === 0) throw HttpErrors.UNAVAILABLE("Identity is not loaded yet. Try again shortly.");
    return this.#peers.verify(der, options);
  }

  /**
   * Like `verifyPeer`, for certificates that another member may have issued a moment ago: before one of an unknown issuer or node is
   * rejected, this member catches up with the store, once for all that wait.
   */
  async verifyNewPeer(der: Buffer): Promise<VerifiedPeer> {
    try {
      return this.verifyPeer(der);
    } catch (error) {
      if (!IdentityErrors.CERTIFICATE_UNKNOWN_ISSUER.is(error) && !IdentityErrors.CERTIFICATE_REVOKED.is(error))
        throw error;
      this.#catchingUp ??= this.#catchUp().finally(() => (this.#catchingUp = undefined));
      await this.#catchingUp;
      return this.verifyPeer(der);
    }
  }

  async #catchUp(): Promise<void> {
    const { revision } = await this.store.range({ key: AUTHORITY_KEY, keysOnly: true });
    using late = deadline(this.#host.clock, CATCH_UP_MS);
    await this.#view.waitFor(revision, late.signal).catch(() => {});
  }

  /** Whether the store has an authority, whose keys then need the keys for secrets. */
  async exists(): Promise<boolean> {
    return (await this.store.range({ key: AUTHORITY_KEY, keysOnly: true })).count > 0;
  }

  /** Whether a certificate was revoked after it was verified. Watches ask this while they are open. */
  isRevoked(serial: string): boolean {
    return this.state.revoked.has(serial);
  }

  /** The record of a node, which has its limits. Undefined after its removal, and for other workloads. */
  nodeOf(workload: WorkloadName): NodeRecord | undefined {
    return workload.kind === "agent" || workload.kind === "gateway"
      ? this.state.node(workload.kind, workload.name)
      : undefined;
  }

  /** @throws IDENTITY_CERTIFICATE_NOT_FOUND */
  revoke(serial: string, by: string): Promise<void> {
    return this.certificates.revoke(serial, by);
  }

  /** Tries to open the issuing key, so that a lost one is noticed before somebody needs a certificate. */
  async probe(): Promise<void> {
    const record = this.state.authority?.record;
    if (!record) return;
    try {
      await this.keys.issuer(record);
      this.problem = undefined;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      if (this.problem?.code !== error.code) this.#host.log.error({ code: error.code }, messageOf(error));
      this.problem = error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.hub[Symbol.asyncDispose]();
  }
}

function isRevocation(event: StoreEvent): boolean {
  return event.type === "put" && event.entry.key.startsWith(REVOKED_PREFIX);
}
