/**
 * Seals small texts of other modules, such as the keys of the certificate authority, directly with the keys for secrets. The context is
 * authenticated, so a sealed text cannot be put in another place.
 */
import type { Random } from "#base";
import { ConfigErrors } from "../api.ts";
import { openBytes, sealBytes } from "./cipher.ts";
import type { SecretKeys } from "./secret-keys.ts";

/** Version, id of the key, and what the cipher made. An id has neither a colon nor a slash. */
const FORM = /^s1:([A-Za-z0-9._-]{1,64}):([A-Za-z0-9_-]+)$/;

export class KeySealer {
  readonly #random: Random;
  readonly #keys: SecretKeys;

  constructor(random: Random, keys: SecretKeys) {
    this.#random = random;
    this.#keys = keys;
  }

  /** @throws CONFIG_SECRETS_UNCONFIGURED without a key */
  async seal(plain: Uint8Array, context: string): Promise<string> {
    const wrapping = await this.#keys.need();
    return `s1:${wrapping.id}:${sealBytes(this.#random, wrapping, context, plain)}`;
  }

  /** @throws CONFIG_SECRETS_UNCONFIGURED when its key is not here, or the text was changed or moved */
  async open(sealed: string, context: string): Promise<Uint8Array> {
    const [, id = "", data = ""] = FORM.exec(sealed) ?? [];
    const key = this.#keys.get(id);
    if (!key) throw ConfigErrors.SECRETS_UNCONFIGURED(`The key for secrets "${id}" is not here (${this.#source()}).`);
    const plain = openBytes({ id, key }, context, data);
    if (plain) return plain;
    throw ConfigErrors.SECRETS_UNCONFIGURED(
      `The key for secrets "${id}" does not open it: it is another key of that name, or the record in the store was changed.`,
    );
  }

  /** Whether it was sealed with the active key. */
  isCurrent(sealed: string): boolean {
    return this.#keys.active === undefined || FORM.exec(sealed)?.[1] === this.#keys.active.id;
  }

  /** Calls the listener when the keys have changed. */
  onChange(listener: () => void): void {
    this.#keys.onChange(listener);
  }

  #source(): string {
    return this.#keys.problem ?? (this.#keys.source === "" ? "no source is configured" : this.#keys.source);
  }
}
