/**
 * How the certificate of a control plane is verified: by authorities, by the fingerprint of one, or by those of the system. Always
 * verified: at the first contact with a pinned authority, a connection without trust carries nothing but the handshake, from which the
 * authority with that fingerprint is taken.
 */
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { ConnectionOptions, DetailedPeerCertificate } from "node:tls";
import { type AppError, bareHost, messageOf } from "#base";
import type { IdentitySource } from "#identity/core";
import { ClientErrors } from "./errors.ts";

export interface ControlTls {
  /** PEM of the authorities that may have issued the certificate of the control plane. */
  readonly ca?: string | undefined;
  /** SHA-256 fingerprint in hex, with or without colons, of the authority that issued it. `posthouse up` prints it. */
  readonly fingerprint?: string | undefined;
  /** The client's certificate. Its authorities are trusted, too. A new one applies to new connections. */
  readonly identity?: IdentitySource | undefined;
}

/** Milliseconds of a handshake that only looks at a certificate. */
const LOOK_MS_MAX = 5_000;
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The part of a problem with a certificate that a program can act on: `extra.reason` of CLIENT_UNTRUSTED. */
type Distrust = "expired" | "not-yet-valid" | "wrong-name" | "unknown-authority";

/** Codes of OpenSSL and Node. */
const REASONS: ReadonlyMap<string, Distrust> = new Map([
  ["CERT_HAS_EXPIRED", "expired"],
  ["CERT_NOT_YET_VALID", "not-yet-valid"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "wrong-name"],
  ["HOSTNAME_MISMATCH", "wrong-name"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "unknown-authority"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "unknown-authority"],
  ["UNABLE_TO_GET_ISSUER_CERT", "unknown-authority"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "unknown-authority"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unknown-authority"],
  ["CERT_SIGNATURE_FAILURE", "unknown-authority"],
  ["CERT_UNTRUSTED", "unknown-authority"],
  ["CERT_REJECTED", "unknown-authority"],
  ["INVALID_CA", "unknown-authority"],
  ["INVALID_PURPOSE", "unknown-authority"],
  ["PATH_LENGTH_EXCEEDED", "unknown-authority"],
]);

export class ServerTrust {
  readonly #tls: ControlTls;
  /** The authority with the pinned fingerprint, once it was seen. */
  #pinned: string | undefined;

  /** @throws CLIENT_OPTION_INVALID */
  constructor(tls: ControlTls = {}) {
    const { ca, fingerprint } = tls;
    if (ca !== undefined && certificatesIn(ca).length === 0)
      throw ClientErrors.OPTION_INVALID("Option tls.ca: it contains no PEM certificate.", {
        extra: { field: "tls.ca" },
      });
    if (fingerprint !== undefined && !/^[0-9a-f]{64}$/.test(plainFingerprint(fingerprint)))
      throw ClientErrors.OPTION_INVALID(
        "Option tls.fingerprint: it is not a SHA-256 fingerprint. Use 64 hex digits, with or without colons.",
        { extra: { field: "tls.fingerprint" } },
      );
    this.#tls = tls;
  }

  /** The options of `tls.connect`, which verify the server. @throws CLIENT_UNTRUSTED, or the system's own error */
  async connectOptions(url: URL): Promise<ConnectionOptions> {
    const { ca, fingerprint, identity } = this.#tls;
    const own = identity?.current;
    const given = [own?.bundle, ca].filter((pem) => pem !== undefined && pem !== "") as string[];
    const isPinned = fingerprint !== undefined && !given.some((pem) => certificateWith(fingerprint, pem));
    const authorities = isPinned ? [...given, await this.#pin(url, fingerprint)] : given;
    const host = bareHost(url.hostname);
    return {
      host,
      port: Number(url.port) || 443,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(authorities.length === 0 ? {} : { ca: authorities }),
      ...(own === undefined ? {} : { cert: own.certificate, key: own.key }),
      rejectUnauthorized: true,
    };
  }

  async #pin(url: URL, fingerprint: string): Promise<string> {
    if (this.#pinned !== undefined) return this.#pinned;
    const chain = await chainOf(url);
    const found = chain.find((one) => fingerprintOf(one) === plainFingerprint(fingerprint));
    if (found === undefined) throw untrusted(url, "unknown-authority", { chain, trusted: [fingerprint] });
    return (this.#pinned = found.toString());
  }

  /** The error of a failed connection: one that says why the certificate is not trusted, or the same. */
  async explained(url: URL, error: unknown): Promise<unknown> {
    const { code } = error as { code?: string };
    const reason = code === undefined ? undefined : REASONS.get(code);
    if (reason === undefined) return error;
    const { ca, fingerprint, identity } = this.#tls;
    const known = [ca, identity?.current?.bundle, this.#pinned].flatMap((pem) => certificatesIn(pem ?? ""));
    const trusted = [...new Set([...known.map(fingerprintOf), ...(fingerprint === undefined ? [] : [fingerprint])])];
    const chain = await chainOf(url).catch(() => []);
    return untrusted(url, reason, { chain, trusted, cause: error });
  }

  /** Returns the function that ends it. */
  onChange(listener: () => void): () => void {
    return this.#tls.identity?.onChange(listener) ?? (() => {});
  }
}

/** The certificates of a PEM text that can be read. */
function certificatesIn(pem: string): X509Certificate[] {
  const { X509Certificate: Certificate } = process.getBuiltinModule("node:crypto");
  return [...pem.matchAll(PEM)].flatMap(([text]) => {
    try {
      return [new Certificate(text)];
    } catch {
      return [];
    }
  });
}

function certificateWith(fingerprint: string, pem: string): boolean {
  return certificatesIn(pem).some((one) => fingerprintOf(one) === plainFingerprint(fingerprint));
}

function plainFingerprint(text: string): string {
  return text.replaceAll(":", "").toLowerCase();
}

function fingerprintOf({ fingerprint256 }: X509Certificate): string {
  return plainFingerprint(fingerprint256);
}

/** The certificates that a server presents, the leaf first. Nothing is sent to it. */
async function chainOf(url: URL): Promise<X509Certificate[]> {
  const { X509Certificate: Certificate } = process.getBuiltinModule("node:crypto");
  const host = bareHost(url.hostname);
  const socket = process.getBuiltinModule("node:tls").connect({
    host,
    port: Number(url.port) || 443,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    // Only looks. The connection that carries something is a verified one.
    rejectUnauthorized: false,
    timeout: LOOK_MS_MAX,
  });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve).once("error", reject);
      socket.once("timeout", () => reject(new Error(`no handshake within ${LOOK_MS_MAX} ms`)));
    });
    const chain: X509Certificate[] = [];
    let one: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
    while (one?.raw !== undefined && !chain.some(({ raw }) => raw.equals(one?.raw as Buffer))) {
      chain.push(new Certificate(one.raw));
      one = one.issuerCertificate;
    }
    return chain;
  } finally {
    socket.on("error", () => {}).destroy();
  }
}

