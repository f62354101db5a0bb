/** Logs of services on a real file system: renames, kills, truncations, links, a full disk, and Debian's logrotate. */
import { appendFile, lstat, mkdir, readFile, rename, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { logStatePath } from "../../../agent/service-logs/log-state.ts";
import { eventually, startCommand, startProgram, tempFolder, testHost } from "#test/kit";
import { collected, linesOf, orders } from "./kit.ts";

const infoOf = async (data: string) => (await linesOf(data))["info"] ?? [];
/** A collection that has seen its source: from then on each line counts. */
const isSeen = (data: string) => async () => (await stat(logStatePath(data)).catch(() => undefined)) !== undefined;

/** A collection that has seen the one log file, which is empty. */
async function collectionOfEmptyFile(folder: string) {
  const path = join(folder, "orders.log");
  await writeFile(path, "");
  const logs = collected(testHost(), folder);
  logs.define([orders(path)]);
  await eventually("the source is seen", isSeen(folder));
  return { path, [Symbol.asyncDispose]: () => logs[Symbol.asyncDispose]() };
}

test("20,000 lines over 10 renames and 3 kills are all there, and none is there twice", async () => {
  await using folder = await tempFolder();
  const data = join(folder.path, "data");
  const path = join(folder.path, "orders.log");
  const start = async () => {
    const program = startProgram("test/agent/service-logs/collect.ts", [data, path]);
    await eventually("it collects", () => program.output().includes("collecting"));
    return program;
  };
  await writeFile(path, "");
  let program = await start();
  try {
    await eventually("the source is seen", isSeen(data));
    let written = 0;
    for (let part = 0; part < 40; part++) {
      const lines = Array.from({ length: 500 }, () => `INFO line ${written++}\n`);
      await appendFile(path, lines.slice(0, 250).join(""));
      if (part % 4 === 3) {
        // The writer's descriptor stays that of the renamed file for a while.
        const renamed = `${path}.${Math.floor(part / 4)}`;
        await rename(path, renamed);
        await writeFile(path, "");
        await appendFile(renamed, lines.slice(250, 300).join(""));
        await appendFile(path, lines.slice(300).join(""));
        if (part % 12 === 11) {
          program.kill();
          await program.exited;
          program = await start();
        }
        // At most one rename while nothing looks, as in practice: the agent has seen this file before the next one.
        const { ino } = await lstat(path);
        await eventually("the new file is known", async () =>
          (await readFile(logStatePath(data), "utf8")).includes(`:${ino}"`),
        );
      } else {
        await appendFile(path, lines.slice(250).join(""));
      }
    }
    await eventually("all lines", async () => (await infoOf(data)).length >= written);
    const lines = await infoOf(data);
    const numbers = lines.map((line) => Number(/^INFO line (\d+)$/.exec(line)?.[1])).toSorted((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: 20_000 }, (_, i) => i));
  } finally {
    await program[Symbol.asyncDispose]();
  }
});

test("what a killed run appended after its last kept state is cut off, and is not there twice", async () => {
  await using folder = await tempFolder();
  const data = join(folder.path, "data");
  const path = join(folder.path, "orders.log");
  await mkdir(data);
  await writeFile(path, "");
  {
    await using logs = collected(testHost(), data);
    logs.define([orders(path)]);
    await eventually("the source is seen", isSeen(data));
    await appendFile(path, "INFO one\n");
    await eventually("one line", async () => (await infoOf(data)).length === 1);
  }
  // As after a kill: the tree is longer than the state says, with a line and a part of one.
  const [tree = ""] = Object.keys((JSON.parse(await readFile(logStatePath(data), "utf8")) as { open: object }).open);
  await appendFile(join(data, "logs", tree), "2026-01-01T00:00:00.000Z INFO two\n2026-01-01T00:0");
  await using logs = collected(testHost(), data);
  logs.define([orders(path)]);
  await eventually("it is cut off", async () => (await stat(join(data, "logs", tree))).size < 50);
  expect(await infoOf(data)).toEqual(["INFO one"]);
  await appendFile(path, "INFO two\nINFO three\n");
  await eventually("all lines", async () => (await infoOf(data)).length >= 3);
  expect(await infoOf(data)).toEqual(["INFO one", "INFO two", "INFO three"]);
  expect((await stat(join(data, "logs", tree))).mode & 0o777).toBe(0o600);
});

