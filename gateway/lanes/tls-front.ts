/**
 * What a port shows of itself in a handshake, and asks of the other end. A client without a trusted certificate is cut
 * before its first byte of HTTP is read: without any by OpenSSL, with a bad one by Node, and once more here.
 */
import { constants, createHash } from "node:crypto";
import type { SecureContextOptions, TlsOptions, TLSSocket } from "node:tls";
import type { ClientCertificates } from "../api.ts";
import { clientCertificate } from "../core/certificates.ts";
import type { TlsPeer } from "../core/head.ts";
import type { TlsIdentity } from "../settings.ts";

export interface TlsPlan {
  readonly identity: TlsIdentity;
  /** Its files read. */
  readonly clients: ClientCertificates | undefined;
}

export type ClientMode = NonNullable<ClientCertificates["mode"]>;

/** What a port with these demands asks; undefined: for no certificates. */
export function modeOf(clients: ClientCertificates | undefined): ClientMode | undefined {
  return clients && (clients.mode ?? "require");
}

export class TlsFront {
  readonly mode: ClientMode | undefined;
  readonly #plan: TlsPlan;

  constructor(plan: TlsPlan) {
    this.#plan = plan;
    this.mode = modeOf(plan.clients);
  }

  /** Of a server; what is asked of clients stays for as long as it listens. */
  get serverOptions(): TlsOptions {
    return {
      ...this.contextOptions,
      requestCert: this.mode !== undefined,
      rejectUnauthorized: this.mode === "require",
    };
  }

  /** What of it may change under a server that listens. */
  get contextOptions(): SecureContextOptions {
    const { identity, clients } = this.#plan;
    const { key, cert } = identity;
    if (!clients) return { key, cert, minVersion: "TLSv1.2" };
    const { ca } = clients;
    // Without one Node would trust every public CA.
    if (!ca) throw new Error("the CA of the clients' certificates is missing");
    return {
      key,
      cert,
      ca,
      minVersion: "TLSv1.2",
      // A session that is resumed is not verified again: neither by another CA nor after its own is no longer trusted.
      secureOptions: constants.SSL_OP_NO_TICKET,
      sessionIdContext: createHash("sha256").update(ca).digest("hex").slice(0, 32),
    };
  }

  /** Who is at the other end; undefined: somebody who must not be let in. */
  admit(socket: TLSSocket): TlsPeer | undefined {
    const certificate = this.mode === undefined ? undefined : socket.getPeerX509Certificate();
    if (certificate ? !socket.authorized : this.mode === "require") return undefined;
    return {
      serverName: typeof socket.servername === "string" ? socket.servername.toLowerCase() : undefined,
      certificate: certificate && clientCertificate(certificate),
    };
  }
}
