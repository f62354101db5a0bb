/**
 * An OpenFeature provider for Node: flags are evaluated in this process, from the config that is watched, so a question
 * costs no call and is answered while the server is away. The SDK is the caller's; of it only types are used here.
 */
import type {
  ErrorCode,
  EvaluationContext,
  JsonValue,
  Provider,
  ProviderEvents,
  ResolutionDetails,
} from "@openfeature/server-sdk";
import { AppError, deadline, messageOf, TaskGroup, type Host } from "#base";
import { libraryHost } from "#base/library";
import type { EffectiveConfig, SetName } from "#config-server/api";
import { FlagSet, flagsOf, typeOfValue, wasEvaluated, type FlagType } from "#flags/core";
import { Client, fetchTransport } from "./mod.ts";
import { ProviderEmitter } from "./openfeature-events.ts";

/** Milliseconds that `initialize` waits for the server's first answer. */
const INITIALIZE_MS = 10_000;
const UNAUTHORIZED = 401;
const FORBIDDEN = 403;

export interface PosthouseProviderOptions {
  /** `http://host:port` of a control API; several are tried in turn. */
  readonly url: string | readonly string[];
  /** A token of the role reader is enough. A function is asked at each connection, so that a token may be renewed. */
  readonly token?: string | (() => string | undefined);
  readonly app: string;
  /** `default` when absent, as is `namespace`. */
  readonly profile?: string;
  readonly namespace?: string;
  /** Milliseconds until `initialize` fails; what comes later still makes the provider ready. 10,000 when absent. */
  readonly initializeMs?: number;
}

/** Where a provider stands once it has been ready; each turn is told as an event. */
type Standing = "ready" | "stale" | "error";
const EVENT_OF: Readonly<Record<Standing, `${ProviderEvents}`>> = {
  ready: "PROVIDER_READY",
  stale: "PROVIDER_STALE",
  error: "PROVIDER_ERROR",
};

/** One run between `initialize` and `onClose`. */
interface Run extends AsyncDisposable {
  readonly first: PromiseWithResolvers<void>;
}

/**
 * `OpenFeature.setProviderAndWait(new PosthouseProvider({ url, token, app }))`.
 *
 * Stale: the server is away, and what was known is served. Error: the server refuses the token, or its flags cannot be
 * read; what was known is served all the same. `initialize` fails with PROVIDER_FATAL when the token is refused.
 */
export class PosthouseProvider implements Provider {
  readonly metadata = { name: "posthouse" } as const;
  readonly runsOn = "server";
  readonly events = new ProviderEmitter();
  readonly #options: PosthouseProviderOptions;
  readonly #name: SetName;
  readonly #host: Host;
  #run: Run | undefined;
  #set: FlagSet | undefined;
  #known: { readonly releaseKey: string; readonly revision: number } | undefined;
  /** Why the server's latest flags are not what is served. */
  #refused: string | undefined;
  #lastError: string | undefined;
  /** Undefined until the SDK has been told of the first. */
  #standing: Standing | undefined;

  constructor(options: PosthouseProviderOptions) {
    this.#options = options;
    const { namespace = "default", app, profile = "default" } = options;
    this.#name = { namespace, app, profile };
    // A library keeps quiet: what happens is told to the SDK as events.
    this.#host = libraryHost();
  }

