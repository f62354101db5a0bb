/**
 * Verifies bearer tokens with jose, and rejects what jose accepts by default: tokens without `exp`, times that are not
 * finite or lie in the future, duplicate members, and tokens for another purpose (`typ`). Only asymmetric algorithms
 * from the provider's list are accepted.
 */
import { decodeProtectedHeader, errors, jwtVerify, type JWTPayload, type JWTVerifyOptions } from "jose";
import { canonicalJson, messageOf, type Host } from "#base";
import type { DialGuard } from "#base/dial";
import { GATEWAY_DEFAULTS, TOKEN_BYTES_MAX, type JwtProvider } from "../api.ts";
import type { Claims } from "../core/callers/claims.ts";
import { hasDoubleMember } from "#base/plain-json";
import type { TokenRefusal, VerifiedTokens } from "../core/decision/pipeline.ts";
import { KeySet } from "./jwks.ts";
import { TokenCache } from "./token-cache.ts";

/**
 * Allowed `typ` of an access token. A DPoP proof or a logout token is signed with the same keys, but is not an access
 * token. @see RFC 9068
 */
const TYPES = new Set(["jwt", "at+jwt", "application/jwt", "application/at+jwt"]);

/**
 * Keys tried for a token that names none, or one that several keys share: RFC 7515 §4.1.4 makes `kid` optional. Key
 * sets have few keys of one algorithm, and each try of a forged token costs one signature check.
 */
export const CANDIDATE_KEYS_MAX = 16;
/** Milliseconds between two lines at `info` about refused tokens. */
const TELL_MS = 10_000;

export type TokenVerdict =
  | { readonly claims: Claims; readonly error?: undefined }
  | { readonly claims?: undefined; readonly error: TokenRefusal };

/** Verifies the tokens of all providers of the current table. An unchanged provider keeps its keys and verdicts. */
export class TokenVerifier implements VerifiedTokens, AsyncDisposable {
  readonly #host: Host;
  readonly #dial: DialGuard;
  #providers = new Map<string, ProviderVerifier>();

  constructor(host: Host, dial: DialGuard) {
    this.#host = host;
    this.#dial = dial;
  }

