/** A key and its certificate signing request, for programs that request a certificate. The key never leaves them. */
import { KeyObject, webcrypto } from "node:crypto";
import { formatSpiffeId, type WorkloadName } from "./core/spiffe-id.ts";
import { x509Library } from "./x509/library.ts";

export interface OwnRequest {
  /** In PEM (PKCS #8). */
  readonly key: string;
  readonly csr: string;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

export async function makeRequest(trustDomain: string, workload: WorkloadName): Promise<OwnRequest> {
  const x509 = await x509Library();
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const value = formatSpiffeId({ trustDomain, workload });
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: "",
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "url", value }])],
  });
  const key = KeyObject.from(keys.privateKey).export({ type: "pkcs8", format: "pem" });
  return { key, csr: `${request.toString("pem")}\n` };
}