  /** Resolves with the first whole state of the server, also when no flags are released yet. */
  async initialize(): Promise<void> {
    this.#run ??= this.#start();
    const { initializeMs = INITIALIZE_MS } = this.#options;
    using late = deadline(this.#host.clock, initializeMs);
    const timeout = Promise.withResolvers<never>();
    late.signal.addEventListener("abort", () =>
      timeout.reject(
        coded(
          "PROVIDER_NOT_READY",
          `No flags from ${String(this.#options.url)} within ${initializeMs} ms${this.#lastError === undefined ? "" : `: ${this.#lastError}`}`,
        ),
      ),
    );
    try {
      await Promise.race([this.#run.first.promise, timeout.promise]);
      this.#standing = "ready";
    } catch (error) {
      this.#standing = "error";
      throw error;
    }
  }

  async onClose(): Promise<void> {
    const run = this.#run;
    this.#run = undefined;
    this.#standing = undefined;
    await run?.[Symbol.asyncDispose]();
  }

  resolveBooleanEvaluation(key: string, _fallback: boolean, context: EvaluationContext) {
    return this.#resolve<boolean>("boolean", key, context);
  }

  resolveStringEvaluation(key: string, _fallback: string, context: EvaluationContext) {
    return this.#resolve<string>("string", key, context);
  }

  resolveNumberEvaluation(key: string, _fallback: number, context: EvaluationContext) {
    return this.#resolve<number>("number", key, context);
  }

  /** Values are frozen: they are handed out again. */
  resolveObjectEvaluation<T extends JsonValue>(key: string, _fallback: T, context: EvaluationContext) {
    return this.#resolve<T>("object", key, context);
  }

  /** The SDK makes the caller's fallback of whatever is thrown, and tells its code. */
  async #resolve<T>(type: FlagType, key: string, context: EvaluationContext): Promise<ResolutionDetails<T>> {
    if (!this.#set) throw coded("PROVIDER_NOT_READY", "No flags were heard of yet.");
    const evaluation = this.#set.evaluate(key, context);
    if (!wasEvaluated(evaluation)) throw coded(evaluation.errorCode, evaluation.errorDetails);
    const { value, variant, reason, metadata } = evaluation;
    const actual = typeOfValue(value);
    if (actual !== type) {
      throw coded("TYPE_MISMATCH", `Flag "${key}" is a ${actual}, and a ${type} was asked for.`);
    }
    return { value: value as T, variant, reason, flagMetadata: metadata };
  }

  #start(): Run {
    const { url, token } = this.#options;
    const transport = fetchTransport({ urls: typeof url === "string" ? [url] : url });
    const client = new Client(this.#host, { transport, token });
    const first = Promise.withResolvers<void>();
    // Whoever initializes hears of it; nobody else need.
    first.promise.catch(() => {});
    const tasks = new TaskGroup(this.#host.log);
    tasks.run("flags", (signal) => this.#follow(client, first, signal));
    return {
      first,
      [Symbol.asyncDispose]: async () => {
        first.reject(coded("PROVIDER_NOT_READY", "The provider was closed."));
        await tasks[Symbol.asyncDispose]();
        await transport[Symbol.asyncDispose]();
      },
    };
  }

  async #follow(client: Client, first: Run["first"], signal: AbortSignal): Promise<void> {
    const onState = (state: "connected" | "disconnected", error?: unknown) => {
      if (state === "connected" || signal.aborted) return;
      this.#lastError = error === undefined ? "the server ended the stream" : messageOf(error);
      const refused = error instanceof AppError && (error.status === UNAUTHORIZED || error.status === FORBIDDEN);
      if (refused) first.reject(coded("PROVIDER_FATAL", this.#lastError));
      // Nothing is stale before something was known.
      this.#turn(refused || !this.#set ? "error" : "stale", this.#lastError);
    };
    for await (const frame of client.config.watch(this.#name, { signal, onState })) {
      if (frame.event === "reset") continue;
      // Every frame with data is the whole of it.
      if (frame.data !== undefined) this.#take(frame.data);
      if (frame.event === "snapshot") continue;
      if (this.#refused === undefined) {
        this.#turn("ready");
        first.resolve();
      } else {
        if (this.#set === undefined) first.reject(coded("PARSE_ERROR", this.#refused));
        this.#turn("error", this.#refused);
      }
    }
  }

  #take(config: EffectiveConfig): void {
    const { releaseKey, revision } = config;
    if (releaseKey === this.#known?.releaseKey) {
      this.#refused = undefined;
      return;
    }
    if (this.#known && revision < this.#known.revision) {
      this.#refused = `The server is at revision ${revision}, and revision ${this.#known.revision} was known: is its store an older copy?`;
      return;
    }
    const flags = flagsOf(config);
    if ("problem" in flags) {
      this.#refused = flags.problem;
      return;
    }
    const before = this.#set;
    this.#refused = undefined;
    this.#known = { releaseKey, revision };
    // A set without flags says of each that it is not found, which is so.
    this.#set = "set" in flags ? flags.set : new FlagSet().of({ releaseKey });
    const flagsChanged = this.#set.changedSince(before);
    if (before && flagsChanged.length > 0 && this.#standing !== undefined) {
      this.events.emit("PROVIDER_CONFIGURATION_CHANGED", { flagsChanged, metadata: { ...this.#set.release } });
    }
  }

  /** The SDK itself tells of how `initialize` ended; every turn after that is told here. */
  #turn(standing: Standing, message?: string): void {
    if (this.#standing === undefined || this.#standing === standing) return;
    this.#standing = standing;
    this.events.emit(EVENT_OF[standing], message === undefined ? {} : { message });
  }
}

function coded(code: `${ErrorCode}`, message: string): Error {
  return Object.assign(new Error(message), { code });
}
