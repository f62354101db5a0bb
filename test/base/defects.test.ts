/** A process that continues after a defect in a listener, a timer or a promise that is not awaited, and reports it. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { projectRoot } from "#test/kit";

const PROGRAM = `
  import { EventEmitter } from "node:events";
  import { surviveDefects, systemHost } from "./kernel/base/system.ts";
  import { libraryHost } from "./kernel/base/library.ts";
  const host = systemHost({ logLevel: "info" });
  using survive = surviveDefects(host);
  host.clock.after(1, () => { throw new Error("in a timer"); });
  setImmediate(() => new EventEmitter().emit("error", new Error("in a listener")));
  void Promise.reject(new Error("in a promise"));
  libraryHost(host.log).clock.after(1, () => { throw new Error("in a library's timer"); });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const metrics = await host.metrics.expose();
  console.log(metrics.text.split("\\n").filter((line) => line.startsWith("posthouse_defects_total")).sort().join("\\n"));
`;

test("a defect in a timer, a listener or a promise is logged and counted, and the process goes on", async () => {
  const run = promisify(execFile)(process.execPath, ["--input-type=module-typescript", "-e", PROGRAM], {
    cwd: projectRoot,
  });
  const { stdout, stderr } = await run;
  expect(stdout.trim().split("\n")).toEqual([
    'posthouse_defects_total{where="listener"} 1',
    'posthouse_defects_total{where="promise"} 1',
    'posthouse_defects_total{where="timer"} 1',
  ]);
  for (const message of ["in a timer", "in a listener", "in a promise", "in a library's timer"]) {
    expect(stderr).toContain(message);
  }
});
