/**
 * Probes of this host from within: a program that judges, and a process that should be alive. Programs run only when
 * the host's operator has named them; without a shell, without this process's environment, and not beyond their time.
 */
import { spawn } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { messageOf, own } from "#base";
import type { ExecTarget, ProcessTarget } from "./core/targets.ts";
import {
  critical,
  failed,
  passing,
  PROBE_BODY_BYTES_MAX,
  warning,
  type ProbeContext,
  type ProbeResult,
} from "./result.ts";

/** Of this process's environment, what a program is given: no tokens. */
const ENVIRONMENT = ["PATH", "HOME", "LANG", "TZ"];
/** Ticks of the kernel's clock in a second, as /proc counts start times on every Linux of today. */
const TICKS_PER_SECOND = 100;
/** Seconds by which a process may seem to have begun after its pid file was written: both clocks are rounded. */
const PID_FILE_SLACK_SECONDS = 2;
/** Bytes of a pid file: a number. */
const PID_FILE_BYTES_MAX = 64;

/** Exit 0 is passing, 1 is warning, all else is critical, as is a program that the operator did not allow. */
export async function probeExec(
  { program, args }: ExecTarget,
  context: ProbeContext,
  allowed: ReadonlySet<string>,
): Promise<ProbeResult> {
  const name = `exec ${program}`;
  if (!allowed.has(program)) {
    return critical(`${name}: not run: this host does not allow it; its operator may, with the setting agentExecAllow`);
  }
  try {
    const { code, signal, output } = await run(program, args, context.signal);
    const end = code === null ? `killed by ${signal}` : `exit ${code}`;
    const line = `${name}: ${end} ${output}`;
    return code === 0 ? passing(line) : code === 1 ? warning(line) : critical(line);
  } catch (error) {
    return failed(name, error, context);
  }
}

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: string;
}

function run(program: string, args: readonly string[], signal: AbortSignal): Promise<Ended> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const env = Object.fromEntries(
      ENVIRONMENT.flatMap((key) => (own(process.env, key) ? [[key, own(process.env, key)]] : [])),
    );
    // Detached, it leads a process group of its own, which is ended as a whole.
    const child = spawn(program, args, { detached: true, cwd: "/", env, stdio: ["ignore", "pipe", "pipe"] });
    const chunks: Buffer[] = [];
    let bytes = 0;
    const keep = (chunk: Buffer) => {
      if (bytes < PROBE_BODY_BYTES_MAX) chunks.push(chunk.subarray(0, PROBE_BODY_BYTES_MAX - bytes));
      bytes += chunk.length;
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const endGroup = () => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // It is gone already, with all its children.
      }
    };
    let ended: Ended | undefined;
    const finish = () => {
      signal.removeEventListener("abort", cut);
      child.stdout.destroy();
      child.stderr.destroy();
      if (ended) resolve({ ...ended, output: Buffer.concat(chunks).toString("utf8") });
      else reject(signal.reason as Error);
    };
    const cut = () => {
      endGroup();
      // It has ended, but a descendant that left the group holds the pipes: what is known is enough.
      if (ended) finish();
    };
    signal.addEventListener("abort", cut, { once: true });
    child.once("error", reject);
    child.once("exit", (code, killedBy) => {
      if (!signal.aborted) ended = { code, signal: killedBy, output: "" };
      endGroup();
      // A descendant that left the group may hold the pipes for ever.
      if (signal.aborted) finish();
    });
    child.once("close", finish);
  });
}

/** What a process check remembers between probes: which process had the pid when it was first looked at. */
export interface ProcessMemory {
  seen?: { readonly pid: number; readonly started: string };
}

/**
 * Passing while the process is alive. Where there is /proc, a pid that another process has got since is noticed: by a
 * start later than the first look, or than the pid file.
 */
export async function probeProcess(
  { pid, pidFile }: ProcessTarget,
  context: ProbeContext,
  memory: ProcessMemory,
): Promise<ProbeResult> {
  const name = pid === undefined ? `process of ${pidFile}` : `process ${pid}`;
  try {
    const wanted = pid ?? (await pidIn(pidFile ?? ""));
    const found = await look(wanted);
    if (found === undefined) return critical(`${name}: process ${wanted} is not alive`);
    if (found.started !== undefined) {
      if (pidFile !== undefined && (await startedAfter(found.started, pidFile))) {
        return critical(`${name}: process ${wanted} began after the file was written, so it is another one`);
      }
      const before = memory.seen;
      if (pidFile === undefined && before && before.started !== found.started) {
        return critical(`${name}: the pid belongs to another process by now; state the new one`);
      }
      memory.seen = { pid: wanted, started: found.started };
    }
    return passing(`${name}: process ${wanted} is alive`);
  } catch (error) {
    return failed(name, error, context);
  }
}

/**
 * The process id that a file holds. Every failure reads the same: whoever registers a check must not learn which files of
 * this host exist, how large they are, or who may read them.
 * @throws when it holds none
 */
export async function pidIn(path: string): Promise<number> {
  const text = await smallText(path).catch(() => "");
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new Error(`no process id can be read from ${path}`);
  return Number(text);
}

async function smallText(path: string): Promise<string> {
  const { size } = await stat(path);
  return size > PID_FILE_BYTES_MAX ? "" : (await readFile(path, "utf8")).trim();
}

/** Whether it is alive, and when it began in ticks since boot; undefined when it is not, or is a zombie. */
async function look(pid: number): Promise<{ started: string | undefined } | undefined> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Somebody else's process may not be signalled; that it is there is all we ask.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return undefined;
  }
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name of the program, in parentheses, may hold anything.
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
