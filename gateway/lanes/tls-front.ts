/**
 * What a port shows of itself in a handshake, and asks of the other end. The certificate is that of the listener whose
 * host the client asks for. A client without a trusted certificate, where one is asked for, is cut before its first byte
 * of HTTP is read: without any by OpenSSL, with a bad one by Node, and once more here.
 */
import { constants, createHash, X509Certificate } from "node:crypto";
import {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type TlsOptions,
  type TLSSocket,
} from "node:tls";
import type { ClientCertificates } from "../api.ts";
import { clientCertificate } from "../core/callers/certificates.ts";
import type { TlsPeer } from "../core/request/head.ts";
import { HostTable } from "../core/request/listener-ports.ts";
import type { TlsIdentity } from "../settings.ts";

/** A client of TLS 1.2 may not begin another handshake on a connection, of whichever protocol. @see RFC 9113 §9.2.1 */
const NO_RENEGOTIATION = constants.SSL_OP_NO_RENEGOTIATION;

export interface TlsPlan {
  /** Whoever asks for no host of theirs is shown the first of whoever is for any, else of the first. */
  readonly listeners: readonly {
    /** undefined: any. */
    readonly hosts: readonly string[] | undefined;
    /** One at least. */
    readonly identities: readonly TlsIdentity[];
  }[];
  /** Its files read. */
  readonly clients: ClientCertificates | undefined;
}

export type ClientMode = NonNullable<ClientCertificates["mode"]>;

/** What a port with these demands asks; undefined: for no certificates. */
export function modeOf(clients: ClientCertificates | undefined): ClientMode | undefined {
  return clients && (clients.mode ?? "require");
}

interface Shown {
  readonly leaf: X509Certificate;
  readonly context: SecureContext;
}

/** Authenticated encryption with forward secrecy only; in TLS 1.2 that leaves no CBC suite. */
const CIPHERS = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_AES_128_GCM_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

export class TlsFront {
  readonly mode: ClientMode | undefined;
  readonly #clients: ClientCertificates | undefined;
  readonly #first: TlsIdentity;
  /** undefined: there is one certificate for all. */
  readonly #byHost: HostTable<readonly Shown[]> | undefined;

  /** @throws OpenSSL's own error, of a certificate or key that is none */
  constructor({ listeners, clients }: TlsPlan) {
    this.mode = modeOf(clients);
    this.#clients = clients;
    const [first] = (listeners.find(({ hosts }) => !hosts) ?? listeners[0])?.identities ?? [];
    if (!first) throw new Error("there is no certificate to show");
    this.#first = first;
    if (listeners.length === 1 && listeners[0]?.identities.length === 1) return;
    this.#byHost = new HostTable(
      listeners.map(({ hosts, identities }) => [hosts, identities.map((one) => this.#shown(one))] as const),
    );
  }

  #shown(identity: TlsIdentity): Shown {
    return { leaf: new X509Certificate(identity.cert), context: createSecureContext(this.#contextOf(identity)) };
  }

  /** CAs of clients, in PEM; undefined: they are not asked. */
  get trusts(): string | undefined {
    return this.#clients?.ca;
  }

  /** Of a server; what is asked of clients stays for as long as it listens. */
  get serverOptions(): TlsOptions {
    return {
      ...this.contextOptions,
      requestCert: this.mode !== undefined,
      rejectUnauthorized: this.mode === "require",
    };
  }

  /** What of it may change under a server that listens: what is shown without a name. */
  get contextOptions(): SecureContextOptions {
    return this.#contextOf(this.#first);
  }

  #contextOf({ key, cert }: TlsIdentity): SecureContextOptions {
    if (!this.#clients) return { key, cert, minVersion: "TLSv1.2", ciphers: CIPHERS, secureOptions: NO_RENEGOTIATION };
    const { ca } = this.#clients;
    // Without one Node would trust every public CA.
    if (!ca) throw new Error("the CA of the clients' certificates is missing");
    return {
      key,
      cert,
      ca,
      minVersion: "TLSv1.2",
      ciphers: CIPHERS,
      // A session that is resumed is not verified again: neither by another CA nor after its own is no longer trusted.
      secureOptions: NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET,
      sessionIdContext: createHash("sha256").update(ca).digest("hex").slice(0, 32),
    };
  }

  /** What is shown to who asks for a name; undefined: the server's own. */
  contextFor(serverName: string): SecureContext | undefined {
    if (!this.#byHost) return undefined;
    const name = normal(serverName);
    const shown = this.#byHost.of(name);
    return (shown?.find(({ leaf }) => leaf.checkHost(name) !== undefined) ?? shown?.[0])?.context;
  }

  /** Who is at the other end; undefined: somebody who must not be let in. */
  admit(socket: TLSSocket): TlsPeer | undefined {
    const certificate = this.mode === undefined ? undefined : socket.getPeerX509Certificate();
    if (certificate ? !socket.authorized : this.mode === "require") return undefined;
    return {
      serverName: typeof socket.servername === "string" ? normal(socket.servername) : undefined,
      trusts: this.trusts,
      certificate: certificate && clientCertificate(certificate),
    };
  }
}

/** As hosts of requests are compared. */
function normal(serverName: string): string {
  return serverName.toLowerCase().replace(/\.$/, "");
}
