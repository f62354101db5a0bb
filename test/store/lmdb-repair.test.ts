/** A repair keeps what is whole and lists what it drops, whatever was damaged and whenever it was cut off. */
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { randomInt, seededRandom } from "#base";
import { openStore, repairStore, type Store } from "#store";
import { bundled, startCommand, startProgram, tempFolder, testHost, type TempFolder } from "#test/kit";
import { encodeRow, revKey } from "../../kernel/store/lmdb/layout.ts";
import { fill } from "./damage.ts";

const ROUNDS = 120;
const SEED = 20261130;
const PAGE = 8192;
const host = testHost();
const openFolder = (folder: string) => openStore(host, { engine: "lmdb", folder });

let source: TempFolder;
/** Of the source. */
let entries: Awaited<ReturnType<Store["range"]>>["entries"];
/** All entries except the one that most tests damage. */
let rest: typeof entries;

beforeAll(async () => {
  source = await tempFolder();
  await using store = await openFolder(source.path);
  await fill(store);
  // The page of the leases is written to another place, and stays in its former one.
  await store.grant(5_000);
  ({ entries } = await store.range({ prefix: "" }));
  rest = entries.filter(({ key }) => key !== "/k/33");
});
afterAll(() => source[Symbol.asyncDispose]());

/** A copy of the source whose file is damaged where `places` says, byte by byte. */
async function damagedCopy(folder: string, places: (data: Buffer) => readonly number[]): Promise<Buffer> {
  await mkdir(folder, { recursive: true });
  for (const name of ["identity", "commits"]) await copyFile(join(source.path, name), join(folder, name));
  const data = await readFile(join(source.path, "data.mdb"));
  for (const at of places(data)) data[at] = (data[at] as number) ^ 0xff;
  await writeFile(join(folder, "data.mdb"), data);
  return data;
}

/** Places in the file of every copy of a text. */
function placesOf(data: Buffer, text: string): number[] {
  const places = [];
  for (let at = data.indexOf(text); at >= 0; at = data.indexOf(text, at + 1)) places.push(at);
  return places;
}

test(
  `${ROUNDS} damages: what was whole is there with its value, what is not was listed (seed ${SEED})`,
  { timeout: 300_000 },
  async () => {
    await using work = await tempFolder();
    const args = [source.path, work.path, String(SEED), String(ROUNDS)];
    await using child = startProgram("test/store/repair-child.ts", args);
    const { signal } = await child.exited;
    const lines = child.output().trim().split("\n");
    expect([signal, lines.at(-1)], child.errors() + lines.slice(-3).join("\n")).toEqual([null, "end"]);
    const bad = lines.flatMap((line, index) => (/^(other|code)/.test(line) ? [`${lines[index - 1]}: ${line}`] : []));
    expect(bad).toEqual([]);
    const repaired = lines.filter((line) => line.startsWith("repaired"));
    expect(repaired.length).toBeGreaterThan(ROUNDS / 3);
    // Some lose a record, and most lose none.
    expect(repaired.filter((line) => line !== "repaired 0 0").length).toBeGreaterThan(5);
    expect(repaired.filter((line) => line === "repaired 0 0").length).toBeGreaterThan(ROUNDS / 4);
  },
);

test("a damaged value is dropped by its key, and everything else is there", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "store");
  const data = await damagedCopy(path, (bytes) => placesOf(bytes, "11.33;"));
  await expect(openFolder(path)).rejects.toMatchObject({
    code: "STORE_CORRUPT",
    message: expect.stringMatching(/"\/k\/33".*posthouse store repair/) as string,
  });
  const report = await repairStore(host, { folder: path });
  expect(report).toMatchObject({ outcome: "repaired", unreadable: 0, kept: { keys: entries.length - 1 } });
  expect(report.dropped).toMatchObject([{ key: "/k/33", table: "rev" }]);
  expect(await readFile(report.damagedFile as string)).toEqual(data);
  await using store = await openFolder(path);
  const after = await store.range({ prefix: "" });
  expect(isDeepStrictEqual(after.entries, rest)).toBe(true);
  expect(after.revision).toBe(report.revision);
  // Watchers that knew more than is there now begin again.
  const watch = store.watch({ prefix: "", after: report.revision - 1, signal: new AbortController().signal });
  const reading = (async () => {
    for await (const { events } of watch) if (events.length > 0) return;
  })();
  await expect(reading).rejects.toMatchObject({ code: "STORE_COMPACTED" });
});

