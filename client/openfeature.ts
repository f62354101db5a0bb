/**
 * An OpenFeature provider for Node. It evaluates flags in this process, from the config that it watches, so an evaluation costs no
 * call and works while the server is away. The SDK belongs to the caller; this file uses only its types.
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
import { Client, type ControlTls, fetchTransport } from "./mod.ts";
import { ProviderEmitter } from "./openfeature-events.ts";

/** Milliseconds that `initialize` waits for the server's first answer. */
const INITIALIZE_MS = 10_000;
const UNAUTHORIZED = 401;
const FORBIDDEN = 403;

export interface PosthouseProviderOptions {
  /** `http://host:port` of a control API. Several are tried in turn. */
  readonly url: string | readonly string[];
  /** How a control API with an https URL is verified. @default by the authorities of the system */
  readonly tls?: ControlTls;
  /** A token with the policy viewer is enough. A function is called at each connection, so that the token can be renewed. */
  readonly token?: string | (() => string | undefined);
  readonly app: string;
  /** `default` when absent, as is `namespace`. */
  readonly profile?: string;
  readonly namespace?: string;
  /** Milliseconds until `initialize` fails; a later answer still makes the provider ready. 10,000 when absent. */
  readonly initializeMs?: number;
}

/** State of a provider after its first `initialize`; each change is an event. */
type ProviderState = "ready" | "stale" | "error";
const EVENT_OF: Readonly<Record<ProviderState, `${ProviderEvents}`>> = {
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
 * Stale: the server is away, and the last flags are served. Error: the server rejects the token, or its flags are not valid; the last
 * flags are still served. `initialize` fails with PROVIDER_FATAL when the server rejects the token.
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
  /** Why the server's latest flags are not served. */
  #refused: string | undefined;
  #lastError: string | undefined;
  /** Undefined until `initialize` has ended, which the SDK reports itself. */
  #state: ProviderState | undefined;

  constructor(options: PosthouseProviderOptions) {
    this.#options = options;
    const { namespace = "default", app, profile = "default" } = options;
    this.#name = { namespace, app, profile };
    // A library writes no log: the SDK receives events.
    this.#host = libraryHost();
  }

  /** Resolves with the first complete state of the server, also when no flags are released yet. */
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
      this.#state = "ready";
    } catch (error) {
      this.#state = "error";
      throw error;
    }
  }

  async onClose(): Promise<void> {
    const run = this.#run;
    this.#run = undefined;
    this.#state = undefined;
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

  /** Values are frozen, since later evaluations return them again. */
  resolveObjectEvaluation<T extends JsonValue>(key: string, _fallback: T, context: EvaluationContext) {
    return this.#resolve<T>("object", key, context);
  }

  /** When this throws, the SDK returns the caller's fallback with the error's code. */
  async #resolve<T>(type: FlagType, key: string, context: EvaluationContext): Promise<ResolutionDetails<T>> {
    if (!this.#set) throw coded("PROVIDER_NOT_READY", "The provider has not received any flags yet.");
    const evaluation = this.#set.evaluate(key, context);
    if (!wasEvaluated(evaluation)) throw coded(evaluation.errorCode, evaluation.errorDetails);
    const { value, variant, reason, metadata } = evaluation;
    const actual = typeOfValue(value);
    if (actual !== type) {
      throw coded("TYPE_MISMATCH", `Flag "${key}" is a ${actual}, but the caller requested a ${type}.`);
    }
    return { value: value as T, variant, reason, flagMetadata: metadata };
  }

  #start(): Run {
    const { url, token, tls } = this.#options;
    const transport = fetchTransport({ urls: typeof url === "string" ? [url] : url, tls });
    const client = new Client(this.#host, { transport, token });
    const first = Promise.withResolvers<void>();
    // `initialize` reports a rejection. Without it, the rejection is ignored.
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
      // Without any flags the state is error, not stale.
      this.#turn(refused || !this.#set ? "error" : "stale", this.#lastError);
    };
    for await (const frame of client.config.watch(this.#name, { signal, onState })) {
      if (frame.event === "reset") continue;
      // Every frame with data contains the whole config.
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
      this.#refused = `The server is at revision ${revision}, but revision ${this.#known.revision} was known before. Its store may be an older copy.`;
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
    // A set without flags answers that each flag is not found.
    this.#set = "set" in flags ? flags.set : new FlagSet().of({ releaseKey });
    const flagsChanged = this.#set.changedSince(before);
    if (before && flagsChanged.length > 0 && this.#state !== undefined) {
      this.events.emit("PROVIDER_CONFIGURATION_CHANGED", { flagsChanged, metadata: { ...this.#set.release } });
    }
  }

  /** Emits an event for each change of state after `initialize`, whose end the SDK reports itself. */
  #turn(state: ProviderState, message?: string): void {
    if (this.#state === undefined || this.#state === state) return;
    this.#state = state;
    this.events.emit(EVENT_OF[state], message === undefined ? {} : { message });
  }
}

function coded(code: `${ErrorCode}`, message: string): Error {
  return Object.assign(new Error(message), { code });
}
