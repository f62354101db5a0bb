/** The holder of a verified certificate. Pure. */
import { altNames } from "./alt-names.ts";
import type { WorkloadName } from "./spiffe-id.ts";

export interface VerifiedPeer {
  readonly spiffeId: string;
  readonly workload: WorkloadName;
  /** Serial number, in lower case. */
  readonly serial: string;
  readonly expiresAtMs: number;
}

/** The URIs in a certificate's alternative names, as Node writes them. */
export function urisOf(subjectAltName: string | undefined): string[] {
  return altNames(subjectAltName).flatMap(({ type, value }) => (type === "URI" ? [value] : []));
}
