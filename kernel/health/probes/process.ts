/** Probes of a process that should be alive on this host, by its pid or by a file that holds it. */
import { readFile, stat } from "node:fs/promises";
import { messageOf } from "#base";
import { critical, failed, passing } from "../result.ts";
import type { ProbeKind } from "./kind.ts";

/** Ticks of the kernel's clock in a second, in which /proc counts start times on every current Linux. */
const TICKS_PER_SECOND = 100;
/** Seconds by which a process may seem to have begun after its pid file was written, because both clocks are rounded. */
const PID_FILE_SLACK_SECONDS = 2;
/** Bytes of a pid file: a number. */
const PID_FILE_BYTES_MAX = 64;

export interface ProcessTarget {
  readonly type: "process";
  readonly pid?: number;
  readonly pidFile?: string;
}

/**
 * Passing while the process is alive. Where there is /proc, a pid that was reused for another process is noticed: the process
 * began after the first probe, or after the pid file was written.
 */
export const PROCESS_PROBE: ProbeKind<ProcessTarget> = {
  isHostOnly: true,
  async probe({ pid, pidFile }, { context, memory }) {
    const name = pid === undefined ? `process of ${pidFile}` : `process ${pid}`;
    try {
      const wanted = pid ?? (await pidIn(pidFile ?? ""));
      const found = await inspect(wanted);
      if (found === undefined) return critical(`${name}: process ${wanted} is not alive`);
      if (found.started !== undefined) {
        if (pidFile !== undefined && (await startedAfter(found.started, pidFile))) {
          return critical(`${name}: process ${wanted} began after the file was written, so it is another process`);
        }
        const before = memory.seen;
        if (pidFile === undefined && before && before.started !== found.started) {
          return critical(`${name}: the pid now belongs to another process; register the check with the new pid`);
        }
        memory.seen = { pid: wanted, started: found.started };
      }
      return passing(`${name}: process ${wanted} is alive`);
    } catch (error) {
      return failed(name, error, context);
    }
  },
};

/**
 * The process id that a file holds. Every failure reads the same, because the client that registers a check must not learn which
 * files exist on this host, how large they are, or who may read them.
 * @throws Error when it holds none
 */
export async function pidIn(path: string): Promise<number> {
  const text = await smallText(path).catch(() => "");
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new Error(`cannot read a process id from ${path}`);
  return Number(text);
}

async function smallText(path: string): Promise<string> {
  const { size } = await stat(path);
  return size > PID_FILE_BYTES_MAX ? "" : (await readFile(path, "utf8")).trim();
}

/** Undefined for a process that is not alive, or is a zombie. `started`: ticks since boot, where known. */
async function inspect(pid: number): Promise<{ started: string | undefined } | undefined> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: the process exists and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return undefined;
  }
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // The program's name, in parentheses, may contain anything.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : { started: fields[19] };
  } catch (error) {
    if (messageOf(error).includes("ESRCH")) return undefined;
    return { started: undefined };
  }
}

async function startedAfter(ticks: string, path: string): Promise<boolean> {
  const boot = /^btime (\d+)$/m.exec(await readFile("/proc/stat", "utf8"))?.[1];
  if (boot === undefined) return false;
  const startedSeconds = Number(boot) + Number(ticks) / TICKS_PER_SECOND;
  return startedSeconds > (await stat(path)).mtimeMs / 1000 + PID_FILE_SLACK_SECONDS;
}
