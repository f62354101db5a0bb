/**
 * The TLS side of a port: which certificate it presents, and which certificates it asks of clients. The certificate
 * belongs to the listener whose host the client requests. Where client certificates are required, a client without a
 * trusted one is cut before its first byte of HTTP is read: without a certificate by OpenSSL, with an untrusted one by
 * Node, and again here.
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

/** TLS 1.2 clients may not renegotiate, in any protocol. @see RFC 9113 §9.2.1 */
const NO_RENEGOTIATION = constants.SSL_OP_NO_RENEGOTIATION;

export interface TlsPlan {
  /**
   * A client that requests none of their hosts gets the first certificate of a listener for any host, or else of the
   * first listener.
   */
  readonly listeners: readonly {
    /** undefined: any. */
    readonly hosts: readonly string[] | undefined;
    /** One at least. */
    readonly identities: readonly TlsIdentity[];
  }[];
  /** With the content of its files. */
  readonly clients: ClientCertificates | undefined;
}

export type ClientMode = NonNullable<ClientCertificates["mode"]>;

/** The mode of a port with these settings; undefined: it does not ask for certificates. */
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

  /** @throws OpenSSL's own error for a certificate or key that is not valid */
  constructor({ listeners, clients }: TlsPlan) {
    this.mode = modeOf(clients);
    this.#clients = clients;
    const [first] = (listeners.find(({ hosts }) => !hosts) ?? listeners[0])?.identities ?? [];
    if (!first) throw new Error("no listener of the port has a certificate");
    this.#first = first;
    if (listeners.length === 1 && listeners[0]?.identities.length === 1) return;
    this.#byHost = new HostTable(
      listeners.map(({ hosts, identities }) => [hosts, identities.map((one) => this.#shown(one))] as const),
    );
  }

  #shown(identity: TlsIdentity): Shown {
    return { leaf: new X509Certificate(identity.cert), context: createSecureContext(this.#contextOf(identity)) };
  }

  /** The CAs for client certificates, in PEM; undefined: clients are not asked. */
  get trusts(): string | undefined {
    return this.#clients?.ca;
  }

  /** The options of a server. Its mode for client certificates cannot change while it listens. */
  get serverOptions(): TlsOptions {
    return {
      ...this.contextOptions,
      requestCert: this.mode !== undefined,
      rejectUnauthorized: this.mode === "require",
    };
  }

  /** The options that may change while the server listens: the certificate for clients that request no name. */
  get contextOptions(): SecureContextOptions {
    return this.#contextOf(this.#first);
  }

  #contextOf({ key, cert }: TlsIdentity): SecureContextOptions {
    if (!this.#clients) return { key, cert, minVersion: "TLSv1.2", ciphers: CIPHERS, secureOptions: NO_RENEGOTIATION };
    const { ca } = this.#clients;
    // Without a CA Node would trust every public CA.
    if (!ca) throw new Error("clientCertificates has no CA");
    return {
      key,
      cert,
      ca,
      minVersion: "TLSv1.2",
      ciphers: CIPHERS,
      // A resumed session is not verified again, neither by another CA nor after its own CA is no longer trusted.
      secureOptions: NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET,
      sessionIdContext: createHash("sha256").update(ca).digest("hex").slice(0, 32),
    };
  }

  /** The certificate for a requested name; undefined: the server's own. */
  contextFor(serverName: string): SecureContext | undefined {
    if (!this.#byHost) return undefined;
    const name = normal(serverName);
    const shown = this.#byHost.of(name);
    return (shown?.find(({ leaf }) => leaf.checkHost(name) !== undefined) ?? shown?.[0])?.context;
  }

  /** The client; undefined: it must not be admitted. */
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

/** In the form in which hosts of requests are compared. */
function normal(serverName: string): string {
  return serverName.toLowerCase().replace(/\.$/, "");
}
