/** The time until posthouse reports that it is up with all roles, and until it is ready; and its memory then. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPosthouse } from "#test/kit";
import { residentMiB, spread } from "./kit.ts";

const STARTS = 7;

export async function benchStart(): Promise<object> {
  const folder = await mkdtemp(join(tmpdir(), "posthouse-bench-"));
  const upMs: number[] = [];
  const readyMs: number[] = [];
  const memory: number[] = [];
  let firstUpMs = 0;
  try {
    for (let i = 0; i <= STARTS; i++) {
      const began = performance.now();
      await using posthouse = await startPosthouse({ data: folder });
      const up = performance.now() - began;
      while ((await fetch(`${posthouse.api}/readyz`)).status !== 200)
        await new Promise((resolve) => setTimeout(resolve, 5));
      const ready = performance.now() - began;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      // The first start creates the certificate authority and the operator's token.
      if (i === 0) firstUpMs = Math.round(up);
      else {
        upMs.push(up);
        readyMs.push(ready);
        memory.push(residentMiB(posthouse.child.pid as number));
      }
      await posthouse.stop();
    }
    return { starts: STARTS, firstUpMs, upMs: spread(upMs), readyMs: spread(readyMs), residentMiB: spread(memory) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
