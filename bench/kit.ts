/** Shared parts of the benchmarks: pinned processes, CPU time from /proc, percentiles, medians with their spread. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN);
  return { median: at(0.5), min: at(0), max: at(1) };
}

export function percentiles(values: readonly number[]): { p50: number; p99: number; max: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

export function round(value: number): number {
  return Number(value.toPrecision(4));
}

/** Processor time that a process has used, user and system, in microseconds. */
export function cpuMicros(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  const ticksPerSecond = 100;
  return ((Number(fields[11]) + Number(fields[12])) * 1_000_000) / ticksPerSecond;
}

/** Processor time of a process and of its running children, such as the workers of nginx. */
export function cpuMicrosOfTree(pid: number): number {
  const path = `/proc/${pid}/task/${pid}/children`;
  const children = existsSync(path) ? readFileSync(path, "utf8").trim().split(" ").filter(Boolean) : [];
  return children.reduce((sum, child) => sum + cpuMicrosOfTree(Number(child)), cpuMicros(pid));
}

/** Resident memory in MiB. */
export function residentMiB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return round(Number(kib) / 1024);
}

/** Resident memory of a process and of its running children, in MiB. */
export function residentMiBOfTree(pid: number): number {
  const path = `/proc/${pid}/task/${pid}/children`;
  const children = existsSync(path) ? readFileSync(path, "utf8").trim().split(" ").filter(Boolean) : [];
  return round(children.reduce((sum, child) => sum + residentMiBOfTree(Number(child)), residentMiB(pid)));
}

export interface Running extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly output: () => string;
}

/** Starts a program on one core and waits until it has printed `ready`, or for a moment if `ready` is absent. */
export async function startPinned(
  core: number,
  command: string,
  args: readonly string[],
  ready?: RegExp,
): Promise<Running> {
  const child = spawn("taskset", ["-c", String(core), command, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const began = performance.now();
  while (ready ? !ready.test(output) : performance.now() - began < 500) {
    if (child.exitCode !== null || performance.now() - began > 20_000) throw new Error(`${command}: ${output}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    child,
    pid: child.pid as number,
    output: () => output,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      const hard = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await once(child, "exit");
      clearTimeout(hard);
    },
  };
}

/** Checks for the programs that a benchmark needs beside Node. @throws Error with the missing ones */
export function need(...programs: readonly string[]): void {
  const missing = programs.filter((program) => spawnSync("which", [program]).status !== 0);
  if (missing.length > 0)
    throw new Error(
      `the benchmarks need ${missing.join(", ")}: apt-get install etcd-server nginx-light haproxy caddy wrk dnsperf dnsmasq-base knot util-linux`,
    );
}

export function machine(): object {
  const [cpu] = cpus();
  return {
    cpu: cpu?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: spawnSync("uname", ["-r"], { encoding: "utf8" }).stdout.trim(),
    node: process.version,
  };
}
