/**
 * Runs a command while holding a lock. The command has its own process group: signals are forwarded to the whole group, and the whole
 * group ends when the lock is lost, since a remaining child would continue to work.
 */
import { spawn } from "node:child_process";
import { messageOf } from "#base";
import type { HeldLock, LockOptions } from "#client";
import { ENDING, exitBy, exitOf, FORWARDED, say, signalGroup, type ForwardedSignal } from "./child.ts";
import { type ControlAccess, withControlClient } from "./control-client.ts";
import { inherited } from "./inherited-environment.ts";

/** EX_TEMPFAIL of sysexits.h: the lock was not acquired in time, or was lost. A retry may succeed. */
const EXIT_NOT_HELD = 75;

export interface LockCommand {
  readonly name: string;
  readonly namespace: string;
  readonly command: readonly [string, ...string[]];
  readonly options: Pick<LockOptions, "value" | "lockDelaySeconds" | "sessionSeconds">;
  /** Gives up after this long; absent: waits without a limit. */
  readonly waitSeconds: number | undefined;
  /** Seconds from SIGTERM to SIGKILL once the lock is lost. */
  readonly graceSeconds: number;
}

/** @returns the exit code of the command, or EXIT_NOT_HELD */
export async function runWithLock(settings: ControlAccess, lock: LockCommand): Promise<number> {
  const giveUp = new AbortController();
  let asked: ForwardedSignal | undefined;
  let onSignal = (signal: ForwardedSignal): void => {
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
    say(`lock "${lock.name}" was not acquired within ${waitSeconds} s`);
    return EXIT_NOT_HELD;
  } finally {
    clearTimeout(late);
    for (const [signal, listener] of listeners) process.off(signal, listener);
  }
}

async function runHeld(
  held: HeldLock,
  { name, command: [file, ...args], graceSeconds }: LockCommand,
  onSignal: (forward: (signal: ForwardedSignal) => void) => void,
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
    // Ends the remaining processes that the command started.
    signalGroup(child, "SIGKILL");
    return EXIT_NOT_HELD;
  } finally {
    clearTimeout(kill);
    held.signal.removeEventListener("abort", lost);
  }
}
