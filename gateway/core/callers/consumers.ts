/** Finds the consumer of a request by the hash of its API key, or by a claim of its verified token. */
import type { Consumer } from "../../api.ts";
import { claimValues, type Claims } from "./claims.ts";

export interface CompiledConsumer {
  readonly name: string;
  readonly groups: ReadonlySet<string>;
}

export class Consumers {
  readonly #byKey = new Map<string, CompiledConsumer>();
  /** By provider, then claim, then value. */
  readonly #byClaim = new Map<string, Map<string, Map<string, CompiledConsumer>>>();

  constructor(consumers: readonly Consumer[]) {
    for (const { name, groups = [], keys = [], jwt = [] } of consumers) {
      const compiled: CompiledConsumer = { name, groups: new Set(groups) };
      for (const { sha256 } of keys) this.#byKey.set(sha256, compiled);
      for (const { provider, claim = "sub", value } of jwt) {
        let claims = this.#byClaim.get(provider);
        if (!claims) this.#byClaim.set(provider, (claims = new Map()));
        let values = claims.get(claim);
        if (!values) claims.set(claim, (values = new Map()));
        values.set(value, compiled);
      }
    }
  }

  /** `sha256`: the hash of the key, in hex. */
  byKey(sha256: string): CompiledConsumer | undefined {
    return this.#byKey.get(sha256);
  }

  byClaims(provider: string, claims: Claims): CompiledConsumer | undefined {
    const byClaim = this.#byClaim.get(provider);
    if (!byClaim) return undefined;
    for (const [claim, values] of byClaim) {
      for (const value of claimValues(claims, claim)) {
        const found = values.get(value);
        if (found) return found;
      }
    }
    return undefined;
  }
}