  /** Uses the providers of the next table, and closes removed ones. */
  use(providers: Iterable<JwtProvider>): void {
    const next = new Map<string, ProviderVerifier>();
    for (const provider of providers) {
      const known = this.#providers.get(provider.name);
      const same = known && canonicalJson(known.provider) === canonicalJson(provider);
      next.set(provider.name, same ? known : new ProviderVerifier(this.#host, provider, this.#dial));
    }
    const before = this.#providers;
    this.#providers = next;
    for (const [name, verifier] of before) {
      if (next.get(name) !== verifier) void verifier[Symbol.asyncDispose]();
    }
  }

  get(provider: string, token: string, wallMs: number): Claims | undefined {
    return this.#providers.get(provider)?.cache.get(token, wallMs);
  }

  /** Never throws: an invalid token is a result. */
  async verify(provider: string, token: string): Promise<TokenVerdict> {
    return (await this.#providers.get(provider)?.verify(token)) ?? { error: "KEYS_UNAVAILABLE" };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#providers.values()].map((verifier) => verifier[Symbol.asyncDispose]()));
  }
}

class ProviderVerifier implements AsyncDisposable {
  readonly provider: JwtProvider;
  readonly cache = new TokenCache();
  readonly #host: Host;
  readonly #keys: KeySet;
  #toldMs = -Infinity;
  /** Checks in progress, so that a burst of requests with one new token needs one check. */
  readonly #pending = new Map<string, Promise<TokenVerdict>>();

  constructor(host: Host, provider: JwtProvider, dial: DialGuard) {
    this.#host = host;
    this.provider = provider;
    this.#keys = new KeySet(host, provider, { dial, onChange: () => this.cache.clear() });
  }

  verify(token: string): Promise<TokenVerdict> {
    const pending = this.#pending.get(token);
    if (pending) return pending;
    const check = this.#verify(token).finally(() => this.#pending.delete(token));
    this.#pending.set(token, check);
    return check;
  }

  async #verify(token: string): Promise<TokenVerdict> {
    if (token.length > TOKEN_BYTES_MAX || !plausible(token)) return { error: "TOKEN_INVALID" };
    await this.#keys.ensure();
    if (!this.#keys.available) return { error: "KEYS_UNAVAILABLE" };
    const { provider } = this;
    const nowMs = this.#host.clock.now();
    const toleranceSeconds = provider.clockToleranceSeconds ?? GATEWAY_DEFAULTS.clockToleranceSeconds;
    try {
      const payload = await this.#payloadOf(token, {
        algorithms: [...provider.algorithms],
        issuer: provider.issuer,
        audience: [...provider.audience],
        requiredClaims: ["exp", ...(provider.requiredClaims ?? GATEWAY_DEFAULTS.requiredClaims)],
        clockTolerance: toleranceSeconds,
        currentDate: new Date(nowMs),
        ...(provider.maxTokenAgeSeconds === undefined ? {} : { maxTokenAge: provider.maxTokenAgeSeconds }),
      });
      if (!timesAreSane(payload, nowMs / 1000 + toleranceSeconds)) return { error: "TOKEN_INVALID" };
      this.cache.set(token, payload, (payload.exp as number) * 1000 + toleranceSeconds * 1000, nowMs);
      return { claims: payload };
    } catch (error) {
      // The log has the reason. The caller learns only that the token is expired or not valid.
      this.#tell(messageOf(error));
      return { error: error instanceof errors.JWTExpired ? "TOKEN_EXPIRED" : "TOKEN_INVALID" };
    }
  }

  /** Verifies again when the keys have changed: a token without a key id does not show that its key is new. */
  async #payloadOf(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    try {
      return await this.#verified(token, options);
    } catch (error) {
      const named = decodeProtectedHeader(token).kid !== undefined;
      if (named || !(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
      if (!(await this.#keys.hasOthers())) throw error;
      return await this.#verified(token, options);
    }
  }

  /** Verifies with the token's key, or with each candidate. */
  async #verified(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    try {
      return (await jwtVerify(token, this.#keys.key, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      let tried = 0;
      for await (const key of error) {
        if (++tried > CANDIDATE_KEYS_MAX) break;
        try {
          return (await jwtVerify(token, key, options)).payload;
        } catch (failure) {
          if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure;
        }
      }
      throw new errors.JWSSignatureVerificationFailed();
    }
  }

  /** Logs a reason at `info` from time to time, so that a fault of the provider is visible, and each at `debug`. */
  #tell(reason: string): void {
    const { log, clock } = this.#host;
    const fields = { provider: this.provider.name, reason };
    const nowMs = clock.monotonic();
    if (nowMs - this.#toldMs < TELL_MS) return log.debug(fields, "token refused");
    this.#toldMs = nowMs;
    log.info(fields, "token refused; further refusals within ten seconds are logged at debug");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keys[Symbol.asyncDispose]();
  }
}

/** Checks that need no key. */
function plausible(token: string): boolean {
  try {
    const { typ, b64, crit } = decodeProtectedHeader(token);
    if (typ !== undefined && (typeof typ !== "string" || !TYPES.has(typ.toLowerCase()))) return false;
    if (b64 !== undefined || crit !== undefined) return false;
    const [header = "", payload = ""] = token.split(".");
    const texts = [header, payload].map((part) => Buffer.from(part, "base64url").toString("utf8"));
    return texts.every((text) => JSON.parse(text) !== null && !hasDoubleMember(text));
  } catch {
    return false;
  }
}

/** `1e400` is valid JSON and means infinity. A token issued tomorrow is not valid yet. */
function timesAreSane(payload: JWTPayload, latestSeconds: number): boolean {
  const { exp, iat, nbf, sub } = payload;
  const finite = [exp, iat ?? 0, nbf ?? 0].every((time) => Number.isSafeInteger(Math.trunc(time as number)));
  const named = sub === undefined || (typeof sub === "string" && sub !== "");
  return finite && named && (iat ?? 0) <= latestSeconds;
}
