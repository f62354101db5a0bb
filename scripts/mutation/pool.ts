/** A worker process that starts on demand, and is killed with all its children when a job takes too long. */
import { fork, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import type { Job, Outcome } from "./worker.ts";

/** Milliseconds until Vitest is ready in a worker, on a busy machine. */
const START_MS = 120_000;

export class Worker implements AsyncDisposable {
  #child: ChildProcess | undefined;

  /** Undefined: it took longer than `msMax`. */
  async run(job: Job, msMax: number): Promise<Outcome | undefined> {
    if (!this.#child) {
      // A separate group, so that processes of its tests end with it.
      this.#child = fork(join(import.meta.dirname, "worker.ts"), {
        detached: true,
        stdio: ["ignore", "ignore", "ignore", "ipc"],
      });
      if ((await this.#next(START_MS)) !== "ready")
        throw new Error("A worker did not start. Run npx vitest to see why.");
    }
    this.#child.send(job);
    const outcome = (await this.#next(msMax)) as Outcome | undefined;
    if (!outcome) this.#end();
    return outcome;
  }

  #next(msMax: number): Promise<unknown> {
    const child = this.#child;
    return new Promise((resolve) => {
      const settle = (value: unknown) => {
        clearTimeout(timer);
        child?.off("message", settle);
        child?.off("exit", gone);
        resolve(value);
      };
      const gone = () => settle(undefined);
      const timer = setTimeout(gone, msMax);
      child?.on("message", settle);
      child?.on("exit", gone);
    });
  }

  #end(): void {
    const pid = this.#child?.pid;
    this.#child = undefined;
    if (pid === undefined) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
  }
}
