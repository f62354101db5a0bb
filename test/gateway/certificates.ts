/** Certificates for tests: an authority made on the spot, and what it signs. */
import { createHash, randomUUID, webcrypto } from "node:crypto";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
x509.cryptoProvider.set(webcrypto as never);

export interface Authority {
  readonly pem: string;
  readonly name: string;
  /** SHA-256 of the root in DER, in hex. */
  readonly fingerprint: string;
  /** A certificate for these names, addresses or URIs. */
  issue(
    names: readonly string[],
    options?: { subject?: string; notBefore?: Date; notAfter?: Date },
  ): Promise<{ key: string; cert: string }>;
}

/** `name`: that of another one, for a forger. */
export async function authority(name = `CN=test authority ${randomUUID()}`): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const day = 86_400_000;
  const times = { notBefore: new Date(Date.now() - day), notAfter: new Date(Date.now() + day) };
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    // Each its own: OpenSSL ends a connection whose certificate is signed by another key than that of the issuer's name.
    name,
    ...times,
    keys: keys as never,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
  });
  return {
    pem: root.toString("pem"),
    name,
    fingerprint: createHash("sha256").update(Buffer.from(root.rawData)).digest("hex"),
    async issue(names, { subject = "CN=test service", ...given } = {}) {
      const own = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
      const certificate = await x509.X509CertificateGenerator.create({
        serialNumber: "02",
        subject,
        issuer: root.subject,
        ...times,
        ...given,
        publicKey: own.publicKey as never,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        extensions: [new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: typeOf(value), value })))],
      });
      const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", own.privateKey)).toString("base64");
      return {
        key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replaceAll(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`,
        cert: certificate.toString("pem"),
      };
    },
  };
}

function typeOf(name: string): "ip" | "url" | "dns" {
  return /^[\d.]+$/.test(name) ? "ip" : name.includes("://") ? "url" : "dns";
}
