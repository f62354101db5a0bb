/**
 * Whether what a config gives as PEM is what it should be: said when the config is checked, with its place, and not by
 * the first handshake. OpenSSL skips what it cannot read, and of a CA file that is none it would trust nobody, or all.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { messageOf } from "#base";
import type { ConfigProblem, GatewayConfig, ServerCertificate } from "../api.ts";

/** Of what is in the config, and of what was read from its files. */
export function pemProblems({ listeners = [] }: GatewayConfig): ConfigProblem[] {
  return listeners.flatMap(({ clientCertificates: clients, certificates = [] }, index) => {
    const pointer = `/listeners/${index}/clientCertificates/${clients?.caFile === undefined ? "ca" : "caFile"}`;
    return [
      ...(clients?.ca === undefined ? [] : certificateProblems(clients.ca, pointer)),
      ...certificates.flatMap((one, at) => identityProblems(one, `/listeners/${index}/certificates/${at}`)),
    ];
  });
}

const CERTIFICATE =
  /^-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]*-----END (?:TRUSTED |X509 )?CERTIFICATE-----[ \t]*\r?$/gm;

function certificateProblems(pem: string, pointer: string): ConfigProblem[] {
  const certificates = pem.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) return [{ pointer, message: "This holds no certificate in PEM." }];
  if (pem.split("-----BEGIN").length - 1 > certificates.length) {
    return [{ pointer, message: "Beside certificates this holds something else, which would end the list." }];
  }
  return certificates.flatMap((text, at) => {
    try {
      void new X509Certificate(text);
      return [];
    } catch (error) {
      return [{ pointer, message: `Its certificate ${at + 1} cannot be read: ${messageOf(error)}.` }];
    }
  });
}

function identityProblems({ cert, certFile, key, keyFile }: ServerCertificate, at: string): ConfigProblem[] {
  const pointer = `${at}/${keyFile === undefined ? "key" : "keyFile"}`;
  const problems =
    cert === undefined ? [] : certificateProblems(cert, `${at}/${certFile === undefined ? "cert" : "certFile"}`);
  if (key === undefined || problems.length > 0) return problems;
  try {
    const own = createPrivateKey(key);
    if (cert === undefined || new X509Certificate(cert).checkPrivateKey(own)) return [];
    return [{ pointer, message: "This is not the key of the first certificate." }];
  } catch {
    // What OpenSSL says of a key is for nobody's log.
    return [{ pointer, message: "This holds no private key in PEM that can be read without a password." }];
  }
}
