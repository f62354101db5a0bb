/**
 * Runs a command with config as its environment, and restarts or signals it when that changes. The command is a process group of
 * its own: signals are handed on to all of it, and all of it ends before the next one starts.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { canonicalJson, messageOf, Trigger } from "#base";
import type { Client } from "#client";
import type { LoadedSettings } from "#settings";
import { exitBy, exitOf, FORWARDED, say, signalGroup, type Forwarded } from "./child.ts";
import { withControlClient } from "./control-client.ts";
import { environmentOf, type EffectiveConfig, type NamedVariable } from "./environment.ts";

/** Those that end us while there is no command to hand them to, and keep a command from being started again. */
const ENDING: ReadonlySet<string> = new Set(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]);

export interface ExecCommand {
  readonly namespace: string;
  readonly sets: readonly { readonly app: string; readonly profile: string }[];
  readonly prefix: string;
  readonly variables: readonly NamedVariable[];
  readonly command: readonly [string, ...string[]];
  readonly onChange: "restart" | "signal" | "none";
  /** What `onChange: "signal"` sends. */
  readonly signal: NodeJS.Signals;
  /** A change is acted on once nothing has changed for so long, and after so long at the most. */
  readonly quietSeconds: number;
  readonly quietSecondsMax: number;
  /** And then after a random part of this, so that not all hosts restart at once. */
  readonly splaySeconds: number;
  /** Between asking a command to end and ending it. */
  readonly graceSeconds: number;
}

/** @returns the exit code: the command's own, or one of those above */
export async function runWithConfig(settings: LoadedSettings, exec: ExecCommand): Promise<number> {
  const stop = new AbortController();
  let asked: Forwarded | undefined;
  let child: ChildProcess | undefined;
  const onSignal = (signal: Forwarded): void => {
    // To a command that runs, SIGHUP often says no more than to read its files anew.
    if (ENDING.has(signal) && !(child && signal === "SIGHUP")) asked ??= signal;
    if (child) signalGroup(child, signal);
    else if (asked) stop.abort(new Error(`ended by ${signal}`));
  };
  const listeners = FORWARDED.map((signal) => [signal, () => onSignal(signal)] as const);
  for (const [signal, listener] of listeners) process.on(signal, listener);
  try {
    return await withControlClient(settings, async (client) => {
      const follower = new Follower(client, exec, stop.signal);
      try {
        let values = await follower.first();
        for (;;) {
          if (asked) return exitBy(asked);
          child = start(exec, values);
          const running = child;
          const exited = exitOf(running, exec.command[0]);
          const next = await changed(follower, {
            exec,
            values,
            exited,
            onSignal: () => signalGroup(running, exec.signal),
          });
          if (typeof next === "number") return next;
          say("the config changed; restarting the command");
          await end(running, exited, exec.graceSeconds);
          child = undefined;
          values = next;
        }
      } finally {
        stop.abort(new Error("the command has ended"));
      }
    });
  } catch (error) {
    if (asked) return exitBy(asked);
    throw error;
  } finally {
    for (const [signal, listener] of listeners) process.off(signal, listener);
  }
}

/** The exit code of a command that ended by itself, or the values to start it anew with. */
async function changed(
  follower: Follower,
  options: { exec: ExecCommand; values: Record<string, string>; exited: Promise<number>; onSignal: () => void },
): Promise<number | Record<string, string>> {
  const { exec, exited, onSignal } = options;
  if (exec.onChange === "none") return exited;
  const done = new AbortController();
  void exited.then(() => done.abort());
  let { values } = options;
  for (;;) {
    const next = await follower.next(values, done.signal);
    if (next === undefined) return exited;
    if (exec.onChange === "restart") return next;
    // Its environment stays as it was; what it reads anew at a signal is its own business.
    values = next;
    onSignal();
  }
}

