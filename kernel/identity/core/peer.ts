/** The holder of a verified certificate. Pure. */
import type { WorkloadName } from "./spiffe-id.ts";

export interface VerifiedPeer {
  readonly spiffeId: string;
  readonly workload: WorkloadName;
  /** Serial number, in lower case. */
  readonly serial: string;
  readonly expiresAtMs: number;
}

/** The URIs in a certificate's alternative names, as Node writes them. A name in quotes is never a SPIFFE id. */
export function urisOf(subjectAltName: string | undefined): string[] {
  return (subjectAltName ?? "")
    .split(", ")
    .flatMap((name) => (name.startsWith("URI:") ? [name.slice("URI:".length)] : []));
}
