/**
 * How a service reads its config: `get` once, `watch` for as long as it runs. A watch returns the latest whole value, never an
 * older one and never parts of two releases. A value that is not valid is reported and rejected, and the last good one stays.
 */
import { isDeepStrictEqual } from "node:util";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { AppError, messageOf, type Host } from "#base";
import { ConfigErrors, type EffectiveConfig, type SetName } from "#config-server/api";
import { ConfigFeed, type ConfigState } from "./config-feed.ts";
import { ConfigSnapshot, type AnySchema, type FoundValue, type ReadOptions, type ValueOf } from "./config-value.ts";
import { ClientErrors } from "./errors.ts";
import { FlagReader } from "./flag-reader.ts";
import { Acknowledger, type Delivery, type JoinedWatch } from "./follow/acknowledger.ts";
import { LastKnownGoodFile } from "./last-known-good.ts";
import type { CallOptions, Client, Instance } from "./mod.ts";

export interface FollowOptions extends CallOptions {
  /**
   * `auto`: a change counts as applied once the service asks for the next one, unless the service called `failed`. `manual`: only
   * the change's own `applied` or `failed` count.
   */
  readonly acknowledge?: "auto" | "manual" | undefined;
}

export interface Change<Value> extends Delivery {
  readonly value: Value;
  /** Identifies the content that the value is from. */
  readonly releaseKey: string;
  /** Store revision of that content. */
  readonly revision: number;
  /** Whether no server confirms it now: it is from the last-known-good file, or the server is away. */
  readonly stale: boolean;
  /** The value is in use: acknowledged in the background. Only the first call of `applied` or `failed` counts. */
  applied(): void;
  /** The value could not be used: acknowledged as failed with the reason. The service continues with the value before it. */
  failed(error: unknown): void;
}

export interface ConfigReaderOptions {
  readonly client: Client;
  readonly name: SetName;
  /** The reader: gradual releases select it by its id and labels, and it acknowledges under its id. */
  readonly instance: Instance;
  readonly lastKnownGoodFile: string | undefined;
  readonly tell: (problem: AppError) => void;
}

export class ConfigReader implements AsyncDisposable {
  /** The feature flags among the released values. */
  readonly flags: FlagReader;
  readonly #feed: ConfigFeed;
  readonly #acknowledger: Acknowledger;
  readonly #closing = new AbortController();
  readonly #tell: (problem: AppError) => void;

  constructor(host: Host, { client, name, instance, lastKnownGoodFile: path, tell }: ConfigReaderOptions) {
    const file = path === undefined ? undefined : new LastKnownGoodFile(host, { path, name, tell });
    this.#feed = new ConfigFeed(host, { client, name, instance, file, tell });
    this.flags = new FlagReader(this.#feed);
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

  /** Whether the server confirms the known config now, and its age if not. */
  get state(): ConfigState {
    return this.#feed.state;
  }

  /**
   * The value of a key in the latest known release. The first call waits for a server, at most 3 s.
   * @throws CONFIG_SET_NOT_FOUND (nothing released), CONFIG_KEY_NOT_FOUND, CLIENT_VALUE_NOT_PARSED, CLIENT_VALUE_INVALID
   * (`extra.issues`), CLIENT_CONFIG_UNKNOWN (no server, no last-known-good file), CLIENT_CLOSED, or the server's rejection
   */
  async get<Schema extends StandardSchemaV1 = AnySchema, Default = never>(
    key: string,
    options: ReadOptions<Schema, Default> & CallOptions = {},
  ): Promise<ValueOf<Schema, Default>> {
    return new ConfigSnapshot(await this.#feed.current(options.signal)).get(key, options);
  }

  /**
   * The latest release as a whole, to read several keys of the same release.
   * @throws CONFIG_SET_NOT_FOUND, CLIENT_CONFIG_UNKNOWN, CLIENT_CLOSED, or the server's rejection
   */
  async snapshot({ signal }: CallOptions = {}): Promise<ConfigSnapshot> {
    const effective = await this.#feed.current(signal);
    if (effective.revision > 0) return new ConfigSnapshot(effective);
    const { namespace, app, profile } = effective;
    throw ConfigErrors.SET_NOT_FOUND(`Nothing is released for "${namespace}/${app}/${profile}" yet.`);
  }

  /**
   * The value of a key now, and at each change. Never throws by itself, and ends with its signal or with the client. A value
   * that does not parse, does not match the schema, or is absent without a default is reported to `onProblem` and acknowledged
   * as failed; the next good value follows.
   */
  watch<Schema extends StandardSchemaV1 = AnySchema, Default = never>(
    key: string,
    options: ReadOptions<Schema, Default> & FollowOptions = {},
  ): AsyncGenerator<Change<ValueOf<Schema, Default>>, void, undefined> {
    let before: FoundValue | undefined;
    return this.#follow(options, async (effective) => {
      const snapshot = new ConfigSnapshot(effective);
      const found = snapshot.find(key, options.path);
      if (before && isDeepStrictEqual(before, found)) return { kept: true };
      const value = await snapshot.settle(key, found, options);
      before = found;
      return { kept: false, value };
    });
  }

  /** Each release as a whole, for values made of several keys. Otherwise like `watch`. */
  watchAll(options: FollowOptions = {}): AsyncGenerator<Change<ConfigSnapshot>, void, undefined> {
    return this.#follow(options, async (effective) =>
      effective.revision === 0 ? { kept: true } : { kept: false, value: new ConfigSnapshot(effective) },
    );
  }

  /** `read` makes a value of a release, or returns that the value is unchanged. It throws when the value is not valid. */
  async *#follow<Value>(
    { signal, acknowledge = "auto" }: FollowOptions,
    read: (effective: EffectiveConfig) => Promise<{ kept: true } | { kept: false; value: Value }>,
  ): AsyncGenerator<Change<Value>, void, undefined> {
    const either = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    const watch = this.#acknowledger.join();
    let last: Delivery | undefined;
    try {
      for await (const effective of this.#feed.follow(either)) {
        let made;
        try {
          made = await read(effective);
        } catch (error) {
          this.#refuse(effective, error, watch);
          continue;
        }
        if (either.aborted) return;
        if (made.kept) {
          if (last) watch.keep(effective, last);
          continue;
        }
        last = watch.deliver(effective);
        const { releaseKey, revision } = effective;
        const stale = this.#feed.state.state !== "live";
        yield { value: made.value, releaseKey, revision, stale, ...last };
        if (acknowledge === "auto") last.applied();
      }
    } finally {
      watch.leave();
    }
  }

  #refuse(effective: EffectiveConfig, error: unknown, watch: JoinedWatch): void {
    watch.deliver(effective).failed(error);
    // A schema of the service that throws is reported like any other value that is not valid.
    this.#tell(error instanceof AppError ? error : schemaThrew(error));
  }

  /** Ends all watches, sends the acknowledgements that are due, and finishes writing the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#acknowledger[Symbol.asyncDispose]();
    await this.#feed[Symbol.asyncDispose]();
  }
}

function schemaThrew(cause: unknown): AppError {
  return ClientErrors.VALUE_INVALID(`The schema itself threw: ${messageOf(cause)}. Fix the schema.`, { cause });
}
