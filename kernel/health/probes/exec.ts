/**
 * Probes by a program on this host. A program runs only when the host's operator has named it: without a shell, without this
 * process's environment, and not beyond its deadline.
 */
import { spawn } from "node:child_process";
import { own } from "#base";
import { critical, failed, passing, PROBE_BODY_BYTES_MAX, warning } from "../result.ts";
import type { ProbeKind } from "./kind.ts";

/** The variables of this process's environment that a program receives. None holds a token. */
const ENVIRONMENT = ["PATH", "HOME", "LANG", "TZ"];

export interface ExecTarget {
  readonly type: "exec";
  readonly program: string;
  readonly args: readonly string[];
}

/** Exit 0 is passing, 1 is warning, everything else is critical, and so is a program that the operator did not allow. */
export const EXEC_PROBE: ProbeKind<ExecTarget> = {
  isHostOnly: true,
  async probe({ program, args }, { context, tools: { execAllow } }) {
    const name = `exec ${program}`;
    if (!execAllow.has(program)) {
      return critical(
        `${name}: not run: this host does not allow it; its operator can add it to the setting agentExecAllow`,
      );
    }
    try {
      const { code, signal, output } = await run(program, args, context.signal);
      const end = code === null ? `killed by ${signal}` : `exit ${code}`;
      const line = `${name}: ${end} ${output}`;
      return code === 0 ? passing(line) : code === 1 ? warning(line) : critical(line);
    } catch (error) {
      return failed(name, error, context);
    }
  },
};

interface ProgramEnd {
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: string;
}

function run(program: string, args: readonly string[], signal: AbortSignal): Promise<ProgramEnd> {
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
        // The group has already ended.
      }
    };
    let ended: ProgramEnd | undefined;
    const finish = () => {
      signal.removeEventListener("abort", cut);
      child.stdout.destroy();
      child.stderr.destroy();
      if (ended) resolve({ ...ended, output: Buffer.concat(chunks).toString("utf8") });
      else reject(signal.reason as Error);
    };
    const cut = () => {
      endGroup();
      // The program has ended, but a descendant that left the group holds the pipes. The result so far is enough.
      if (ended) finish();
    };
    signal.addEventListener("abort", cut, { once: true });
    child.once("error", reject);
    child.once("exit", (code, killedBy) => {
      if (!signal.aborted) ended = { code, signal: killedBy, output: "" };
      endGroup();
      // A descendant that left the group may hold the pipes forever.
      if (signal.aborted) finish();
    });
    child.once("close", finish);
  });
}
