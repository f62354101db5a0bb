/**
 * The state of a sign-in that has begun, sealed into a cookie of the browser that began it. The key is in the store, so that the provider
 * may send the browser back to another member. Nothing is stored for unknown browsers.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { encodeJson, type Host } from "#base";
import { commit, type Store } from "#store";
import type { SignInSecrets } from "./provider.ts";

/** A random key, written by the first member that needs it. */
const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Milliseconds from leaving for the provider to coming back: time to find a second factor. */
export const SIGN_IN_STATE_MS = 600_000;

export interface SignInState extends SignInSecrets {
  readonly issuer: string;
  readonly redirectUri: string;
  readonly returnTo: string;
  readonly startedAtMs: number;
}

export class StateSeal {
  readonly #host: Host;
  readonly #store: Store;
  readonly #storeKey: string;
  #key: Promise<Buffer> | undefined;

  constructor(host: Host, store: Store, storeKey: string) {
    this.#host = host;
    this.#store = store;
    this.#storeKey = storeKey;
  }

  async seal(state: SignInState): Promise<string> {
    const nonce = this.#host.random.bytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, await this.#sharedKey(), nonce);
    const sealed = Buffer.concat([cipher.update(encodeJson(state)), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString("base64url");
  }

  /** The state; undefined when it was not sealed by a member of this control plane, was changed, or is too old. */
  async open(cookie: string): Promise<SignInState | undefined> {
    const bytes = Buffer.from(cookie, "base64url");
    if (bytes.length <= NONCE_BYTES + TAG_BYTES) return undefined;
    const decipher = createDecipheriv(CIPHER, await this.#sharedKey(), bytes.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    let state: SignInState;
    try {
      const text = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
      state = JSON.parse(text.toString("utf8")) as SignInState;
    } catch {
      return undefined;
    }
    const ageMs = this.#host.clock.now() - state.startedAtMs;
    return Math.abs(ageMs) < SIGN_IN_STATE_MS ? state : undefined;
  }

  #sharedKey(): Promise<Buffer> {
    this.#key ??= this.#readKey().catch((error: unknown) => {
      // The next sign-in tries again.
      this.#key = undefined;
      throw error;
    });
    return this.#key;
  }

  async #readKey(): Promise<Buffer> {
    const key = this.#storeKey;
    const fresh = this.#host.random.bytes(KEY_BYTES);
    const { result } = await commit(this.#store, [{ key }], (known) => {
      const entry = known.get(key);
      return entry ? { result: entry.value } : { writes: [{ type: "put", key, value: fresh }], result: fresh };
    });
    return Buffer.from(result);
  }
}
