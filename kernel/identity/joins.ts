/**
 * Join tokens, and the nodes that join with them. A token is used once: the transaction that makes the node also marks the token, and
 * compares that no other join has. A used or expired token is kept for a while, so that its next user learns why it is rejected.
 */
import { hash, timingSafeEqual, type X509Certificate as NodeCertificate } from "node:crypto";
import { decodeJson, encodeJson, type Host, randomId } from "#base";
import { commit, SharedLease, type StoreEntry } from "#store";
import {
  IdentityErrors,
  type IssuedJoinToken,
  JOIN_TOKEN_SECONDS,
  JOIN_TOKEN_SECONDS_MAX,
  type JoinRequest,
  type JoinTokenRequest,
  type JoinTokenSummary,
  type NodeKind,
  type NodeView,
  type RenewalRequest,
} from "./api.ts";
import type { CertificateAuthority, Issued } from "./authority.ts";
import type { NodeHolder } from "./certificates.ts";
import { RENEWAL_GRACE_MS } from "./core/authority-record.ts";
import { formatSpiffeId } from "./core/spiffe-id.ts";
import { readCertificate } from "./peers.ts";
import { type CertificateRecord, JOIN_TOKENS_PREFIX, type JoinTokenRecord, nodeKey, type NodeRecord } from "./state.ts";
import { type CheckedCsr, readCsr } from "./x509/csr.ts";

const ID_BYTES = 8;
const SECRET_BYTES = 32;
/** Seconds that a token is kept after the longest life of one: over a weekend, in which a failed join may go unnoticed. */
const KEPT_SECONDS = JOIN_TOKEN_SECONDS_MAX + 3 * 86_400;
const FORM = /^phj_([0-9a-f]{16})_([0-9a-f]{64})_([0-9a-f]{64})$/;
/** Names of the host itself, which every node may have in its certificate: they tell nothing about another host. */
export const OWN_HOST = { dns: ["localhost"], ips: ["127.0.0.1", "::1"] } as const;

/** The result of a join token, or of a renewal: which node it is, and its request. */
interface Admitted {
  readonly node: NodeRecord;
  readonly csr: CheckedCsr;
}

export class Joins {
  readonly #host: Host;
  readonly #authority: CertificateAuthority;
  readonly #lease: SharedLease;

  constructor(host: Host, authority: CertificateAuthority) {
    this.#host = host;
    this.#authority = authority;
    this.#lease = new SharedLease(host, authority.store, KEPT_SECONDS);
  }

