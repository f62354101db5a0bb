/** The state of identity at a member: the authority, nodes, join tokens, issued and revoked certificates, as the store has them. */
import { X509Certificate as NodeCertificate } from "node:crypto";
import { decodeJson } from "#base";
import type { StoreEntry } from "#store";
import type { JoinTokenRequest, NodeKind } from "./api.ts";
import type { AuthorityRecord } from "./core/authority-record.ts";

export const IDENTITY_PREFIX = "/identity/";
export const AUTHORITY_KEY = `${IDENTITY_PREFIX}authority`;
export const CERTIFICATES_PREFIX = `${IDENTITY_PREFIX}certificates/`;
export const REVOKED_PREFIX = `${IDENTITY_PREFIX}revoked/`;
export const JOIN_TOKENS_PREFIX = `${IDENTITY_PREFIX}join-tokens/`;
const NODES_PREFIX = `${IDENTITY_PREFIX}nodes/`;

/** A certificate that was issued. Its key is never here. */
export interface CertificateRecord {
  readonly spiffeId: string;
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  readonly by: string;
}

export interface RevokedRecord extends CertificateRecord {
  readonly revokedAtMs: number;
  readonly revokedBy: string;
}

type Bindings = Omit<JoinTokenRequest, "kind" | "name" | "ttlSeconds">;

export interface JoinTokenRecord extends Bindings {
  readonly kind: NodeKind;
  readonly name?: string;
  readonly sha256: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly by: string;
  readonly used?: { readonly atMs: number; readonly name: string };
}

export interface NodeRecord extends Bindings {
  readonly kind: NodeKind;
  readonly name: string;
  readonly joinedAtMs: number;
  /** Id of the join token, and its author. */
  readonly joinedWith: string;
  readonly by: string;
}

/** The bundle of one record of the authority. */
export interface KnownAuthority {
  readonly record: AuthorityRecord;
  readonly revision: number;
  readonly bundle: string;
  readonly fingerprints: readonly string[];
}

export const nodeKey = (kind: NodeKind, name: string): string => `${NODES_PREFIX}${kind}/${name}`;

export class IdentityState {
  authority: KnownAuthority | undefined;
  /** By serial number. */
  readonly certificates = new Map<string, CertificateRecord>();
  readonly revoked = new Map<string, RevokedRecord>();
  /** Revision of the store at the latest revocation. */
  revokedAtRevision = 0;
  /** By id. */
  readonly joinTokens = new Map<string, JoinTokenRecord>();
  /** By `KIND/NAME`. */
  readonly nodes = new Map<string, NodeRecord>();
  readonly #onChange: () => void;

  /** `onChange`: a certificate may no longer be valid. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  clear(): void {
    this.authority = undefined;
    this.revokedAtRevision = 0;
    for (const map of [this.certificates, this.revoked, this.joinTokens, this.nodes]) map.clear();
  }

  put({ key, value, modRevision }: StoreEntry): void {
    if (key === AUTHORITY_KEY) return this.adopt(decodeJson(value), modRevision);
    const found = this.#mapOf(key);
    if (!found) return;
    found.map.set(found.id, decodeJson(value));
    if (found.map === this.revoked) this.revokedAtRevision = Math.max(this.revokedAtRevision, modRevision);
    if (found.map !== this.certificates) this.#onChange();
  }

  delete(key: string): void {
    if (key === AUTHORITY_KEY) this.authority = undefined;
    const found = this.#mapOf(key);
    found?.map.delete(found.id);
    if (found?.map !== this.certificates) this.#onChange();
  }

  /** A record that was read or written, unless a later one is known. */
  adopt(record: AuthorityRecord, revision: number): void {
    if (this.authority && this.authority.revision >= revision) return;
    const roots = record.roots.map(({ certificate }) => new NodeCertificate(certificate).toString());
    this.authority = { record, revision, bundle: roots.join(""), fingerprints: record.roots.map(({ id }) => id) };
    this.#onChange();
  }

  node(kind: NodeKind, name: string): NodeRecord | undefined {
    return this.nodes.get(`${kind}/${name}`);
  }

  #mapOf(key: string): { readonly map: Map<string, unknown>; readonly id: string } | undefined {
    const tables: readonly (readonly [string, Map<string, unknown>])[] = [
      [CERTIFICATES_PREFIX, this.certificates],
      [REVOKED_PREFIX, this.revoked],
      [JOIN_TOKENS_PREFIX, this.joinTokens],
      [NODES_PREFIX, this.nodes],
    ];
    const found = tables.find(([prefix]) => key.startsWith(prefix));
    return found && { map: found[1], id: key.slice(found[0].length) };
  }
}
