/**
 * The keys that wrap data keys of secrets: the first key encrypts, all keys decrypt. They are read at the start and then
 * regularly; after a failed read the known keys stay. A line is `ID:BASE64`, of 32 bytes; `#` begins a comment.
 */
import { createSecretKey, type KeyObject } from "node:crypto";
import { AppError, messageOf, randomId, type Host, type Random } from "#base";
import { ConfigErrors } from "../api.ts";
import { KEY_BYTES, type WrappingKey } from "./cipher.ts";
import type { KeySource } from "./key-source.ts";

/** Keys at a time: one a month for years. */
export const SECRET_KEYS_MAX = 64;
/** Milliseconds between two attempts without a key so far. */
const RETRY_MS = 10_000;
const LINE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([A-Za-z0-9+/]{43}=)$/;
const ID_BYTES = 4;

/** A line with a new key, whose id begins with the day on which it was made. */
export function keyLine(random: Random, nowMs: number): string {
  const id = `${new Date(nowMs).toISOString().slice(0, 10)}-${randomId(random, ID_BYTES)}`;
  return `${id}:${Buffer.from(random.bytes(KEY_BYTES)).toString("base64")}`;
}

/** The keys of a text, the active one first. @throws CONFIG_SECRET_KEYS_INVALID, which names the line but never its content */
export function parseKeys(text: string, where: string): WrappingKey[] {
  const keys: WrappingKey[] = [];
  const invalid = (line: number, what: string) =>
    ConfigErrors.SECRET_KEYS_INVALID(`Line ${line} of the ${where} ${what}.`, { extra: { line } });
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const [, id, base64] = LINE.exec(line) ?? [];
    const bytes = base64 === undefined ? undefined : Buffer.from(base64, "base64");
    if (id === undefined || bytes?.length !== KEY_BYTES || bytes.toString("base64") !== base64) {
      throw invalid(index + 1, `is not ID:BASE64 with ${KEY_BYTES} bytes; posthouse secret-key generate prints one`);
    }
    if (keys.some((known) => known.id === id))
      throw invalid(index + 1, `repeats the id "${id}"; each key needs its own id`);
    if (keys.length === SECRET_KEYS_MAX)
      throw invalid(index + 1, `is one key too many; at most ${SECRET_KEYS_MAX} are allowed`);
    keys.push({ id, key: createSecretKey(bytes) });
    bytes.fill(0);
  }
  if (keys.length === 0) throw ConfigErrors.SECRET_KEYS_INVALID(`The ${where} contains no key.`);
  return keys;
}

export class SecretKeys {
  readonly #host: Host;
  readonly #source: KeySource | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #users = new Set<() => Promise<boolean>>();
  #keys = new Map<string, KeyObject>();
  #active: WrappingKey | undefined;
  #generating: Promise<void> | undefined;
  /** Why the last read failed. */
  problem: string | undefined;

  /** Without a source, keys are missing and secrets cannot be released. */
  constructor(host: Host, source: KeySource | undefined) {
    this.#host = host;
    this.#source = source;
  }

  get source(): string {
    return this.#source?.name ?? "";
  }

  get active(): WrappingKey | undefined {
    return this.#active;
  }

  get ids(): string[] {
    return [...this.#keys.keys()];
  }

  get(id: string): KeyObject | undefined {
    return this.#keys.get(id);
  }

  /** Calls the listener when the keys have changed. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** `exists`: whether something is stored that needs a key. A new key is then never generated in place of a lost one. */
  onUse(exists: () => Promise<boolean>): void {
    this.#users.add(exists);
  }

  /** Reads the keys. @throws CONFIG_SECRET_KEYS_INVALID; the known keys then stay */
  async load(): Promise<void> {
    const text = await this.#source?.read();
    if (text === undefined) return;
    const keys = parseKeys(text, this.source);
    const known = [...this.#keys];
    const same =
      keys.length === known.length && keys.every(({ id, key }, i) => known[i]?.[0] === id && known[i][1].equals(key));
    if (same) return;
    this.#keys = new Map(keys.map(({ id, key }) => [id, key]));
    this.#active = keys[0];
    this.#host.log.info(
      { active: this.#active?.id, keys: this.ids, source: this.source },
      "keys for secrets were read",
    );
    for (const listener of this.#listeners) listener();
  }

  /** The first read. @throws CONFIG_SECRET_KEYS_INVALID for a source that cannot recover without an operator */
  async start(): Promise<void> {
    await (this.#source?.remote ? this.reload() : this.load());
  }

  /** Like `load`, but reports a problem in the log, once, and in the status. */
  async reload(): Promise<void> {
    try {
      await this.load();
      this.problem = undefined;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const message = messageOf(error);
      if (this.problem !== message)
        this.#host.log.error({ code: error.code }, `${message} The known keys stay in use.`);
      this.problem = message;
    }
  }

  /** Reads the keys regularly. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    while (this.#source && !signal.aborted) {
      const waitMs = this.#active ? this.#source.reloadMs : Math.min(this.#source.reloadMs, RETRY_MS);
      await this.#host.clock.sleep(waitMs, signal).catch(() => {});
      if (!signal.aborted) await this.reload();
    }
  }

  /**
   * The key to encrypt with. Generates the first key if the source can, unless secrets exist already: then their key was lost.
   * @throws CONFIG_SECRETS_UNCONFIGURED
   */
  async need(): Promise<WrappingKey> {
    if (!this.#active && this.#source?.generate) {
      await this.reload();
      if (!this.#active && this.problem === undefined) {
        if ((await Promise.all([...this.#users].map((exists) => exists()))).includes(true)) {
          throw ConfigErrors.SECRETS_UNCONFIGURED(
            `The ${this.source} is gone, but there are secrets that need it. Restore it from its backup, or set secretKeyFile or secretKeyCommand to other keys.`,
          );
        }
        this.#generating ??= this.#source.generate().finally(() => (this.#generating = undefined));
        await this.#generating;
        await this.load();
      }
    }
    if (this.#active) return this.#active;
    throw ConfigErrors.SECRETS_UNCONFIGURED(
      this.problem ??
        "No key to encrypt secrets is configured. Set secretKeyFile or secretKeyCommand, to the same keys on all members. `posthouse secret-key generate` prints a key.",
    );
  }
}
