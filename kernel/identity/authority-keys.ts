/**
 * The keys of the authority: sealed at rest, opened in memory when something is signed. The context of a seal is the certificate, so a
 * sealed key cannot be put in the place of another.
 */
import { createPublicKey, type KeyObject, X509Certificate as NodeCertificate } from "node:crypto";
import { AppError, messageOf, type Host } from "#base";
import { IdentityErrors } from "./api.ts";
import {
  type AuthorityRecord,
  issuingIntermediate,
  issuingRoot,
  type NewIssuer,
  type StoredIntermediate,
  type StoredRoot,
} from "./core/authority-record.ts";
import type { Sealer } from "./sealer.ts";
import {
  type AuthorityPair,
  keyBytes,
  keyFromBytes,
  makeIntermediate,
  makeRoot,
  subjectKeyIdentifier,
  subjectName,
} from "./x509/authority-certificates.ts";
import type { ImportedAuthority } from "./x509/imported-authority.ts";
import type { LeafIssuer } from "./x509/leaf.ts";
import { fingerprintOf } from "./x509/library.ts";

/** The intermediate that issues, ready to sign. */
export interface OpenIssuer extends LeafIssuer {
  readonly id: string;
  readonly expiresAtMs: number;
  /** The intermediate and what is between it and the root, in PEM. */
  readonly chain: string;
}

const contextOf = (id: string) => `identity authority ${id}`;

export class AuthorityKeys {
  readonly #host: Host;
  readonly #sealer: Sealer;
  /** The last one that was opened. */
  #issuer: OpenIssuer | undefined;

  constructor(host: Host, sealer: Sealer) {
    this.#host = host;
    this.#sealer = sealer;
  }

  /** @throws IDENTITY_KEYS_LOST, IDENTITY_AUTHORITY_EXPIRED */
  async issuer(record: AuthorityRecord): Promise<OpenIssuer> {
    const found = issuingIntermediate(record);
    if (!found) throw new Error("the record of the authority lacks the intermediate that issues");
    if (this.#host.clock.now() >= found.expiresAtMs) {
      throw IdentityErrors.AUTHORITY_EXPIRED(
        `The issuing certificate ended at ${new Date(found.expiresAtMs).toISOString()}. Import a new one with \`posthouse authority import\`, or create a root with \`posthouse authority rotate --part root\`.`,
      );
    }
    if (this.#issuer?.id === found.id) return this.#issuer;
    const certificate = new NodeCertificate(found.certificate);
    this.#issuer = {
      id: found.id,
      key: await this.#open(found.sealed, found.id, certificate),
      name: subjectName(certificate),
      keyIdentifier: subjectKeyIdentifier(certificate),
      expiresAtMs: found.expiresAtMs,
      chain: found.certificate + found.chain,
    };
    return this.#issuer;
  }

  /** Forgets opened keys, so that the next use shows whether they can still be opened. */
  close(): void {
    this.#issuer = undefined;
  }

