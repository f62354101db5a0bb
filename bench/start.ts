/**
 * The time until posthouse reports that it is up with all roles, and until it is ready; its memory then; and what a start and the
 * short commands cost, as multiples of `node -e 0` in the same run, because machines differ.
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot, startPosthouse } from "#test/kit";
import { cpuMicros, residentMiB, round, spread } from "./kit.ts";

const STARTS = 7;
const PROGRAM = join(projectRoot, "bin", "posthouse");
const COMMANDS = {
  "node -e 0": ["-e", "0"],
  "posthouse --help": [PROGRAM, "--help"],
  "posthouse version": [PROGRAM, "version"],
};
/** A command that asks the server, measured while one runs. */
const ASKING = ["posthouse services ls", [PROGRAM, "services", "ls"]] as const;

interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** One run of Node to its end. The shell's `times` has the CPU time of its children. */
function costOf(args: readonly string[], environment: Record<string, string> = {}): Cost {
  const began = performance.now();
  const { stdout } = spawnSync("sh", ["-c", '"$@" >/dev/null; times', "sh", process.execPath, ...args], {
    encoding: "utf8",
    env: { ...process.env, ...environment },
  });
  const wallMs = performance.now() - began;
  const [, children = ""] = stdout.trim().split("\n");
  const cpuMs = [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60_000 + Number(seconds) * 1_000,
    0,
  );
  return { wallMs, cpuMs };
}

export async function benchStart(): Promise<object> {
  const folder = await mkdtemp(join(tmpdir(), "posthouse-bench-"));
  const upMs: number[] = [];
  const readyMs: number[] = [];
  const readyCpuMs: number[] = [];
  const memory: number[] = [];
  const costs = new Map<string, Cost[]>([...Object.keys(COMMANDS), ASKING[0]].map((name) => [name, []]));
  let firstUpMs = 0;
  let token = "";
  try {
    for (let i = 0; i <= STARTS; i++) {
      for (const [name, args] of Object.entries(COMMANDS)) costs.get(name)?.push(costOf(args));
      const began = performance.now();
      await using posthouse = await startPosthouse({ data: folder });
      const up = performance.now() - began;
      while ((await fetch(`${posthouse.api}/readyz`)).status !== 200)
        await new Promise((resolve) => setTimeout(resolve, 5));
      const ready = performance.now() - began;
      const pid = posthouse.child.pid as number;
      // The token is printed at the first start only.
      token = posthouse.token ?? token;
      const cpuMs = cpuMicros(pid) / 1_000;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      // The very first start makes the certificate authority and the operator's token.
      if (i === 0) firstUpMs = Math.round(up);
      else {
        upMs.push(up);
        readyMs.push(ready);
        readyCpuMs.push(cpuMs);
        memory.push(residentMiB(pid));
      }
      const environment = { POSTHOUSE_CONTROL_URLS: posthouse.api, POSTHOUSE_TOKEN: token };
      costs.get(ASKING[0])?.push(costOf(ASKING[1], environment));
      await posthouse.stop();
    }
    const median = (values: readonly number[]) => spread(values).median;
    const node = costs.get("node -e 0") ?? [];
    const nodeWallMs = median(node.map(({ wallMs }) => wallMs));
    const nodeCpuMs = median(node.map(({ cpuMs }) => cpuMs));
    const times = (wallMs: number, cpuMs: number) => ({
      wall: round(wallMs / nodeWallMs),
      cpu: round(cpuMs / nodeCpuMs),
    });
    return {
      starts: STARTS,
      firstUpMs,
      upMs: spread(upMs),
      readyMs: spread(readyMs),
      readyCpuMs: spread(readyCpuMs),
      residentMiB: spread(memory),
      nodeWallMs,
      nodeCpuMs,
      multiplesOfNode: {
        ready: times(median(readyMs), median(readyCpuMs)),
        ...Object.fromEntries(
          [...costs]
            .filter(([name]) => name !== "node -e 0")
            .map(([name, runs]) => [
              name,
              times(median(runs.map(({ wallMs }) => wallMs)), median(runs.map(({ cpuMs }) => cpuMs))),
            ]),
        ),
      },
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
