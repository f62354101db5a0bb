/**
 * Runs a command with config as its environment, and restarts or signals it when the config changes. The command has its own process
 * group: signals are forwarded to the whole group, and the whole group ends before the next command starts.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "#base";
import type { LoadedSettings } from "#settings";
import { Acknowledging, subscriberOf } from "./acknowledging.ts";
import { ENDING, exitBy, exitOf, FORWARDED, say, signalGroup, type ForwardedSignal } from "./child.ts";
import { withConfigSource } from "./config-source.ts";
import { inherited } from "./inherited-environment.ts";
import { Follower, type Environment } from "./follower.ts";
import type { ExecCommand } from "./exec-command.ts";

/** No config to start the command with arrived in time. */
const EXIT_NO_ENVIRONMENT = 1;

/** @returns the exit code of the command, or one of this program */
export async function runWithConfig(settings: LoadedSettings, exec: ExecCommand): Promise<number> {
  const stop = new AbortController();
  let asked: ForwardedSignal | undefined;
  let child: ChildProcess | undefined;
  const onSignal = (signal: ForwardedSignal): void => {
    // For a running command, SIGHUP often only means to read its files again.
    if (ENDING.has(signal) && !(child && signal === "SIGHUP")) asked ??= signal;
    if (child) signalGroup(child, signal);
    else if (asked) stop.abort(new Error(`ended by ${signal}`));
  };
  const listeners = FORWARDED.map((signal) => [signal, () => onSignal(signal)] as const);
  for (const [signal, listener] of listeners) process.on(signal, listener);
  try {
    return await withConfigSource(settings, async (source) => {
      await using acknowledging = new Acknowledging(source, exec.subscriber ?? subscriberOf(exec.command[0]));
      const follower = new Follower(source, { exec, acknowledging, signal: stop.signal });
      try {
        const first = await follower.first();
        if ("gaveUp" in first) {
          say(first.gaveUp);
          return EXIT_NO_ENVIRONMENT;
        }
        let environment = first;
        for (;;) {
          if (asked) return exitBy(asked);
          child = start(exec, environment);
          const running = child;
          const exited = exitOf(running, exec.command[0]);
          acknowledgeStart(running, environment, acknowledging);
          const next = await changed(follower, {
            exec,
            environment,
            exited,
            onSignal: ({ configs }) => {
              signalGroup(running, exec.signal);
              acknowledging.say(configs, "applied");
            },
          });
          if (typeof next === "number") return next;
          say("the config changed; restarting the command");
          await end(running, exited, exec.graceSeconds);
          child = undefined;
          environment = next;
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

/** A release is applied once the command was started with it. */
function acknowledgeStart(child: ChildProcess, { configs }: Environment, acknowledging: Acknowledging): void {
  child.once("spawn", () => acknowledging.say(configs, "applied"));
  child.once("error", (error) => acknowledging.say(configs, "failed", messageOf(error)));
}

/** The exit code of a command that ended by itself, or the environment to restart it with. */
async function changed(
  follower: Follower,
  options: {
    exec: ExecCommand;
    environment: Environment;
    exited: Promise<number>;
    onSignal: (environment: Environment) => void;
  },
): Promise<number | Environment> {
  const { exec, exited, onSignal } = options;
  if (exec.onChange === "none") return exited;
  const done = new AbortController();
  void exited.then(() => done.abort());
  let { environment } = options;
  for (;;) {
    const next = await follower.next(environment, done.signal);
    if (next === undefined) return exited;
    if (exec.onChange === "restart") return next;
    // Its environment stays the same; the command decides what it reads again at a signal.
    environment = next;
    onSignal(next);
  }
}

function start({ command: [file, ...args] }: ExecCommand, { values }: Environment): ChildProcess {
  return spawn(file, args, { stdio: "inherit", detached: true, env: { ...inherited(process.env), ...values } });
}

/** Sends SIGTERM, waits for the grace period, and sends SIGKILL to the rest of the group. */
async function end(child: ChildProcess, exited: Promise<number>, graceSeconds: number): Promise<void> {
  signalGroup(child, "SIGTERM");
  const late = new AbortController();
  await Promise.race([exited, sleep(graceSeconds * 1000, undefined, { signal: late.signal }).catch(() => {})]);
  late.abort();
  signalGroup(child, "SIGKILL");
  await exited;
}
