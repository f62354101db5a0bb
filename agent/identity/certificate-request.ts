/** Keys and certificate signing requests (CSR). A key is made on this host, and never leaves it. */
import { createPrivateKey, createPublicKey, generateKeyPair, webcrypto, X509Certificate } from "node:crypto";
import { promisify } from "node:util";
import type { Validity } from "../core/certificate-times.ts";

const CURVE = "P-256";
const ALGORITHM = { name: "ECDSA", namedCurve: CURVE };

/** A new private key, in PEM (PKCS #8). */
export async function newKey(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)("ec", { namedCurve: CURVE });
  return privateKey.export({ type: "pkcs8", format: "pem" });
}

/** A request in PEM, signed by the key. A node's join names nothing: the join token decides its name. */
export async function certificateRequest(keyPem: string, spiffeId?: string): Promise<string> {
  // Loaded when a certificate is due, twice a day: the library costs more than the rest of a start.
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const subtle = webcrypto.subtle;
  const privateKey = createPrivateKey(keyPem);
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const pkcs8 = privateKey.export({ type: "pkcs8", format: "der" });
  const keys = {
    privateKey: await subtle.importKey("pkcs8", pkcs8, ALGORITHM, false, ["sign"]),
    publicKey: await subtle.importKey("spki", spki, ALGORITHM, true, ["verify"]),
  };
  const request = await x509.Pkcs10CertificateRequestGenerator.create(
    {
      name: "",
      keys,
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      extensions:
        spiffeId === undefined
          ? []
          : [new x509.SubjectAlternativeNameExtension([{ type: "url", value: spiffeId }], false)],
    },
    webcrypto,
  );
  return request.toString("pem");
}

/** The facts of a certificate that its holder needs. The first one of a chain counts. @throws for a text that is not PEM */
export function certificateFacts(
  pem: string,
): Validity & { readonly spiffeId: string | undefined; readonly serial: string } {
  const certificate = new X509Certificate(pem);
  const uri = /URI:(spiffe:\/\/[^,\s]+)/.exec(certificate.subjectAltName ?? "");
  return {
    fromMs: Date.parse(certificate.validFrom),
    untilMs: Date.parse(certificate.validTo),
    spiffeId: uri?.[1],
    serial: certificate.serialNumber.toLowerCase(),
  };
}

/** Whether a certificate is for the key. */
export function isForKey(certificatePem: string, keyPem: string): boolean {
  return new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(keyPem));
}
