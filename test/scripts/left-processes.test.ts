/** Processes that a test run leaves behind are found, even those of a program that was killed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { leftProcesses, TEST_RUN_VARIABLE } from "../../scripts/left-processes.ts";
import { eventually } from "#test/kit";

test("the child of a killed program is found by the run's mark, and by no other mark", async () => {
  const mark = `test-${process.pid}`;
  const parent = spawn("sh", ["-c", "sleep 300 & wait"], { env: { ...process.env, [TEST_RUN_VARIABLE]: mark } });
  try {
    await eventually("both run", async () => leftProcesses(mark).length === 2);
    parent.kill("SIGKILL");
    await once(parent, "exit");
    expect(leftProcesses(mark).map(({ command }) => command)).toEqual(["sleep 300"]);
    expect(leftProcesses(`${mark}0`)).toEqual([]);
  } finally {
    for (const { pid } of leftProcesses(mark)) process.kill(pid, "SIGKILL");
  }
  await eventually("none is left", async () => leftProcesses(mark).length === 0);
});
