/**
 * The last config that the server confirmed, in one file, so that a service can start while no server answers. The file is replaced
 * as a whole, and only its owner can read it. A file that differs from what was written is renamed, not used. Several processes may
 * share it.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Type, type Static } from "typebox";
import { Check as matches } from "typebox/value";
import { canonicalJson, messageOf, randomId, type AppError, type Host } from "#base";
import { replaceFile } from "#base/files";
import { EffectiveConfig, type SetName } from "#config-server/api";
import { FRAME_CHARS_MAX } from "#http/frames";
import { ClientErrors } from "./errors.ts";

/** Readable for the owner only, since values may be secrets. */
const FILE_MODE = 0o600;
/** Bytes that are read: the maximum of a frame in UTF-8, with a margin. */
const FILE_BYTES_MAX = 4 * FRAME_CHARS_MAX;
const TEMP_SUFFIX = ".posthouse-tmp";
/** Milliseconds after which a temporary file counts as abandoned; a write takes a fraction of that. */
const TEMP_ABANDONED_MS = 60_000;

const Content = Type.Object({
  format: Type.Literal(1),
  hash: Type.String({ description: "SHA-256 of the canonical config, in hex." }),
  heardAtMs: Type.Number({ description: "When the server last confirmed it." }),
  revision: Type.Integer({ description: "The store's revision at that time." }),
  config: EffectiveConfig,
});

export interface LastKnownGood {
  readonly config: EffectiveConfig;
  /** When the server last confirmed it. Wall clock, milliseconds since 1970. */
  readonly heardAtMs: number;
  /** The store's revision at that time. */
  readonly revision: number;
}

export class LastKnownGoodFile implements AsyncDisposable {
  readonly #host: Host;
  readonly #path: string;
  readonly #name: SetName;
  readonly #tell: (problem: AppError) => void;
  #next: LastKnownGood | undefined;
  #writing: Promise<void> | undefined;
  #swept = false;

  constructor(host: Host, options: { path: string; name: SetName; tell: (problem: AppError) => void }) {
    this.#host = host;
    this.#path = options.path;
    this.#name = options.name;
    this.#tell = options.tell;
  }

  /** The content of the file; undefined when it does not exist, or is not usable, which is then reported. */
  async load(): Promise<LastKnownGood | undefined> {
    const path = this.#path;
    let content: Static<typeof Content> | undefined;
    try {
      const { size } = await stat(path);
      content = size > FILE_BYTES_MAX ? undefined : parse(await readFile(path, "utf8"));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      this.#tell(
        ClientErrors.LAST_KNOWN_GOOD_UNUSABLE(`${path} cannot be read: ${messageOf(cause)}. Fix its permissions.`, {
          cause,
          extra: { path },
        }),
      );
      return undefined;
    }
    if (!content) return this.#setAside();
    const { config, heardAtMs, revision } = content;
    const { namespace, app, profile } = this.#name;
    if (config.namespace === namespace && config.app === app && config.profile === profile)
      return { config, heardAtMs, revision };
    this.#tell(
      ClientErrors.LAST_KNOWN_GOOD_UNUSABLE(
        `${path} contains the config of "${config.namespace}/${config.app}/${config.profile}", not of "${namespace}/${app}/${profile}". Give each set its own file.`,
        { extra: { path } },
      ),
    );
    return undefined;
  }

  /** Writes it in the background. While a write is under way, only the newest one waits. */
  save(known: LastKnownGood): void {
    this.#next = known;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  async #write(): Promise<void> {
    await this.#sweep();
    while (this.#next) {
      const known = this.#next;
      this.#next = undefined;
      const content: Static<typeof Content> = { format: 1, hash: hashOf(known.config), ...known };
      const unique = `${randomId(this.#host.random, 8)}${TEMP_SUFFIX}`;
      try {
        await replaceFile(this.#path, JSON.stringify(content), FILE_MODE, unique);
      } catch (cause) {
        // A full disk only affects the next start, so this process continues.
        this.#tell(
          ClientErrors.LAST_KNOWN_GOOD_NOT_WRITTEN(
            `${this.#path} was not written: ${messageOf(cause)}. Its old content remains; make its folder writable.`,
            { cause, extra: { path: this.#path } },
          ),
        );
      }
    }
  }

  async #setAside(): Promise<undefined> {
    const aside = `${this.#path}.corrupt`;
    const moved = await rename(this.#path, aside).then(
      () => `It is renamed to ${aside}.`,
      (error: unknown) => `It cannot be renamed: ${messageOf(error)}.`,
    );
    this.#tell(
      ClientErrors.LAST_KNOWN_GOOD_UNUSABLE(`${this.#path} is corrupt or truncated. ${moved}`, {
        extra: { path: this.#path, setAside: aside },
      }),
    );
  }

  /** Removes temporary files that killed processes left beside it. */
  async #sweep(): Promise<void> {
    if (this.#swept) return;
    this.#swept = true;
    const folder = dirname(this.#path);
    const prefix = `${basename(this.#path)}.`;
    for (const name of await readdir(folder).catch(() => [])) {
      if (!name.startsWith(prefix) || !name.endsWith(TEMP_SUFFIX)) continue;
      const path = join(folder, name);
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
      if (this.#host.clock.now() - mtimeMs > TEMP_ABANDONED_MS) await unlink(path).catch(() => {});
    }
  }

  /** Waits until the newest content is written. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing;
  }
}

function parse(text: string): Static<typeof Content> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return matches(Content, value) && value.hash === hashOf(value.config) ? value : undefined;
  } catch {
    return undefined;
  }
}

function hashOf(config: EffectiveConfig): string {
  return createHash("sha256").update(canonicalJson(config)).digest("hex");
}