test("a first run starts at the end and says so; a file that appears later is read from its start", async () => {
  await using folder = await tempFolder();
  const host = testHost();
  await writeFile(join(folder.path, "a.log"), "INFO before\n");
  await using logs = collected(host, folder.path);
  logs.define([orders(join(folder.path, "*.log"))]);
  await eventually("the source is seen", isSeen(folder.path));
  await writeFile(join(folder.path, "b.log"), "INFO from the start\n");
  await appendFile(join(folder.path, "a.log"), "[WARN] after\n");
  await eventually("both", async () => {
    const { info, warn } = await linesOf(folder.path);
    return info && warn;
  });
  expect(await linesOf(folder.path)).toEqual({ info: ["INFO from the start"], warn: ["[WARN] after"] });
  expect(host.log.lines.filter(({ message }) => message.includes("from its current end"))).toHaveLength(1);
});

test("a partial line waits for its rest, and is written without one after a while", async () => {
  await using folder = await tempFolder();
  await using collection = await collectionOfEmptyFile(folder.path);
  const { path } = collection;
  await appendFile(path, "INFO no end");
  await eventually("the line", async () => (await infoOf(folder.path)).length === 1);
  expect(await infoOf(folder.path)).toEqual(["INFO no end"]);
});

test("a truncated file is read from its start", async () => {
  await using folder = await tempFolder();
  await using collection = await collectionOfEmptyFile(folder.path);
  const { path } = collection;
  await appendFile(path, "INFO a first and long line\n");
  await eventually("one line", async () => (await infoOf(folder.path)).length === 1);
  await truncate(path, 0);
  await appendFile(path, "INFO second\n");
  await eventually("two lines", async () => (await infoOf(folder.path)).length === 2);
  expect(await infoOf(folder.path)).toEqual(["INFO a first and long line", "INFO second"]);
});

test("a symbolic link is refused with one warning, and nothing of its target is collected", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "orders.log");
  const host = testHost();
  await writeFile(path, "");
  await writeFile(join(folder.path, "secret"), "INFO secret\n");
  await using logs = collected(host, folder.path);
  logs.define([orders(path)]);
  await eventually("the source is seen", isSeen(folder.path));
  await rm(path);
  await symlink(join(folder.path, "secret"), path);
  const warnings = () => host.log.lines.filter(({ message }) => message.includes("it is a symbolic link"));
  await eventually("the warning", () => warnings().length > 0);
  await rm(path);
  await writeFile(path, "INFO plain\n");
  await eventually("one line", async () => (await infoOf(folder.path)).length > 0);
  expect(await infoOf(folder.path)).toEqual(["INFO plain"]);
  expect(warnings()).toHaveLength(1);
});

test("below the floor of free disk nothing is collected, with one warning, and nothing is lost", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "orders.log");
  const host = testHost();
  let free = Number.MAX_SAFE_INTEGER;
  let asked = 0;
  await writeFile(path, "");
  const freeBytes = () => Promise.resolve((asked++, free));
  await using logs = collected(host, folder.path, { freeBytes });
  logs.define([orders(path)]);
  await eventually("the source is seen", isSeen(folder.path));
  free = 1;
  const warnings = () => host.log.lines.filter(({ message }) => message.includes("free some space"));
  await eventually("the warning", () => warnings().length > 0);
  await appendFile(path, "INFO waits\n");
  const before = asked;
  await eventually("two more rounds", () => asked > before + 2);
  expect(await infoOf(folder.path)).toEqual([]);
  free = Number.MAX_SAFE_INTEGER;
  await eventually("the line", async () => (await infoOf(folder.path)).length > 0);
  expect(await infoOf(folder.path)).toEqual(["INFO waits"]);
  expect(warnings()).toHaveLength(1);
});

test("no line of a writer is lost or doubled over rotations of logrotate", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "orders.log");
  const config = join(folder.path, "rotate.conf");
  const data = join(folder.path, "data");
  await mkdir(data);
  await writeFile(path, "");
  await writeFile(config, `${path} {\n  create\n  rotate 20\n}\n`, { mode: 0o644 });
  await using logs = collected(testHost(), data);
  logs.define([orders(path)]);
  await eventually("the source is seen", isSeen(data));
  for (let turn = 0; turn < 5; turn++) {
    await appendFile(path, Array.from({ length: 200 }, (_, i) => `INFO ${turn * 200 + i}\n`).join(""));
    const { ino } = await lstat(path);
    await eventually("the file is known", async () =>
      (await readFile(logStatePath(data), "utf8")).includes(`:${ino}"`),
    );
    await using program = startCommand("logrotate", ["--force", "--state", join(folder.path, "state"), config]);
    expect(await program.exited, program.errors()).toMatchObject({ code: 0 });
  }
  expect((await stat(`${path}.5`)).size).toBeGreaterThan(0);
  await eventually("all lines", async () => (await infoOf(data)).length >= 1000);
  const numbers = (await infoOf(data)).map((line) => Number(line.slice(5))).toSorted((a, b) => a - b);
  expect(numbers).toEqual(Array.from({ length: 1000 }, (_, i) => i));
});