test("a store that is whole is left as it is", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "store");
  const data = await damagedCopy(path, () => []);
  for (const dryRun of [true, false]) {
    const report = await repairStore(host, { folder: path, dryRun });
    expect(report).toMatchObject({ outcome: "whole", damage: [], dropped: [], kept: { keys: entries.length } });
  }
  expect(await readFile(join(path, "data.mdb"))).toEqual(data);
  await using store = await openFolder(path);
  expect(isDeepStrictEqual((await store.range({ prefix: "" })).entries, entries)).toBe(true);
});

test("a store in use, an empty one, and a missing one", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "store");
  await expect(repairStore(host, { folder: path })).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  {
    await using _store = await openFolder(path);
    await expect(repairStore(host, { folder: path })).rejects.toMatchObject({ code: "STORE_LOCKED" });
  }
  expect(await repairStore(host, { folder: path })).toMatchObject({ outcome: "whole", kept: { keys: 0 } });
});

test("a file without anything to go by is refused, and stays as it is", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "store");
  const data = Buffer.alloc(PAGE * 4, 7);
  await damagedCopy(path, () => []);
  await writeFile(join(path, "data.mdb"), data);
  await writeFile(join(path, "commits"), "");
  await expect(repairStore(host, { folder: path })).rejects.toMatchObject({
    code: "STORE_CORRUPT",
    message: expect.stringContaining("cannot be repaired") as string,
  });
  expect(await readFile(join(path, "data.mdb"))).toEqual(data);
});

test("a lease whose record is gone is read from a former page, or kept for an hour", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "store");
  const lease = entries.find(({ lease }) => lease !== undefined)?.lease as string;
  const owned = new Set(entries.filter((entry) => entry.lease === lease).map(({ key }) => key));
  const placesOfLease = (data: Buffer) =>
    placesOf(data, `lease/${lease}`).map((at) => at + `lease/${lease}`.length + 7);
  for (let copy = 0; copy < 2; copy++) {
    await damagedCopy(path, (data) => placesOfLease(data).slice(copy, copy + 1));
    expect(placesOf(await readFile(join(path, "data.mdb")), `lease/${lease}`)).toHaveLength(2);
    expect((await repairStore(host, { folder: path })).dropped).toEqual([]);
  }
  await damagedCopy(path, placesOfLease);
  const { dropped } = await repairStore(host, { folder: path });
  expect(dropped).toMatchObject([
    { key: `lease/${lease}`, table: "meta", reason: expect.stringContaining("3600 s") as string },
  ]);
  await using store = await openFolder(path);
  await store.keepAlive(lease);
  await store.revoke(lease);
  const left = await store.range({ prefix: "" });
  expect(left.entries.filter(({ key }) => owned.has(key))).toEqual([]);
});

/** A leaf page with one record, as a client could write it into a large value. */
function forgedLeaf(number: number): Buffer {
  const change = { key: "/access/tokens/x", modRevision: 9, sub: 0, createRevision: 9, version: 1, lease: undefined };
  const { row } = encodeRow(change, Buffer.from("{}"));
  const key = revKey(9, 0);
  const node = Buffer.alloc((8 + key.length + row.length + 1) & ~1);
  node.writeUInt16LE(row.length, 0);
  node.writeUInt16LE(key.length, 6);
  key.copy(node, 8);
  row.copy(node, 8 + key.length);
  const page = Buffer.alloc(PAGE);
  page.writeUInt32LE(number, 0);
  page.writeUInt32LE(1, 8);
  page.writeUInt16LE(2, 18);
  page.writeUInt16LE(2, 20);
  page.writeUInt16LE(PAGE - 24 - node.length, 22);
  page.writeUInt16LE(PAGE - 24 - node.length, 24);
  node.copy(page, PAGE - node.length);
  return page;
}