/** The latest of every set, and the variables they make together. */
class Follower {
  readonly #exec: ExecCommand;
  readonly #known: (EffectiveConfig | undefined)[];
  readonly #news = new Trigger();
  readonly #signal: AbortSignal;
  #problem: string | undefined;

  constructor(client: Client, exec: ExecCommand, signal: AbortSignal) {
    this.#exec = exec;
    this.#signal = signal;
    this.#known = exec.sets.map(() => undefined);
    for (const [i, set] of exec.sets.entries()) {
      void this.#follow(client, i, { namespace: exec.namespace, ...set }).catch((error: unknown) => {
        if (!signal.aborted) say(`${set.app}/${set.profile} is followed no more: ${messageOf(error)}`);
      });
    }
  }

  /** Waits until every set is released and all of them make an environment. */
  async first(): Promise<Record<string, string>> {
    for (;;) {
      const values = this.#values();
      if (values) return values;
      await this.#news.wait(this.#signal);
      this.#signal.throwIfAborted();
    }
  }

  /** Other values than these, once it is quiet; undefined when the signal aborts first. */
  async next(values: Record<string, string>, signal: AbortSignal): Promise<Record<string, string> | undefined> {
    const { quietSeconds, quietSecondsMax, splaySeconds } = this.#exec;
    try {
      for (;;) {
        await this.#news.wait(signal);
        const since = performance.now();
        let left = quietSeconds * 1000;
        while (left > 0) {
          const seen = this.#known.map((config) => config?.releaseKey).join();
          await sleep(left, undefined, { signal });
          const leftAtMost = quietSecondsMax * 1000 - (performance.now() - since);
          const quiet = seen === this.#known.map((config) => config?.releaseKey).join();
          left = quiet ? 0 : Math.min(quietSeconds * 1000, leftAtMost);
        }
        await sleep(Math.random() * splaySeconds * 1000, undefined, { signal });
        signal.throwIfAborted();
        const next = this.#values();
        if (next && canonicalJson(next) !== canonicalJson(values)) return next;
      }
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }

  #values(): Record<string, string> | undefined {
    const configs = this.#known.filter((config) => config !== undefined);
    if (configs.length < this.#known.length) return undefined;
    const result = environmentOf(configs, this.#exec);
    const problem = "problem" in result ? result.problem : undefined;
    if (problem !== undefined && problem !== this.#problem) say(`this config makes no environment: ${problem}`);
    this.#problem = problem;
    return "values" in result ? result.values : undefined;
  }

  async #follow(client: Client, i: number, name: { namespace: string; app: string; profile: string }): Promise<void> {
    let away: string | undefined;
    const onState = (state: "connected" | "disconnected", error?: unknown) => {
      if (state === "connected" || error === undefined || this.#signal.aborted) return;
      if (away !== messageOf(error)) say(messageOf(error));
      away = messageOf(error);
    };
    for await (const frame of client.config.watch(name, { signal: this.#signal, onState })) {
      away = undefined;
      if (frame.event !== "snapshot" && frame.event !== "delta") continue;
      const config = frame.data as EffectiveConfig;
      if (config.revision === 0 && this.#known[i] === undefined) {
        say(`nothing is released for ${name.namespace}/${name.app}/${name.profile} yet; waiting`);
        continue;
      }
      this.#known[i] = config;
      this.#news.fire();
    }
  }
}

function start({ command: [file, ...args] }: ExecCommand, values: Record<string, string>): ChildProcess {
  return spawn(file, args, { stdio: "inherit", detached: true, env: { ...process.env, ...values } });
}

/** SIGTERM, a grace, SIGKILL for all that is left of its group. */
async function end(child: ChildProcess, exited: Promise<number>, graceSeconds: number): Promise<void> {
  signalGroup(child, "SIGTERM");
  const late = new AbortController();
  await Promise.race([exited, sleep(graceSeconds * 1000, undefined, { signal: late.signal }).catch(() => {})]);
  late.abort();
  signalGroup(child, "SIGKILL");
  await exited;
}
