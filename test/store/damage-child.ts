/**
 * Damages copies of a store's file, opens each, and prints one line per damage: `begin …` before, and `same`, `code CODE` or `other …`
 * after. A crash by a signal ends the lines. Run by lmdb-damage.test.ts as a process of its own: `damage-child FOLDER WORK SEED ROUNDS`.
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "#base";
import { openStore, type Store } from "#store";
import { testHost } from "#test/kit";
import { damager } from "./damage.ts";

const [source = "", work = "", seed = "1", rounds = "1"] = process.argv.slice(2);
const say = (line: string): void => void writeSync(1, `${line}\n`);
const damaged = damager(readFileSync(join(source, "data.mdb")), seededRandom(Number(seed)));

/** Everything that a reader of the store can see, and that it still takes writes. */
async function contentOf(store: Store): Promise<string> {
  const { revision, compactedRevision } = await store.status();
  const shown: unknown[] = [revision, compactedRevision];
  for (const at of [revision, compactedRevision]) {
    const { entries } = await store.range({ prefix: "", revision: at });
    shown.push(entries.map(({ value, ...entry }) => ({ ...entry, value: Buffer.from(value).toString("base64") })));
  }
  for (let index = 0; index < 20; index++) {
    await store.txn({ then: [{ type: "put", key: "/new", value: Buffer.alloc(300 * index, "n") }] });
  }
  const { entries } = await store.range({ prefix: "/k/" });
  shown.push(entries.map(({ key, value }) => [key, Buffer.from(value).toString("base64")]));
  return JSON.stringify(shown);
}

async function outcome(data: Buffer, round: number): Promise<string> {
  const folder = join(work, String(round));
  mkdirSync(folder);
  for (const file of ["identity", "commits"]) copyFileSync(join(source, file), join(folder, file));
  writeFileSync(join(folder, "data.mdb"), data);
  try {
    const content = await (async () => {
      await using store = await openStore(testHost(), { engine: "lmdb", folder });
      return await contentOf(store);
    })();
    if (content !== expected) return `other ${content.slice(0, 200)}`;
    // A write to a file that seemed intact must succeed, too.
    await (await openStore(testHost(), { engine: "lmdb", folder }))[Symbol.asyncDispose]();
    return "same";
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return code?.startsWith("STORE_") ? `code ${code} ${message}` : `other ${String(error)}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

let expected = "";
{
  const folder = join(work, "expected");
  mkdirSync(folder);
  for (const file of ["identity", "commits", "data.mdb"]) copyFileSync(join(source, file), join(folder, file));
  await using store = await openStore(testHost(), { engine: "lmdb", folder });
  expected = await contentOf(store);
}
for (let round = 0; round < Number(rounds); round++) {
  const { data, what } = damaged();
  say(`begin ${round} ${what}`);
  say(await outcome(data, round));
}
say("end");
