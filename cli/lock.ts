/**
 * Runs a command while holding a lock. The command is a process group of its own: signals are handed on to all of it,
 * and all of it ends when the lock is lost, since a child left behind would still be at work.
 */
import { spawn } from "node:child_process";
import { messageOf } from "#base";
import type { HeldLock, LockOptions } from "#client";
import type { LoadedSettings } from "#settings";
import { exitBy, exitOf, FORWARDED, say, signalGroup, type Forwarded } from "./child.ts";
import { withControlClient } from "./control-client.ts";
import { inherited } from "./inherited-environment.ts";

/** Of sysexits.h, EX_TEMPFAIL: not acquired in time, or lost on the way; try again. */
const EXIT_NOT_HELD = 75;

/** Those that end the waiting while there is no command yet. */
const ENDING: ReadonlySet<string> = new Set(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]);

export interface LockCommand {
  readonly name: string;
  readonly namespace: string;
  readonly command: readonly [string, ...string[]];
  readonly options: Pick<LockOptions, "value" | "lockDelaySeconds" | "sessionSeconds">;
  /** Gives up after so long; absent: waits for ever. */
  readonly waitSeconds: number | undefined;
  /** Between asking a command to end because the lock was lost, and ending it. */
  readonly graceSeconds: number;
}

/** @returns the exit code: the command's own, or one of those above */
export async function runWithLock(settings: LoadedSettings, lock: LockCommand): Promise<number> {
  const giveUp = new AbortController();
  let asked: Forwarded | undefined;
  let onSignal = (signal: Forwarded): void => {
    if (!ENDING.has(signal)) return;
    asked ??= signal;
    giveUp.abort(new Error(`ended by ${signal}`));
  };
  const listeners = FORWARDED.map((signal) => [signal, () => onSignal(signal)] as const);
  for (const [signal, listener] of listeners) process.on(signal, listener);
  const { waitSeconds } = lock;
  const late = waitSeconds === undefined ? undefined : setTimeout(() => giveUp.abort(), waitSeconds * 1000);
  try {
    return await withControlClient(settings, async (client) => {
      const ref = { namespace: lock.namespace, name: lock.name };
      await using held = await client.lock(ref, { ...lock.options, signal: giveUp.signal });
      clearTimeout(late);
      if (asked) return exitBy(asked);
      return await runHeld(held, lock, (forward) => (onSignal = forward));
    });
  } catch (error) {
    if (asked) return exitBy(asked);
    if (!giveUp.signal.aborted) throw error;
    say(`lock "${lock.name}" was not free within ${waitSeconds} s`);
    return EXIT_NOT_HELD;
  } finally {
    clearTimeout(late);
    for (const [signal, listener] of listeners) process.off(signal, listener);
  }
}

async function runHeld(
  held: HeldLock,
  { name, command: [file, ...args], graceSeconds }: LockCommand,
  onSignal: (forward: (signal: Forwarded) => void) => void,
): Promise<number> {
  const child = spawn(file, args, {
    stdio: "inherit",
    detached: true,
    env: { ...inherited(process.env), LOCK_NAME: name, LOCK_TOKEN: String(held.token) },
  });
  onSignal((signal) => signalGroup(child, signal));
  let kill: NodeJS.Timeout | undefined;
  const lost = () => {
    say(`${messageOf(held.signal.reason)} Ending the command.`);
    signalGroup(child, "SIGTERM");
    kill = setTimeout(() => signalGroup(child, "SIGKILL"), graceSeconds * 1000);
  };
  if (held.signal.aborted) lost();
  else held.signal.addEventListener("abort", lost, { once: true });
  try {
    const code = await exitOf(child, file);
    if (!held.signal.aborted) return code;
    // Whatever the command started and left behind goes, too.
    signalGroup(child, "SIGKILL");
    return EXIT_NOT_HELD;
  } finally {
    clearTimeout(kill);
    held.signal.removeEventListener("abort", lost);
  }
}