test("a page inside a large value is never taken for one of the store", async () => {
  await using folder = await tempFolder();
  const value = Buffer.alloc(3 * PAGE, 1);
  {
    await using store = await openFolder(folder.path);
    await store.txn({
      then: [
        { type: "put", key: "/large", value },
        { type: "put", key: "/small", value: Buffer.from("a small value") },
      ],
    });
  }
  const path = join(folder.path, "data.mdb");
  const data = await readFile(path);
  const large = data.indexOf(Buffer.alloc(2 * PAGE, 1));
  const number = Math.ceil(large / PAGE);
  forgedLeaf(number).copy(data, number * PAGE);
  // The leaf is damaged, too, so that leaves are looked for.
  data[Math.floor(data.lastIndexOf("a small value") / PAGE) * PAGE + 16] = 1;
  await writeFile(path, data);
  const { dropped, kept } = await repairStore(host, { folder: folder.path });
  expect([kept.keys, dropped.map(({ key }) => key)]).toEqual([1, ["/large"]]);
  await using store = await openFolder(folder.path);
  expect((await store.range({ prefix: "/access/" })).entries).toEqual([]);
});

test("killed before any of its steps, the store is the damaged one or the repaired one, and the next run ends well", async () => {
  await using folder = await tempFolder();
  await using program = await bundled("test/store/repair-kill-child.ts");
  let steps = 0;
  for (; steps < 200; steps++) {
    const path = join(folder.path, String(steps));
    const data = await damagedCopy(path, (bytes) => placesOf(bytes, "11.33;"));
    await using child = startCommand(process.execPath, [program.file, path, String(steps)]);
    const { signal } = await child.exited;
    const isDone = child.output() === "repaired\n";
    expect([isDone, signal], child.errors()).toEqual(isDone ? [true, null] : [false, "SIGKILL"]);
    const damagedFiles = async () => (await readdir(path)).filter((name) => name.startsWith("data.mdb.damaged-"));
    // Every other time it is a start that comes next.
    if (steps % 2 === 0 && !isDone) {
      const opened = await openFolder(path).catch((error: unknown) => error as { code: string });
      if ("code" in opened) {
        expect(opened.code).toBe("STORE_CORRUPT");
        expect(await readFile(join(path, "data.mdb"))).toEqual(data);
      } else {
        await opened[Symbol.asyncDispose]();
        expect(await damagedFiles()).toHaveLength(1);
      }
    }
    await repairStore(host, { folder: path });
    const [damaged = "", ...more] = await damagedFiles();
    expect(more).toEqual([]);
    expect(await readFile(join(path, damaged))).toEqual(data);
    expect(await readdir(path)).not.toContain("repair");
    await using store = await openFolder(path);
    expect(isDeepStrictEqual((await store.range({ prefix: "" })).entries, rest)).toBe(true);
    if (isDone) break;
  }
  expect(steps).toBeGreaterThan(15);
}, 300_000);

test("killed at any moment, too", async () => {
  await using folder = await tempFolder();
  const random = seededRandom(SEED);
  for (let round = 0; round < 10; round++) {
    const path = join(folder.path, String(round), "store");
    await damagedCopy(path, (bytes) => placesOf(bytes, "11.33;"));
    await using child = startProgram("bin/posthouse", ["store", "repair", "--data", dirname(path)]);
    await new Promise((resolve) => setTimeout(resolve, randomInt(random, 1_500)));
    child.kill("SIGKILL");
    await child.exited;
    await repairStore(host, { folder: path });
    await using store = await openFolder(path);
    expect(isDeepStrictEqual((await store.range({ prefix: "" })).entries, rest)).toBe(true);
  }
}, 120_000);
