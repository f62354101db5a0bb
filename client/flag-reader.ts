/**
 * Feature flags of the app's config, evaluated in this process. A flag that cannot be evaluated has the caller's default; `details`
 * says why. For the OpenFeature SDK, see `posthouse/openfeature`.
 */
import { messageOf } from "#base";
import type { EffectiveConfig } from "#config-server/api";
import type { FlagSet } from "#flags/core";
import type { ConfigFeed } from "./config-feed.ts";

type FlagValue = boolean | string | number | object;

/** Facts about the caller that rules of flags test. `targetingKey` decides in gradual releases of a flag. */
export interface FlagContext {
  readonly targetingKey?: string;
  readonly [name: string]: unknown;
}

export interface FlagDetails<Value> {
  readonly value: Value;
  /** Absent: the default. */
  readonly variant?: string | undefined;
  /** Such as `TARGETING_MATCH`, `SPLIT`, `DEFAULT`, or `ERROR` when the value is the caller's default. */
  readonly reason: string;
  readonly errorCode?: string;
  readonly errorMessage?: string;
}

export class FlagReader {
  readonly #feed: ConfigFeed;
  #known: { readonly releaseKey: string; readonly flags: FlagSet | { readonly problem: string } } | undefined;

  constructor(feed: ConfigFeed) {
    this.#feed = feed;
  }

  boolean = async (key: string, fallback: boolean, context: FlagContext = {}): Promise<boolean> =>
    (await this.details(key, fallback, context)).value;

  string = async (key: string, fallback: string, context: FlagContext = {}): Promise<string> =>
    (await this.details(key, fallback, context)).value;

  number = async (key: string, fallback: number, context: FlagContext = {}): Promise<number> =>
    (await this.details(key, fallback, context)).value;

  object = async <Value extends object>(key: string, fallback: Value, context: FlagContext = {}): Promise<Value> =>
    (await this.details(key, fallback, context)).value;

  /** The value with the reason for it. Never throws. */
  async details<Value extends FlagValue>(
    key: string,
    fallback: Value,
    context: FlagContext = {},
  ): Promise<FlagDetails<Value>> {
    const failed = (errorCode: string, errorMessage: string): FlagDetails<Value> => ({
      value: fallback,
      reason: "ERROR",
      errorCode,
      errorMessage,
    });
    try {
      const { typeOfValue, wasEvaluated } = await import("#flags/core");
      const flags = await this.#flags(await this.#feed.current());
      if ("problem" in flags) return failed("PARSE_ERROR", flags.problem);
      const found = flags.evaluate(key, context);
      if (!wasEvaluated(found)) return failed(found.errorCode, found.errorDetails);
      const [actual, wanted] = [typeOfValue(found.value), typeof fallback];
      if (actual !== wanted)
        return failed("TYPE_MISMATCH", `Flag "${key}" is a ${actual}, but the default is a ${wanted}.`);
      return { value: found.value as Value, variant: found.variant, reason: found.reason };
    } catch (error) {
      return failed("PROVIDER_NOT_READY", messageOf(error));
    }
  }

  async #flags(config: EffectiveConfig): Promise<FlagSet | { readonly problem: string }> {
    const { releaseKey } = config;
    if (this.#known?.releaseKey === releaseKey) return this.#known.flags;
    // Loaded with the first flag: patterns of flags need a package of their own.
    const { FlagSet, flagsOf } = await import("#flags/core");
    const read = flagsOf(config);
    const flags = "problem" in read ? read : "set" in read ? read.set : new FlagSet().of({ releaseKey });
    this.#known = { releaseKey, flags };
    return flags;
  }
}
