/**
 * Verifies certificates of peers: their issuer, their time, their name, and that they were not revoked. A peer that was verified is
 * remembered until its certificate ends, or until something changes that could make it invalid.
 */
import { hash, X509Certificate as NodeCertificate } from "node:crypto";
import { messageOf, type Host } from "#base";
import { IdentityErrors } from "./api.ts";
import { urisOf, type VerifiedPeer } from "./core/peer.ts";
import { parseSpiffeId } from "./core/spiffe-id.ts";
import type { IdentityState } from "./state.ts";

/** Peers remembered: every process of a large fleet, in a few MiB. */
const PEERS_MAX = 20_000;

interface Issuer {
  readonly certificate: NodeCertificate;
  readonly expiresAtMs: number;
}

export interface VerifyOptions {
  /** Milliseconds after its end for which a certificate still counts. */
  readonly graceMs?: number;
}

export class PeerVerifier {
  readonly #host: Host;
  readonly #state: IdentityState;
  readonly #known = new Map<string, VerifiedPeer & { readonly notBeforeMs: number }>();
  #issuers: readonly Issuer[] = [];
  #issuersOf: unknown;

  constructor(host: Host, state: IdentityState) {
    this.#host = host;
    this.#state = state;
  }

  /** Something changed that decides whether certificates are valid. */
  forget(): void {
    this.#known.clear();
  }

  /** @throws the IDENTITY_CERTIFICATE_ error that names the reason */
  verify(der: Buffer, { graceMs = 0 }: VerifyOptions = {}): VerifiedPeer {
    const id = hash("sha256", der, "base64");
    let peer = this.#known.get(id);
    if (!peer) {
      peer = this.#check(der);
      if (this.#known.size >= PEERS_MAX) this.#known.clear();
      this.#known.set(id, peer);
    }
    const nowMs = this.#host.clock.now();
    if (nowMs < peer.notBeforeMs) {
      throw IdentityErrors.CERTIFICATE_NOT_YET_VALID(
        `The certificate of ${peer.spiffeId} is not valid before ${isoTime(peer.notBeforeMs)}, and it is ${isoTime(nowMs)} here. Check the clocks of both machines.`,
      );
    }
    if (nowMs >= peer.expiresAtMs + graceMs) {
      throw IdentityErrors.CERTIFICATE_EXPIRED(
        `The certificate of ${peer.spiffeId} expired at ${isoTime(peer.expiresAtMs)}, and it is ${isoTime(nowMs)} here. Renew it, or check the clocks.`,
      );
    }
    return peer;
  }

  /** Everything but the time. */
  #check(der: Buffer): VerifiedPeer & { readonly notBeforeMs: number } {
    const certificate = readCertificate(der);
    const issuer = this.#issuersNow().find(
      ({ certificate: one }) => certificate.checkIssued(one) && certificate.verify(one.publicKey),
    );
    if (!issuer || certificate.ca) {
      throw IdentityErrors.CERTIFICATE_UNKNOWN_ISSUER(
        `The certificate was not issued by the authority of this control plane, but by "${oneLine(certificate.issuer)}". Join again, or request a certificate here.`,
      );
    }
    const [spiffeId = "", ...more] = urisOf(certificate.subjectAltName);
    const parsed = more.length === 0 ? parseSpiffeId(spiffeId) : undefined;
    const { trustDomain } = this.#state.authority?.record ?? {};
    if (!parsed || parsed.trustDomain !== trustDomain) {
      throw IdentityErrors.CERTIFICATE_WRONG_NAME(
        `The certificate has the name "${spiffeId}", which is not one of the trust domain "${trustDomain}".`,
      );
    }
    const serial = certificate.serialNumber.toLowerCase();
    const { workload } = parsed;
    this.#requireNotRevoked(serial, spiffeId, workload);
    const expiresAtMs = Math.min(certificate.validToDate.getTime(), issuer.expiresAtMs);
    return { spiffeId, workload, serial, expiresAtMs, notBeforeMs: certificate.validFromDate.getTime() };
  }

  #requireNotRevoked(serial: string, spiffeId: string, workload: VerifiedPeer["workload"]): void {
    const revoked = this.#state.revoked.get(serial);
    if (revoked) {
      throw IdentityErrors.CERTIFICATE_REVOKED(
        `The certificate ${serial} of ${spiffeId} was revoked by "${revoked.revokedBy}" at ${isoTime(revoked.revokedAtMs)}.`,
      );
    }
    if (workload.kind !== "agent" && workload.kind !== "gateway") return;
    if (this.#state.node(workload.kind, workload.name)) return;
    throw IdentityErrors.CERTIFICATE_REVOKED(
      `The ${workload.kind} "${workload.name}" was removed, so its certificates are revoked. Let it join again.`,
    );
  }

  /** The intermediates of the record, each of a root that is trusted. */
  #issuersNow(): readonly Issuer[] {
    const { authority } = this.#state;
    if (this.#issuersOf === authority) return this.#issuers;
    this.#issuersOf = authority;
    this.#issuers = (authority?.record.intermediates ?? []).flatMap(({ certificate, root }) => {
      const issuer = authority?.record.roots.find(({ id }) => id === root);
      return issuer ? [{ certificate: new NodeCertificate(certificate), expiresAtMs: issuer.expiresAtMs }] : [];
    });
    return this.#issuers;
  }
}

/** @throws IDENTITY_CERTIFICATE_UNREADABLE */
export function readCertificate(text: Buffer | string): NodeCertificate {
  try {
    return new NodeCertificate(text);
  } catch (error) {
    throw IdentityErrors.CERTIFICATE_UNREADABLE(`The certificate cannot be read: ${messageOf(error)}.`);
  }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

function oneLine(name: string): string {
  return name.replaceAll("\n", ", ");
}
