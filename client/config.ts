/**
 * What a service reads its config by: `get` once, `watch` for as long as it runs. A watch hands out the latest whole value,
 * never an older one and never parts of two releases; a value that is bad is told and refused, and the last good one stays.
 */
import { isDeepStrictEqual } from "node:util";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { AppError, messageOf, type Host } from "#base";
import { ConfigErrors, type EffectiveConfig, type SetName } from "#config-server/api";
import { Acknowledger, type Delivery, type WatchStand } from "./acknowledger.ts";
import { ConfigFeed, type ConfigState } from "./config-feed.ts";
import { ConfigSnapshot, type AnySchema, type Found, type ReadOptions, type ValueOf } from "./config-value.ts";
import { ClientErrors } from "./errors.ts";
import { LastKnownGoodFile } from "./last-known-good.ts";
import type { CallOptions, Client, Instance } from "./mod.ts";

export interface FollowOptions extends CallOptions {
  /**
   * `auto`: a change counts as applied once the next one is asked for, unless it was said to have failed. `manual`: only
   * by its own `applied` or `failed`.
   */
  readonly acknowledge?: "auto" | "manual" | undefined;
}

export interface Change<Value> extends Delivery {
  readonly value: Value;
  /** Names the content that it is of. */
  readonly releaseKey: string;
  /** Store revision of that. */
  readonly revision: number;
  /** Whether no server has confirmed it yet: it is from the last-known-good file, or the server is away. */
  readonly stale: boolean;
  /** It is in use: told to the server in the background. The first word stands. */
  applied(): void;
  /** It could not be used: the server is told why, and the service goes on with what it had. */
  failed(error: unknown): void;
}

export interface ConfigReaderOptions {
  readonly client: Client;
  readonly name: SetName;
  /** Who reads, to gradual releases and in acknowledgements. */
  readonly instance: Instance;
  readonly lastKnownGoodFile: string | undefined;
  readonly tell: (problem: AppError) => void;
}

export class ConfigReader implements AsyncDisposable {
  readonly #feed: ConfigFeed;
  readonly #acknowledger: Acknowledger;
  readonly #closing = new AbortController();
  readonly #tell: (problem: AppError) => void;

  constructor(host: Host, { client, name, instance, lastKnownGoodFile: path, tell }: ConfigReaderOptions) {
    const file = path === undefined ? undefined : new LastKnownGoodFile(host, { path, name, tell });
    this.#feed = new ConfigFeed(host, { client, name, instance, file, tell });
    const { id: subscriber, labels } = instance;
    this.#acknowledger = new Acknowledger(host, {
      acknowledge: client.config.acknowledge,
      name,
      subscriber,
      labels,
      tell,
    });
    this.#tell = tell;
  }

  /** Whether what is known is what the server says now, and how old it is if not. */
  get state(): ConfigState {
    return this.#feed.state;
  }

  /**
   * The value of a key, of the latest release that is known. The first call waits for a server, at most 3 s.
   * @throws CONFIG_SET_NOT_FOUND (nothing released), CONFIG_KEY_NOT_FOUND, CLIENT_VALUE_NOT_PARSED, CLIENT_VALUE_INVALID
   * (`extra.issues`), CLIENT_CONFIG_UNKNOWN (no server, no last-known-good file), CLIENT_CLOSED, or what the server refuses
   */
  async get<Schema extends StandardSchemaV1 = AnySchema, Default = never>(
    key: string,
    options: ReadOptions<Schema, Default> & CallOptions = {},
  ): Promise<ValueOf<Schema, Default>> {
    return new ConfigSnapshot(await this.#feed.current(options.signal)).get(key, options);
  }

  /**
   * The latest release whole, to read several keys of one and the same.
   * @throws CONFIG_SET_NOT_FOUND, CLIENT_CONFIG_UNKNOWN, CLIENT_CLOSED, or what the server refuses
   */
  async snapshot({ signal }: CallOptions = {}): Promise<ConfigSnapshot> {
    const effective = await this.#feed.current(signal);
    if (effective.revision > 0) return new ConfigSnapshot(effective);
    const { namespace, app, profile } = effective;
    throw ConfigErrors.SET_NOT_FOUND(`Nothing is released for "${namespace}/${app}/${profile}" yet.`);
  }

  /**
   * The value of a key now, and again whenever it is another one. Never throws of itself, and ends with its signal or with
   * the client. A value that does not parse, does not keep the schema, or has gone without a default is told to
   * `onProblem` and to the server as failed; the next good one follows.
   */
  watch<Schema extends StandardSchemaV1 = AnySchema, Default = never>(
    key: string,
    options: ReadOptions<Schema, Default> & FollowOptions = {},
  ): AsyncGenerator<Change<ValueOf<Schema, Default>>, void, undefined> {
    let before: Found | undefined;
    return this.#follow(options, async (effective) => {
      const snapshot = new ConfigSnapshot(effective);
      const found = snapshot.find(key, options.path);
      if (before && isDeepStrictEqual(before, found)) return { kept: true };
      const value = await snapshot.settle(key, found, options);
      before = found;
      return { kept: false, value };
    });
  }

  /** Each release whole, for what is made of several keys. As `watch` otherwise. */
  watchAll(options: FollowOptions = {}): AsyncGenerator<Change<ConfigSnapshot>, void, undefined> {
    return this.#follow(options, async (effective) =>
      effective.revision === 0 ? { kept: true } : { kept: false, value: new ConfigSnapshot(effective) },
    );
  }

  /** `read` makes a value of a release, or says that it is the one before; what it throws is a bad value. */
  async *#follow<Value>(
    { signal, acknowledge = "auto" }: FollowOptions,
    read: (effective: EffectiveConfig) => Promise<{ kept: true } | { kept: false; value: Value }>,
  ): AsyncGenerator<Change<Value>, void, undefined> {
    const either = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    const stand = this.#acknowledger.join();
    let last: Delivery | undefined;
    try {
      for await (const effective of this.#feed.follow(either)) {
        let made;
        try {
          made = await read(effective);
        } catch (error) {
          this.#refuse(effective, error, stand);
          continue;
        }
        if (either.aborted) return;
        if (made.kept) {
          if (last) stand.keep(effective, last);
          continue;
        }
        last = stand.deliver(effective);
        const { releaseKey, revision } = effective;
        const stale = this.#feed.state.state !== "live";
        yield { value: made.value, releaseKey, revision, stale, ...last };
        if (acknowledge === "auto") last.applied();
      }
    } finally {
      stand.leave();
    }
  }

  #refuse(effective: EffectiveConfig, error: unknown, stand: WatchStand): void {
    stand.deliver(effective).failed(error);
    // A schema of the service's own that throws is told like any other bad value.
    this.#tell(error instanceof AppError ? error : schemaThrew(error));
  }

  /** Ends all watches, says the last word, writes what is still to be written. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#acknowledger[Symbol.asyncDispose]();
    await this.#feed[Symbol.asyncDispose]();
  }
}

function schemaThrew(cause: unknown): AppError {
  return ClientErrors.VALUE_INVALID(`The schema itself threw: ${messageOf(cause)}. Mend it.`, { cause });
}
