/** Serial numbers of certificates that were revoked before their end, for those who check a certificate without the control plane. */

export interface Revocations {
  /** In lower case. */
  readonly serials: ReadonlySet<string>;
  /** Calls the listener after each change. Returns the function that ends it. */
  onChange(listener: () => void): () => void;
}

export class RevokedSerials implements Revocations {
  readonly #listeners = new Set<() => void>();
  #serials: ReadonlySet<string> = new Set();

  get serials(): ReadonlySet<string> {
    return this.#serials;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Returns whether there was a change. */
  replace(list: readonly string[]): boolean {
    const serials = new Set(list);
    if (serials.size === this.#serials.size && serials.isSubsetOf(this.#serials)) return false;
    this.#serials = serials;
    for (const listener of this.#listeners) listener();
    return true;
  }
}

/** A revoked certificate. Those that end last are listed first, since they would do harm for longest. */
export interface Revoked {
  readonly serial: string;
  readonly expiresAtMs: number;
}

/** The serial numbers for a trust bundle, `max` at most, and how many certificates did not fit. */
export function listedRevocations(
  all: Iterable<Revoked>,
  { nowMs, max }: { readonly nowMs: number; readonly max: number },
): { readonly revoked: string[]; readonly revokedMore: number } {
  const lasting = [...all].filter(({ expiresAtMs }) => expiresAtMs > nowMs);
  lasting.sort((a, b) => b.expiresAtMs - a.expiresAtMs);
  const revoked = lasting.slice(0, max).map(({ serial }) => serial);
  return { revoked, revokedMore: lasting.length - revoked.length };
}