  /** @throws IDENTITY_NO_KEYS */
  async createToken(
    { ttlSeconds = JOIN_TOKEN_SECONDS, ...bound }: JoinTokenRequest,
    by: string,
  ): Promise<IssuedJoinToken> {
    await this.#authority.ensure();
    const id = randomId(this.#host.random, ID_BYTES);
    const secret = randomId(this.#host.random, SECRET_BYTES);
    const createdAtMs = this.#host.clock.now();
    const expiresAtMs = createdAtMs + ttlSeconds * 1000;
    const record: JoinTokenRecord = { ...bound, sha256: sha256(secret), createdAtMs, expiresAtMs, by };
    await this.#lease.use((lease) =>
      this.#authority.store.txn({
        then: [{ type: "put", key: `${JOIN_TOKENS_PREFIX}${id}`, value: encodeJson(record), lease }],
      }),
    );
    this.#host.log.info({ joinTokenId: id, kind: bound.kind, name: bound.name, by }, "join token created");
    return { ...tokenSummary(id, record), token: `phj_${id}_${secret}_${this.#authority.fingerprint}` };
  }

  listTokens(): JoinTokenSummary[] {
    const all = [...this.#authority.state.joinTokens].sort(([, a], [, b]) => b.createdAtMs - a.createdAtMs);
    return all.map(([id, record]) => tokenSummary(id, record));
  }

  /** @throws IDENTITY_JOIN_TOKEN_NOT_FOUND */
  async revokeToken(id: string, by: string): Promise<void> {
    const { store } = this.#authority;
    const { results } = await store.txn({ then: [{ type: "delete", key: `${JOIN_TOKENS_PREFIX}${id}` }] });
    if (results[0]?.type === "delete" && results[0].deleted === 0) {
      throw IdentityErrors.JOIN_TOKEN_NOT_FOUND(`Join token "${id}" not found.`);
    }
    this.#host.log.info({ joinTokenId: id, by }, "join token revoked");
  }

  /** Uses a token, and issues the first certificate of the node. @throws the IDENTITY_JOIN_ and IDENTITY_NODE_ errors */
  async join({ token, csr: pem, name, defaultName }: JoinRequest): Promise<Issued & { readonly node: NodeRecord }> {
    const [, id = "", secret = ""] = FORM.exec(token) ?? [];
    const key = `${JOIN_TOKENS_PREFIX}${id}`;
    const { entries } = await this.#authority.store.range({ key });
    const stored = usable(entries[0], secret, this.#host.clock.now());
    // Only now, because reading a request costs more than rejecting a token. A bad request, or an authority that cannot issue, must not
    // use up the token.
    const csr = await readCsr(pem);
    await this.#authority.requireIssuing();
    const given = name ?? (stored.name === undefined ? defaultName : undefined);
    const node = await this.#redeem(id, secret, { stored, name: given });
    const holder = this.#holderOf(node);
    const { spiffeId } = holder;
    if (csr.spiffeId !== undefined && csr.spiffeId !== spiffeId) {
      throw IdentityErrors.NAME_NOT_ALLOWED(`The request names ${csr.spiffeId}, but the node is ${spiffeId}.`);
    }
    // Of a node that had the name before.
    await this.#authority.certificates.revokeAll(holder, node.by);
    const issued = await this.#issue({ node, csr });
    this.#host.log.info({ spiffeId, joinTokenId: id, by: node.by }, "node joined");
    return { ...issued, node };
  }

  async #redeem(
    id: string,
    secret: string,
    { stored, name: given }: { readonly stored: JoinTokenRecord; readonly name: string | undefined },
  ): Promise<NodeRecord> {
    const { store } = this.#authority;
    const key = `${JOIN_TOKENS_PREFIX}${id}`;
    const name = stored.name ?? given;
    const nodeAt = name === undefined ? [] : [{ key: nodeKey(stored.kind, name) }];
    const { result } = await this.#lease.use((lease) =>
      commit(store, [{ key }, ...nodeAt], (known) => {
        const record = usable(known.get(key), secret, this.#host.clock.now());
        const node = this.#nodeOf(id, record, given);
        if (record.name === undefined && known.has(nodeKey(node.kind, node.name))) {
          throw IdentityErrors.NODE_NAME_TAKEN(
            `Another ${node.kind} has the name "${node.name}". Choose another name, remove that node, or create a join token for this very name.`,
          );
        }
        const used = { atMs: node.joinedAtMs, name: node.name };
        return {
          writes: [
            { type: "put", key, value: encodeJson({ ...record, used }), lease },
            { type: "put", key: nodeKey(node.kind, node.name), value: encodeJson(node) },
          ],
          result: node,
        };
      }),
    );
    return result;
  }

  #nodeOf(id: string, record: JoinTokenRecord, given: string | undefined): NodeRecord {
    const { kind, name = given, by, namespaces, apps, services, dns, ips } = record;
    if (name === undefined) {
      throw IdentityErrors.JOIN_NAME_NEEDED("The join token names no node. Send a name.", {
        extra: { field: "/name" },
      });
    }
    if (given !== undefined && given !== name) {
      throw IdentityErrors.NODE_NAME_NOT_ALLOWED(
        `The join token is for the ${kind} "${name}", and not for "${given}".`,
      );
    }
    return {
      kind,
      name,
      by,
      joinedWith: id,
      joinedAtMs: this.#host.clock.now(),
      ...(namespaces ? { namespaces } : {}),
      ...(apps ? { apps } : {}),
      ...(services ? { services } : {}),
      ...(dns ? { dns } : {}),
      ...(ips ? { ips } : {}),
    };
  }

  /**
   * Exchanges a node's last certificate for a new one, also when it ended a while ago: the request is signed by the key of that
   * certificate, so no other caller can use the answer.
   * @throws the IDENTITY_CERTIFICATE_ error that names the reason, IDENTITY_CSR_INVALID, IDENTITY_NAME_NOT_ALLOWED
   */
  async renew({ certificate: pem, csr: csrPem }: RenewalRequest): Promise<Issued & { readonly node: NodeRecord }> {
    const certificate: NodeCertificate = readCertificate(pem);
    const peer = this.#authority.verifyPeer(certificate.raw, { graceMs: RENEWAL_GRACE_MS });
    const node = this.#authority.nodeOf(peer.workload);
    if (!node) {
      throw IdentityErrors.NAME_NOT_ALLOWED(
        `${peer.spiffeId} is not a node. Request its certificate with POST /v1/certificates.`,
      );
    }
    const csr = await readCsr(csrPem);
    if (!csr.publicKey.equals(certificate.publicKey)) {
      throw IdentityErrors.CSR_INVALID("The request is not signed by the key of the certificate.", {
        extra: { field: "/csr" },
      });
    }
    return { ...(await this.#issue({ node, csr })), node };
  }

  #issue({ node, csr }: Admitted): Promise<Issued> {
    const { kind, name, dns = [], ips = [] } = node;
    return this.#authority.issue({
      csr,
      workload: { kind, name },
      dns: [...new Set([...OWN_HOST.dns, ...dns])],
      ips: [...new Set([...OWN_HOST.ips, ...ips])],
      by: this.#holderOf(node).principal,
    });
  }

  nodes(): NodeView[] {
    const nodes = [...this.#authority.state.nodes.values()].sort((a, b) =>
      a.kind + a.name < b.kind + b.name ? -1 : 1,
    );
    const issued = this.#authority.certificates.bySpiffeId();
    return nodes.map((node) => this.#view(node, issued));
  }

  /** Removes a node. Its certificates are rejected from then on. @throws IDENTITY_NODE_NOT_FOUND */
  async removeNode(kind: NodeKind, name: string, by: string): Promise<void> {
    const { results } = await this.#authority.store.txn({ then: [{ type: "delete", key: nodeKey(kind, name) }] });
    if (results[0]?.type === "delete" && results[0].deleted === 0) {
      throw IdentityErrors.NODE_NOT_FOUND(
        `The ${kind} "${name}" was not found. List nodes with \`posthouse node ls\`.`,
      );
    }
    // Without the node they are rejected already. Revoked ones stay so when a node of the same name joins.
    await this.#authority.certificates.revokeAll(this.#holderOf({ kind, name }), by);
    this.#host.log.info({ kind, name, by }, "node removed");
  }

  #holderOf({ kind, name }: Pick<NodeRecord, "kind" | "name">): NodeHolder {
    const { trustDomain } = this.#authority;
    return { spiffeId: formatSpiffeId({ trustDomain, workload: { kind, name } }), principal: `${kind}:${name}` };
  }

  #view(node: NodeRecord, issued: ReadonlyMap<string, readonly CertificateRecord[]>): NodeView {
    const { joinedAtMs, ...rest } = node;
    const { spiffeId } = this.#holderOf(node);
    const certificates = issued.get(spiffeId) ?? [];
    const endMs = Math.max(0, ...certificates.map(({ expiresAtMs }) => expiresAtMs));
    return {
      ...copied(rest),
      spiffeId,
      joinedAt: new Date(joinedAtMs).toISOString(),
      certificates: certificates.filter(({ expiresAtMs }) => expiresAtMs > this.#host.clock.now()).length,
      ...(endMs === 0 ? {} : { expiresAt: new Date(endMs).toISOString() }),
    };
  }
}

