/** The latest configs of all sets of a command, and the environment that they form. */
import { setTimeout as sleep } from "node:timers/promises";
import { canonicalJson, messageOf, Trigger } from "#base";
import { isMasked } from "#client";
import type { Acknowledging } from "./acknowledging.ts";
import { say } from "./child.ts";
import type { ConfigSource } from "./config-source.ts";
import { environmentOf, type EffectiveConfig } from "./environment.ts";
import type { ExecCommand } from "./exec-command.ts";

export interface Environment {
  readonly values: Record<string, string>;
  /** The configs that it is made of. */
  readonly configs: readonly EffectiveConfig[];
}

export interface FollowerOptions {
  readonly exec: ExecCommand;
  readonly acknowledging: Acknowledging;
  readonly signal: AbortSignal;
}

export class Follower {
  readonly #exec: ExecCommand;
  readonly #acknowledging: Acknowledging;
  readonly #known: (EffectiveConfig | undefined)[];
  readonly #news = new Trigger();
  readonly #signal: AbortSignal;
  #problem: string | undefined;
  /** Whether this token may not read one of the values, which prevents an environment. */
  #masked = false;

  constructor(source: ConfigSource, { exec, acknowledging, signal }: FollowerOptions) {
    this.#exec = exec;
    this.#acknowledging = acknowledging;
    this.#signal = signal;
    this.#known = exec.sets.map(() => undefined);
    for (const [i, set] of exec.sets.entries()) {
      void this.#follow(source, i, set).catch((error: unknown) => {
        if (!signal.aborted) say(`${set.app}/${set.profile} is no longer followed: ${messageOf(error)}`);
      });
    }
  }

  /** Waits until every set is released and all of them form an environment; or returns why it gave up. */
  async first(): Promise<Environment | { readonly gaveUp: string }> {
    const { wait } = this.#exec;
    const late = wait === undefined ? undefined : AbortSignal.timeout(wait * 1000);
    const signal = late ? AbortSignal.any([this.#signal, late]) : this.#signal;
    for (;;) {
      const environment = this.#environment();
      if (environment) return environment;
      // No release changes the permissions of this token.
      if (this.#masked && wait === undefined) return { gaveUp: `not started: ${this.#problem}` };
      await this.#news.wait(signal);
      this.#signal.throwIfAborted();
      if (late?.aborted) {
        return { gaveUp: `not started within ${wait} s: ${this.#problem ?? "not every set has a release"}` };
      }
    }
  }

  /** The next environment with different values, after a quiet period; undefined when the signal aborts first. */
  async next({ values }: Environment, signal: AbortSignal): Promise<Environment | undefined> {
    const { quietSeconds, quietSecondsMax, splaySeconds } = this.#exec;
    try {
      for (;;) {
        await this.#news.wait(signal);
        const since = performance.now();
        let left = quietSeconds * 1000;
        while (left > 0) {
          const seen = this.#releases();
          await sleep(left, undefined, { signal });
          const leftAtMost = quietSecondsMax * 1000 - (performance.now() - since);
          left = seen === this.#releases() ? 0 : Math.min(quietSeconds * 1000, leftAtMost);
        }
        await sleep(Math.random() * splaySeconds * 1000, undefined, { signal });
        signal.throwIfAborted();
        const next = this.#environment();
        if (next && canonicalJson(next.values) !== canonicalJson(values)) return next;
        // A release with the same values: the command already runs with them.
        if (next) this.#acknowledging.say(next.configs, "applied");
      }
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }

  #releases(): string {
    return this.#known.map((config) => config?.releaseKey).join();
  }

  #environment(): Environment | undefined {
    const configs = this.#known.filter((config) => config !== undefined);
    if (configs.length < this.#known.length) return undefined;
    const result = environmentOf(configs, this.#exec);
    const problem = "problem" in result ? result.problem : undefined;
    if (problem !== undefined && problem !== this.#problem)
      say(`this config cannot be used as an environment: ${problem}`);
    if (problem !== undefined) this.#acknowledging.say(configs, "failed", problem);
    this.#problem = problem;
    this.#masked = configs.some(({ items }) => Object.values(items).some(isMasked));
    return "values" in result ? { values: result.values, configs } : undefined;
  }

  async #follow(
    source: ConfigSource,
    i: number,
    name: { namespace: string; app: string; profile: string },
  ): Promise<void> {
    let away: string | undefined;
    const onAway = (error: unknown) => {
      if (this.#signal.aborted) return;
      if (away !== messageOf(error)) say(messageOf(error));
      away = messageOf(error);
    };
    for await (const config of source.follow(name, { signal: this.#signal, onAway })) {
      away = undefined;
      if (config.revision === 0 && this.#known[i] === undefined) {
        say(`waiting for a first release of ${name.namespace}/${name.app}/${name.profile}`);
        continue;
      }
      this.#known[i] = config;
      this.#news.fire();
    }
  }
}
