/**
 * Says which releases a command runs with, or why it cannot: once each, again every so often since it is forgotten after an hour,
 * and as often as it takes while nobody answers. It must never keep the command from running or from ending.
 */
import { hostname } from "node:os";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AppError, messageOf, Trigger, startOf } from "#base";
import { say } from "./child.ts";
import type { Acknowledge, ConfigSource } from "./config-source.ts";
import type { EffectiveConfig } from "./environment.ts";

/** Milliseconds after which it is said again: well within the hour that the server keeps it. */
const REPEAT_MS = 20 * 60_000;
/** Milliseconds between tries while nobody answers. */
const RETRY_MS = 2_000;
/** Milliseconds that the end of a command waits for what is still to be said. */
const LAST_WORD_MS = 500;
/** Characters of an error that the server takes. */
const ERROR_CHARS_MAX = 1024;

/** The name of a command as a subscriber: its host's and its own. */
export function subscriberOf(command: string): string {
  const name = `${hostname()}-${basename(command)}`.replaceAll(/[^A-Za-z0-9._-]/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  return name.slice(0, 128) || "exec";
}

export class Acknowledging implements AsyncDisposable {
  readonly #source: ConfigSource;
  readonly #subscriber: string;
  readonly #latest = new Map<string, { readonly config: EffectiveConfig; readonly body: Acknowledge; told: boolean }>();
  readonly #news = new Trigger();
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #problem: string | undefined;

  constructor(source: ConfigSource, subscriber: string) {
    this.#source = source;
    this.#subscriber = subscriber;
    this.#done = this.#run(this.#stop.signal);
  }

  /** What there is to say of these; nothing released is nothing to say. */
  say(configs: readonly EffectiveConfig[], outcome: "applied" | "failed", error?: string): void {
    for (const config of configs) {
      const { namespace, app, profile, releaseKey } = config;
      const body = { releaseKey, outcome, ...(error === undefined ? {} : { error: startOf(error, ERROR_CHARS_MAX) }) };
      const key = `${namespace}/${app}/${profile}`;
      if (JSON.stringify(this.#latest.get(key)?.body) === JSON.stringify(body)) continue;
      if (config.revision > 0) this.#latest.set(key, { config, body, told: false });
    }
    this.#news.fire();
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const isTold = await this.#tellAll(signal);
      const timer = setTimeout(
        () => {
          if (isTold) for (const one of this.#latest.values()) one.told = false;
          this.#news.fire();
        },
        isTold ? REPEAT_MS : RETRY_MS,
      ).unref();
      await this.#news.wait(signal);
      clearTimeout(timer);
    }
  }

  async #tellAll(signal: AbortSignal): Promise<boolean> {
    for (const one of this.#latest.values()) {
      if (one.told) continue;
      const { namespace, app, profile } = one.config;
      try {
        await this.#source.acknowledge({ namespace, app, profile }, this.#subscriber, one.body, signal);
        one.told = true;
        this.#problem = undefined;
      } catch (error) {
        if (signal.aborted) return false;
        if (this.#problem !== messageOf(error)) say(`not acknowledged: ${messageOf(error)}`);
        this.#problem = messageOf(error);
        // What is refused once is refused again; only silence, and what may pass, is worth another try.
        one.told = isRefusal(error);
        if (!one.told) return false;
      }
    }
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const untilMs = performance.now() + LAST_WORD_MS;
    while ([...this.#latest.values()].some(({ told }) => !told) && performance.now() < untilMs) await sleep(10);
    this.#stop.abort(new Error("the command has ended"));
    await this.#done;
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof AppError && error.status < 500 && error.status !== 408 && error.status !== 429;
}
