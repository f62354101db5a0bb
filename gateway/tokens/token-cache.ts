/**
 * Verified tokens, so that a signature is checked once and not with every request: 4,300 requests/s become 13,000 on
 * one core (performance.md). Keyed by the token's SHA-256, kept for at most a minute and never beyond its `exp`, and
 * dropped when the provider's keys change.
 */
import { hash } from "node:crypto";
import type { Claims } from "../core/callers/claims.ts";
import { RecentMap } from "../core/limits/recent-map.ts";

/** Tokens remembered per provider, at least half of this number. The least recently used are dropped first. */
const VERIFIED_TOKENS_MAX = 20_000;
/** Milliseconds for which a verdict is trusted, because a key may be withdrawn. */
const VERIFIED_TTL_MS = 60_000;

interface VerifiedToken {
  readonly claims: Claims;
  readonly untilMs: number;
}

export class TokenCache {
  readonly #entries = new RecentMap<VerifiedToken>(VERIFIED_TOKENS_MAX);

  get size(): number {
    return this.#entries.size;
  }

  get(token: string, wallMs: number): Claims | undefined {
    const key = digestOf(token);
    const entry = this.#entries.get(key);
    if (entry && entry.untilMs > wallMs) return entry.claims;
    if (entry) this.#entries.delete(key);
    return undefined;
  }

  set(token: string, claims: Claims, expiresMs: number, wallMs: number): void {
    this.#entries.set(digestOf(token), { claims, untilMs: Math.min(expiresMs, wallMs + VERIFIED_TTL_MS) });
  }

  clear(): void {
    this.#entries.clear();
  }
}

/** Not the token itself: a heap dump must not contain usable tokens. */
function digestOf(token: string): string {
  return hash("sha256", token, "base64");
}
