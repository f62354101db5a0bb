/**
 * How a caller and an ingress greet over mTLS. A caller that offers this protocol by ALPN receives one byte before the bytes of the
 * service: whether its connection was admitted, or why not. So it has sent nothing yet when it must use another endpoint. Any other
 * caller gets the bytes of the service alone. Pure.
 */

/** Name of the protocol in ALPN. */
export const MESH_PROTOCOL = "posthouse-mesh/1";

/** The byte of each outcome. A new outcome gets a new byte, and an unknown byte counts as a rejection. */
const ADMISSION_BYTES = {
  /** The bytes of the service follow. */
  admitted: 0,
  /** A rule denies this caller. Other endpoints have the same rules. */
  denied: 1,
  /** The caller's certificate is not accepted. */
  untrusted: 2,
  /** The service itself does not accept a connection. */
  unreachable: 3,
  /** The ingress takes no new connections. */
  draining: 4,
  /** The ingress has too many connections, or it does not know the rules yet. */
  busy: 5,
} as const;

export type Admission = keyof typeof ADMISSION_BYTES;

export function admissionByte(admission: Admission): Uint8Array {
  return Uint8Array.of(ADMISSION_BYTES[admission]);
}

export function admissionOf(byte: number): Admission {
  for (const [name, value] of Object.entries(ADMISSION_BYTES)) if (value === byte) return name as Admission;
  return "untrusted";
}