const sha256 = (text: string) => hash("sha256", text, "hex");

/** The token's record, if it can be used. @throws IDENTITY_JOIN_TOKEN_INVALID, _USED, _EXPIRED */
function usable(entry: StoreEntry | undefined, secret: string, nowMs: number): JoinTokenRecord {
  const record = entry && decodeJson<JoinTokenRecord>(entry.value);
  if (!record || !timingSafeEqual(Buffer.from(record.sha256, "hex"), hash("sha256", secret, "buffer"))) {
    throw IdentityErrors.JOIN_TOKEN_INVALID(
      "The join token is mistyped, was revoked, or belongs to another installation. Create one with `posthouse join-token create`.",
    );
  }
  if (record.used) {
    throw IdentityErrors.JOIN_TOKEN_USED(
      `The join token was used by "${record.used.name}" at ${new Date(record.used.atMs).toISOString()}. Each is for one join: create another one.`,
    );
  }
  if (nowMs >= record.expiresAtMs) {
    throw IdentityErrors.JOIN_TOKEN_EXPIRED(
      `The join token expired at ${new Date(record.expiresAtMs).toISOString()}. Create another one.`,
    );
  }
  return record;
}

function tokenSummary(
  id: string,
  { sha256: _secret, createdAtMs, expiresAtMs, used, ...rest }: JoinTokenRecord,
): JoinTokenSummary {
  return {
    id,
    ...copied(rest),
    createdAt: new Date(createdAtMs).toISOString(),
    expiresAt: new Date(expiresAtMs).toISOString(),
    ...(used ? { used: { at: new Date(used.atMs).toISOString(), name: used.name } } : {}),
  };
}

/** Mutable lists, as the shapes of answers have. */
function copied<T extends object>(given: T): T {
  return structuredClone(given);
}
