/**
 * Whether what a config gives as PEM is what it should be: said when the config is checked, with its place, and not by
 * the first handshake. OpenSSL skips what it cannot read, and of a CA file that is none it would trust nobody, or all.
 */
import { X509Certificate } from "node:crypto";
import { messageOf } from "#base";
import type { ConfigProblem, GatewayConfig } from "../api.ts";

/** Of what is in the config, and of what was read from its files. */
export function pemProblems({ listeners = [] }: GatewayConfig): ConfigProblem[] {
  return listeners.flatMap(({ clientCertificates: clients }, index) => {
    const pointer = `/listeners/${index}/clientCertificates/${clients?.caFile === undefined ? "ca" : "caFile"}`;
    return clients?.ca === undefined ? [] : certificateProblems(clients.ca, pointer);
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
