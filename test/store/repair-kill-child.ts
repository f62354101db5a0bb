/**
 * Repairs a store and dies without warning before the step of that number that changes files: `repair-kill-child FOLDER STEP`. Prints
 * `repaired` when there are fewer steps. Run by lmdb-repair.test.ts.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const [folder = "", step = "0"] = process.argv.slice(2);
let left = Number(step);
const CHANGING = [
  "writeFileSync",
  "writeSync",
  "fsyncSync",
  "renameSync",
  "rmSync",
  "mkdirSync",
  "truncateSync",
] as const;
for (const name of CHANGING) {
  const original = fs[name] as (...args: unknown[]) => unknown;
  const dying = (...args: unknown[]) => {
    if (left-- === 0) process.kill(process.pid, "SIGKILL");
    return original(...args);
  };
  Object.assign(fs, { [name]: dying });
}
syncBuiltinESMExports();
const { repairStore } = await import("#store");
const { testHost } = await import("../kit/host.ts");
await repairStore(testHost(), { folder });
fs.writeFileSync(1, "repaired\n");
