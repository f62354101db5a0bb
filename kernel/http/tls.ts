/**
 * TLS of a listener: HTTP/2 and HTTP/1.1 on one port. A new certificate applies to new connections, and no open one ends. Client
 * certificates are requested and never required; `peerCertificateOf` returns them unverified.
 */
import type { FastifyRequest } from "fastify";
import type { Http2SecureServer, Http2ServerRequest, SecureServerOptions } from "node:http2";
import type { TLSSocket } from "node:tls";
import { type CounterChild, type Host, messageOf } from "#base";
import { type AuditSink, refusedConnection } from "./audit-hook.ts";
import { http2Options, limitSessions } from "./http2-limits.ts";
import { HANDSHAKE_MS_MAX, takeConnections } from "./tls-intake.ts";
import { secureContextOf, TLS_POLICY, type TlsSource } from "./tls-material.ts";

const UNAUTHENTICATED = 401;

export interface ListenerTls {
  /** Without a certificate, handshakes fail. */
  readonly source: TlsSource;
  /** Asks clients for a certificate. One that is not valid does not end the connection, so that the answer can say why. */
  readonly requestClientCertificate: boolean;
  /** Programs of this machine may use plain HTTP on the same port, at its loopback address. */
  readonly isPlainOnLoopback?: boolean;
}

export interface TlsLimits {
  readonly headerBytesMax: number;
  readonly requestMsMax: number;
}

/** Its certificate follows, from `serveTls`. */
export function tlsServerOptions(
  { requestClientCertificate }: ListenerTls,
  { headerBytesMax }: TlsLimits,
): SecureServerOptions {
  return {
    ...TLS_POLICY,
    ...http2Options(headerBytesMax),
    allowHTTP1: true,
    handshakeTimeout: HANDSHAKE_MS_MAX,
    requestCert: requestClientCertificate,
    rejectUnauthorized: false,
  };
}

/** Codes of refused connections in the audit; no answer has them, because there is none. */
export const TLS_REFUSALS = {
  /** Versions, suites or an end of the connection, as scanners cause many. */
  handshake: "TLS_HANDSHAKE_FAILED",
  /** A client certificate that is signed by another key than that of the issuer it names. */
  falseSignature: "TLS_CERTIFICATE_FALSE_SIGNATURE",
} as const;

export function tlsFailures(host: Host, server: string): CounterChild {
  const failed = host.metrics.counter({
    name: "posthouse_tls_handshakes_failed_total",
    help: "TLS connections that ended in their handshake, or by a client certificate with a false signature, by server.",
    labelNames: ["server"],
  });
  return failed.labels(server);
}

interface ServeTlsOptions extends Pick<TlsLimits, "requestMsMax"> {
  readonly failures: CounterChild;
  readonly audit: AuditSink | undefined;
}

/** Completes a server that does not listen yet. Returns the function that ends its use of the source. */
export function serveTls(
  host: Host,
  server: Http2SecureServer,
  { source, isPlainOnLoopback = false }: ListenerTls,
  { requestMsMax, failures, audit }: ServeTlsOptions,
): () => void {
  takeConnections(host, server, isPlainOnLoopback);
  limitSessions(host, server, requestMsMax);
  const refused = (code: string, address: string) => {
    failures.inc();
    audit?.record(refusedConnection(host, { address, route: "tls", status: UNAUTHENTICATED, code }));
  };
  // Node forgets the address with the connection.
  const addresses = new WeakMap<object, string>();
  server.on("session", (session) => addresses.set(session, session.socket.remoteAddress ?? ""));
  server.on("tlsClientError", (_error, socket) => {
    refused(TLS_REFUSALS.handshake, socket.remoteAddress ?? "");
    socket.destroy();
  });
  // OpenSSL ends the connection after the handshake.
  server.on("sessionError", ({ code }: NodeJS.ErrnoException, session: object) => {
    if (code?.startsWith("ERR_SSL_") === true) refused(TLS_REFUSALS.falseSignature, addresses.get(session) ?? "");
  });
  const serve = () => {
    const { current } = source;
    if (current === undefined) return;
    try {
      server.setSecureContext(secureContextOf(current));
    } catch (error) {
      host.log.error({ err: error }, `a certificate cannot be served, so the last one stays: ${messageOf(error)}`);
    }
  };
  serve();
  return source.onChange(serve);
}

/** By connection. A certificate is exported once, however many requests the connection carries. */
const certificates = new WeakMap<object, Buffer | null>();

/** The certificate of the client in DER, unverified. Undefined: it sent none, or the connection has no TLS. */
export function peerCertificateOf({ raw }: FastifyRequest): Buffer | undefined {
  const { stream } = raw as unknown as Partial<Http2ServerRequest>;
  const connection = stream === undefined ? (raw.socket as Partial<TLSSocket>) : stream.session;
  if (!connection) return undefined;
  let der = certificates.get(connection);
  if (der === undefined) {
    const socket = "socket" in connection ? (connection.socket as Partial<TLSSocket>) : connection;
    der = socket.getPeerX509Certificate?.()?.raw ?? null;
    certificates.set(connection, der);
  }
  return der ?? undefined;
}
