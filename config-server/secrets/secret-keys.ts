/**
 * The keys that data keys of secrets are wrapped by: the first encrypts, all of them decrypt. They are read at the start and
 * again and again; what cannot be read leaves the ones that we have. A line is `ID:BASE64`, of 32 bytes; `#` begins a comment.
 */
import { createSecretKey, type KeyObject } from "node:crypto";
import { AppError, messageOf, randomId, type Host, type Random } from "#base";
import { ConfigErrors } from "../api.ts";
import { KEY_BYTES, type WrappingKey } from "./cipher.ts";
import type { KeySource } from "./key-source.ts";

/** Keys at a time: one a month for years. */
export const SECRET_KEYS_MAX = 64;
/** Milliseconds between two tries while there is none. */
const RETRY_MS = 10_000;
const LINE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([A-Za-z0-9+/]{43}=)$/;
const ID_BYTES = 4;

/** A line with a new key, whose id begins with the day on which it was made. */
export function keyLine(random: Random, nowMs: number): string {
  const id = `${new Date(nowMs).toISOString().slice(0, 10)}-${randomId(random, ID_BYTES)}`;
  return `${id}:${Buffer.from(random.bytes(KEY_BYTES)).toString("base64")}`;
}

/** The keys of a text, the active one first. @throws CONFIG_SECRET_KEYS_INVALID, which names the line and never what it says */
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
    if (keys.some((known) => known.id === id)) throw invalid(index + 1, `has the id "${id}" again; ids name one key`);
    if (keys.length === SECRET_KEYS_MAX) throw invalid(index + 1, `is one key too many; ${SECRET_KEYS_MAX} at most`);
    keys.push({ id, key: createSecretKey(bytes) });
    bytes.fill(0);
  }
  if (keys.length === 0) throw ConfigErrors.SECRET_KEYS_INVALID(`The ${where} holds no key.`);
  return keys;
}

export class SecretKeys {
  readonly #host: Host;
  readonly #source: KeySource | undefined;
  readonly #listeners = new Set<() => void>();
  #keys = new Map<string, KeyObject>();
  #active: WrappingKey | undefined;
  #generating: Promise<void> | undefined;
  /** Why they could not be read the last time. */
  problem: string | undefined;

  /** Without a source there are none, and no secret can be released. */
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

  /** Called when there are other keys than before. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Reads them. @throws CONFIG_SECRET_KEYS_INVALID; those that were known then stay */
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

  /** The first time. @throws CONFIG_SECRET_KEYS_INVALID of a source that will not mend by itself */
  async start(): Promise<void> {
    await (this.#source?.remote ? this.reload() : this.load());
  }

  /** As `load`, but what is wrong is told to the log, once, and to the status. */
  async reload(): Promise<void> {
    try {
      await this.load();
      this.problem = undefined;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const message = messageOf(error);
      if (this.problem !== message)
        this.#host.log.error({ code: error.code }, `${message} The keys known so far stay.`);
      this.problem = message;
    }
  }

  /** Reads them again and again. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    while (this.#source && !signal.aborted) {
      const waitMs = this.#active ? this.#source.reloadMs : Math.min(this.#source.reloadMs, RETRY_MS);
      await this.#host.clock.sleep(waitMs, signal).catch(() => {});
      if (!signal.aborted) await this.reload();
    }
  }

  /**
   * The key to encrypt under. The first one is made where we may, unless secrets stand already, whose key was lost then.
   * @throws CONFIG_SECRETS_UNCONFIGURED
   */
  async need(stand: () => Promise<boolean>): Promise<WrappingKey> {
    if (!this.#active && this.#source?.generate) {
      await this.reload();
      if (!this.#active && this.problem === undefined) {
        if (await stand()) {
          throw ConfigErrors.SECRETS_UNCONFIGURED(
            `The ${this.source} is gone, and secrets stand that need it. Bring it back from its backup, or name other keys by the setting secretKeyFile or secretKeyCommand.`,
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
        "There is no key to encrypt secrets with. Have all members know the same: the setting secretKeyFile or secretKeyCommand; `posthouse secret-key generate` prints one.",
    );
  }
}