function untrusted(
  url: URL,
  reason: Distrust,
  { chain, trusted, cause }: { chain: readonly X509Certificate[]; trusted: readonly string[]; cause?: unknown },
): AppError {
  const [leaf] = chain;
  const root = chain.at(-1);
  const from = `The certificate of ${url.origin}`;
  const message = ((): string => {
    if (reason === "expired") return `${from} expired${leaf ? ` on ${leaf.validTo}` : ""}. Renew it there.`;
    if (reason === "not-yet-valid")
      return `${from} is not valid yet${leaf ? `: it begins on ${leaf.validFrom}` : ""}. Check the clocks of both machines.`;
    if (reason === "wrong-name")
      return `${from} is for other names (${leaf?.subjectAltName ?? messageOf(cause)}). Use one of those, or add the name there (setting tlsNames).`;
    const shown = root ? fingerprintOf(root) : "unknown";
    const known = trusted.length === 0 ? "the authorities of the system" : trusted.map(plainFingerprint).join(", ");
    return (
      `${from} is issued by an authority that is not trusted here. Its fingerprint: ${shown}. Trusted: ${known}. ` +
      `Compare it with the one that \`posthouse up\` prints there. If they are equal, trust it: \`posthouse login ${url.origin} --fingerprint ${shown}\`, ` +
      "or the setting controlFingerprint. Otherwise somebody else answers at that address."
    );
  })();
  return ClientErrors.UNTRUSTED(message, {
    cause,
    extra: { reason, ...(root ? { fingerprint: fingerprintOf(root) } : {}) },
  });
}
