/**
 * Checks PEM texts of a config when it is read, and not in the first handshake. OpenSSL skips what it cannot read; with
 * an invalid CA file it would trust no client, or all of them.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { messageOf } from "#base";
import type { ConfigProblem, GatewayConfig, ServerCertificate } from "../api.ts";

/** Checks PEM texts in the config and in its files. */
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
  if (certificates.length === 0) return [{ pointer, message: "This contains no PEM certificate." }];
  if (pem.split("-----BEGIN").length - 1 > certificates.length) {
    return [
      { pointer, message: "This contains something other than certificates, at which OpenSSL would stop reading." },
    ];
  }
  return certificates.flatMap((text, at) => {
    try {
      void new X509Certificate(text);
      return [];
    } catch (error) {
      return [{ pointer, message: `Certificate ${at + 1} cannot be read: ${messageOf(error)}.` }];
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
    // OpenSSL's message may contain parts of the key and must not be logged.
    return [{ pointer, message: "This contains no PEM private key that can be read without a password." }];
  }
}