  /** A new root with an intermediate. @throws IDENTITY_NO_KEYS */
  async newRoot(trustDomain: string): Promise<Required<NewIssuer>> {
    const nowMs = this.#host.clock.now();
    const root = await makeRoot(this.#host.random, trustDomain, nowMs);
    const intermediate = await makeIntermediate(this.#host.random, root, { trustDomain, nowMs });
    return {
      root: await this.#storedRoot(root, false),
      intermediate: await this.#stored(intermediate, root.certificate),
    };
  }

  /** A new intermediate of the root that issues. @throws IDENTITY_ROTATION_NOT_POSSIBLE, IDENTITY_KEYS_LOST */
  async newIntermediate(record: AuthorityRecord): Promise<NewIssuer> {
    const root = issuingRoot(record);
    if (root?.sealed === undefined) {
      throw IdentityErrors.ROTATION_NOT_POSSIBLE(
        "The key of the root is not here, because only an intermediate was imported. " +
          "Import another intermediate, or rotate the root to replace the imported authority.",
      );
    }
    const pair = await this.#openRoot(root, root.sealed);
    const nowMs = this.#host.clock.now();
    const { trustDomain } = record;
    const intermediate = await makeIntermediate(this.#host.random, pair, { trustDomain, nowMs });
    return { intermediate: await this.#stored(intermediate, pair.certificate) };
  }

  /** An outside root gets an intermediate of ours; an outside intermediate issues itself. @throws IDENTITY_NO_KEYS */
  async imported({ key, chain }: ImportedAuthority, trustDomain: string): Promise<Required<NewIssuer>> {
    const [first] = chain;
    const last = chain.at(-1) ?? first;
    if (chain.length === 1) {
      const root = { certificate: first, key };
      const nowMs = this.#host.clock.now();
      const intermediate = await makeIntermediate(this.#host.random, root, { trustDomain, nowMs });
      return { root: await this.#storedRoot(root, true), intermediate: await this.#stored(intermediate, first) };
    }
    const between = chain.slice(1, -1).map((one) => one.toString());
    const intermediate = await this.#stored({ certificate: first, key }, last);
    return {
      root: {
        id: fingerprintOf(last),
        certificate: last.toString(),
        expiresAtMs: last.validToDate.getTime(),
        imported: true,
      },
      intermediate: { ...intermediate, chain: between.join(""), imported: true },
    };
  }

  /** The keys that are under another key than the one that seals now, sealed again, by certificate. Those that are lost are left out. */
  async resealed({ roots, intermediates }: AuthorityRecord): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const { id, certificate, sealed } of [...roots, ...intermediates]) {
      if (sealed === undefined || this.#sealer.isCurrent(sealed)) continue;
      try {
        found.set(id, await this.#seal(await this.#open(sealed, id, new NodeCertificate(certificate)), id));
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
      }
    }
    return found;
  }

  async #openRoot({ id, certificate }: StoredRoot, sealed: string): Promise<AuthorityPair> {
    const read = new NodeCertificate(certificate);
    return { certificate: read, key: await this.#open(sealed, id, read) };
  }

  async #storedRoot({ certificate, key }: AuthorityPair, imported: boolean): Promise<StoredRoot> {
    const id = fingerprintOf(certificate);
    const sealed = await this.#seal(key, id);
    return {
      id,
      certificate: certificate.toString(),
      expiresAtMs: certificate.validToDate.getTime(),
      sealed,
      imported,
    };
  }

  async #stored({ certificate, key }: AuthorityPair, root: NodeCertificate): Promise<StoredIntermediate> {
    const id = fingerprintOf(certificate);
    return {
      id,
      root: fingerprintOf(root),
      certificate: certificate.toString(),
      chain: "",
      expiresAtMs: Math.min(certificate.validToDate.getTime(), root.validToDate.getTime()),
      sealed: await this.#seal(key, id),
      imported: false,
    };
  }

  async #seal(key: KeyObject, id: string): Promise<string> {
    const bytes = keyBytes(key);
    try {
      return await this.#sealer.seal(bytes, contextOf(id));
    } catch (cause) {
      if (!(cause instanceof AppError)) throw cause;
      throw IdentityErrors.NO_KEYS(`The key of the certificate authority cannot be sealed. ${messageOf(cause)}`, {
        cause,
      });
    } finally {
      bytes.fill(0);
    }
  }

  async #open(sealed: string, id: string, certificate: NodeCertificate): Promise<KeyObject> {
    const lost = (why: string, cause?: unknown) =>
      IdentityErrors.KEYS_LOST(
        `The key of the certificate authority cannot be opened: ${why} Restore the keys for secrets from their backup (settings secretKeyFile, secretKeyCommand). ` +
          "Issued certificates stay valid until they end. If the keys are gone for good, start a new root with `posthouse authority rotate --part root`.",
        { cause },
      );
    let bytes;
    try {
      bytes = await this.#sealer.open(sealed, contextOf(id));
    } catch (cause) {
      if (!(cause instanceof AppError)) throw cause;
      throw lost(messageOf(cause), cause);
    }
    const key = keyFromBytes(bytes);
    bytes.fill(0);
    if (!createPublicKey(key).equals(certificate.publicKey)) throw lost("it does not belong to its certificate.");
    return key;
  }
}
