/** The current certificate of a workload, for everything that speaks TLS in its name. Listeners are called after each renewal. */

import type { Revocations } from "./revocations.ts";

/** All texts are PEM. */
export interface IdentityMaterial {
  readonly spiffeId: string;
  /** The leaf, then the intermediates. */
  readonly certificate: string;
  readonly key: string;
  /** Every root that is trusted now, including those of a rotation under way. */
  readonly bundle: string;
  readonly expiresAtMs: number;
}

export interface IdentitySource {
  /** Undefined until the first certificate was issued. */
  readonly current: IdentityMaterial | undefined;
  /** Calls the listener after each change of `current`. Returns the function that ends it. */
  onChange(listener: () => void): () => void;
  /** Peers that are rejected although their certificate is valid otherwise. Absent: unknown. */
  readonly revocations?: Revocations | undefined;
}
