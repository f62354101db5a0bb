/** A shell that a reader pastes blocks of commands into. */
import { spawn } from "node:child_process";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cleanEnvironment, projectRoot } from "./process.ts";
import { within } from "./temp.ts";

export interface Shell extends AsyncDisposable {
  /** Types a block; returns what it printed on standard output and the exit code of its last command. */
  paste(block: string): Promise<{ output: string; code: number }>;
  /** Everything printed on standard error so far. */
  readonly errors: () => string;
}

/** A shell in a process group of its own, so that everything started in it ends with it. */
export function openShell(
  options: { cwd?: string; environment?: Record<string, string>; pasteMs?: number } = {},
): Shell {
  const child = spawn("bash", ["--norc"], {
    cwd: options.cwd ?? projectRoot,
    env: { ...cleanEnvironment(), ...options.environment },
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const exited = new Promise((resolve) => child.on("exit", resolve));
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  let pasted = 0;
  return {
    async paste(block) {
      output = "";
      const end = `end-of-block-${pasted++}`;
      child.stdin.write(`${block}\nprintf '\\n%s %s\\n' ${end} $?\n`);
      const code = await within(
        options.pasteMs ?? 60_000,
        `the block is done: ${block}`,
        () => new RegExp(`^${end} (\\d+)$`, "m").exec(output)?.[1],
      );
      return { output: output.slice(0, output.indexOf(`\n${end} `)), code: Number(code) };
    },
    errors: () => errors,
    async [Symbol.asyncDispose]() {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      await exited;
    },
  };
}

/** A folder for the PATH in which `posthouse` is the command line of this checkout. */
export async function posthouseOnPath(folder: string): Promise<string> {
  const bin = join(folder, "bin");
  await mkdir(bin, { recursive: true });
  const script = join(bin, "posthouse");
  await writeFile(script, `#!/bin/sh\nexec '${process.execPath}' '${join(projectRoot, "bin/posthouse")}' "$@"\n`);
  await chmod(script, 0o755);
  return `${bin}:${process.env["PATH"]}`;
}
