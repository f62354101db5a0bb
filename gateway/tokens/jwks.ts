/**
 * The key set of one provider, fetched from its URL and cached. An outage of the provider must not become an outage of
 * the gateway: keys are renewed at half their age, with one fetch at a time, and the old ones stay valid for a day
 * while fetching fails.
 */
import {
  createLocalJWKSet,
  errors,
  type JSONWebKeySet,
  type JWSHeaderParameters,
  type FlattenedJWSInput,
  type CryptoKey,
} from "jose";
import { canonicalJson, messageOf, type Host } from "#base";
import type { DialGuard } from "#base/dial";
import type { JwtProvider } from "../api.ts";
import { discoveredKeyUrl, discoveryUrl } from "../core/callers/key-urls.ts";
import { DocumentFetcher } from "./fetch-document.ts";

/** Milliseconds for which keys are current. Renewal starts at half of it. */
export const KEYS_AGE_MS = 600_000;
/** Milliseconds for which keys are used at most when they cannot be renewed. */
export const KEYS_STALE_MS = 86_400_000;
/** Milliseconds between two fetches, jittered by a fifth: tokens with invented key ids must not cause a fetch each. */
export const KEYS_COOLDOWN_MS = 30_000;
/** Milliseconds between two fetches before the first keys arrive. */
const KEYS_FIRST_COOLDOWN_MS = 1_000;
/** Bytes of a key set. Large ones have some 20 keys of 2 KB. */
const KEY_SET_BYTES_MAX = 256 * 1024;
/** Bytes of a discovery. Common ones have 2 to 8 KB. */
const DISCOVERY_BYTES_MAX = 64 * 1024;

type Resolve = (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>;

export class KeySet implements AsyncDisposable {
  readonly #host: Host;
  readonly #provider: JwtProvider;
  readonly #fetcher: DocumentFetcher;
  readonly #onChange: () => void;
  #resolve: Resolve | undefined;
  #content = "";
  #fetchedMs = -Infinity;
  #nextTryMs = -Infinity;
  #fetching: Promise<void> | undefined;

  /** `onChange`: the keys have changed, so earlier verdicts are no longer valid. */
  constructor(host: Host, provider: JwtProvider, { dial, onChange }: { dial: DialGuard; onChange: () => void }) {
    this.#host = host;
    this.#provider = provider;
    this.#onChange = onChange;
    this.#fetcher = new DocumentFetcher(host, { dial, ca: provider.jwks?.ca });
  }

  /** False until keys were fetched, and again when they are older than a day. */
  get available(): boolean {
    return this.#resolve !== undefined && this.#age() < KEYS_STALE_MS;
  }

  #age(): number {
    return this.#host.clock.monotonic() - this.#fetchedMs;
  }

  /** Waits for the first keys. Renews old ones in the background. */
  async ensure(): Promise<void> {
    if (!this.available) await this.#refresh(KEYS_FIRST_COOLDOWN_MS);
    else if (this.#age() > KEYS_AGE_MS / 2) void this.#refresh(KEYS_COOLDOWN_MS);
  }

  /** The key of a token. An unknown key id causes one fetch, if the last one is long enough ago. */
  readonly key: Resolve = async (header, token) => {
    const resolve = this.#resolve;
    if (!resolve) throw new errors.JWKSNoMatchingKey();
    try {
      return await resolve(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      const before = this.#content;
      await this.#refresh(KEYS_COOLDOWN_MS);
      if (this.#content === before || !this.#resolve) throw error;
      return this.#resolve(header, token);
    }
  };

  /** Whether the keys have changed, for a token that no known key signed. Fetches within the same limits. */
  async hasOthers(): Promise<boolean> {
    const before = this.#content;
    await this.#refresh(KEYS_COOLDOWN_MS);
    return this.#content !== before;
  }

  /** Fetches once at a time, and not within the cooldown. Never throws. */
  #refresh(cooldownMs: number): Promise<void> {
    if (this.#fetching) return this.#fetching;
    const now = this.#host.clock.monotonic();
    if (now < this.#nextTryMs || this.#fetcher.stopping) return Promise.resolve();
    this.#nextTryMs = now + cooldownMs * (0.9 + this.#host.random.float() * 0.2);
    this.#fetching = this.#fetch().finally(() => (this.#fetching = undefined));
    return this.#fetching;
  }

  async #fetch(): Promise<void> {
    const { issuer, jwks } = this.#provider;
    let url = jwks?.url ?? discoveryUrl(issuer);
    try {
      if (jwks?.url === undefined) url = await this.#discover(url, issuer);
      const keys = await this.#load(url);
      // jose skips keys of an unknown type; the others stay usable.
      const resolve = createLocalJWKSet(keys);
      const content = canonicalJson(keys);
      const changed = content !== this.#content;
      this.#resolve = resolve;
      this.#content = content;
      this.#fetchedMs = this.#host.clock.monotonic();
      if (changed) this.#onChange();
      this.#host.log.debug({ provider: this.#provider.name, keys: keys.keys.length, changed }, "token keys fetched");
    } catch (error) {
      if (this.#fetcher.stopping) return;
      this.#host.log.warn(
        { provider: this.#provider.name, url, usable: this.available, reason: messageOf(error) },
        `the token keys cannot be fetched: ${messageOf(error)}`,
      );
    }
  }

  /** The URL of the keys. It is discovered at each fetch, because a provider may move them. */
  async #discover(url: string, issuer: string): Promise<string> {
    const document = await this.#fetcher.load(url, { accept: "application/json", bytesMax: DISCOVERY_BYTES_MAX });
    return discoveredKeyUrl(document, issuer);
  }

  async #load(url: string): Promise<JSONWebKeySet> {
    const accept = "application/jwk-set+json, application/json";
    const set = (await this.#fetcher.load(url, { accept, bytesMax: KEY_SET_BYTES_MAX })) as JSONWebKeySet;
    if (!Array.isArray(set?.keys) || set.keys.length === 0)
      throw new Error("the document is not a key set, or has no keys");
    return set;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fetcher[Symbol.asyncDispose]();
    await this.#fetching;
  }
}
