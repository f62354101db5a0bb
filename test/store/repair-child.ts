/**
 * Damages copies of a store's file, repairs each, and prints one line per damage: `begin …` before, and after it `whole`, `code CODE …`,
 * `repaired DROPPED UNREADABLE`, or `other …` when it is not what a repair promises. Run by lmdb-repair.test.ts as a process of its own:
 * `repair-child FOLDER WORK SEED ROUNDS`.
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "#base";
import { openStore, repairStore, type RepairReport } from "#store";
import { testHost } from "#test/kit";
import { damager } from "./damage.ts";

const [source = "", work = "", seed = "1", rounds = "1"] = process.argv.slice(2);
const say = (line: string): void => void writeSync(1, `${line}\n`);
const original = readFileSync(join(source, "data.mdb"));
const damaged = damager(original, seededRandom(Number(seed)));
const host = testHost();

interface Content {
  readonly revision: number;
  /** Each key with all that is known of it, as text. */
  readonly now: ReadonlyMap<string, string>;
}

function copy(name: string, data: Buffer): string {
  const folder = join(work, name);
  mkdirSync(folder);
  for (const file of ["identity", "commits"]) copyFileSync(join(source, file), join(folder, file));
  writeFileSync(join(folder, "data.mdb"), data);
  return folder;
}

async function contentOf(folder: string): Promise<Content> {
  await using store = await openStore(host, { engine: "lmdb", folder });
  const { entries, revision } = await store.range({ prefix: "" });
  for (const { lease } of entries) if (lease !== undefined) await store.keepAlive(lease);
  const now = entries.map(
    ({ value, ...entry }) => [entry.key, JSON.stringify([entry, Buffer.from(value).toString("base64")])] as const,
  );
  await store.txn({ then: [{ type: "put", key: "/new", value: Buffer.alloc(9000) }] });
  return { revision, now: new Map(now) };
}

/** The problem with a repair; undefined when it is as promised. */
function wrong(report: RepairReport, content: Content, data: Buffer): string | undefined {
  const { dropped, unreadable, damagedFile = "" } = report;
  if (!readFileSync(damagedFile).equals(data)) return "the damaged file is another one";
  if (content.revision <= expected.revision) return `the revision is ${content.revision}`;
  const keys = new Set(dropped.map(({ key }) => key).filter((key) => key?.startsWith("/")));
  const missing = [...expected.now.keys()].filter((key) => !content.now.has(key));
  const unlisted = missing.filter((key) => !keys.has(key));
  const differing = [...content.now].filter(([key, value]) => expected.now.get(key) !== value).map(([key]) => key);
  const back = [...keys].filter((key) => key !== undefined && content.now.has(key));
  if (back.length > 0) return `dropped, but there: ${back.join()}`;
  if (report.kept.keys !== content.now.size) return `kept ${report.kept.keys}, but there are ${content.now.size}`;
  if (dropped.some(({ reason }) => reason.startsWith("the last transaction"))) return undefined;
  // Losses that cannot be listed by name are in the report as a number.
  if (unlisted.length + differing.length > unreadable) return `missing ${unlisted.join()}, other ${differing.join()}`;
  return undefined;
}

async function outcome(data: Buffer, round: number): Promise<string> {
  const folder = copy(String(round), data);
  try {
    const dry = await repairStore(host, { folder, dryRun: true });
    if (!readFileSync(join(folder, "data.mdb")).equals(data)) return "other a dry run changed the file";
    const report = await repairStore(host, { folder });
    if (JSON.stringify(dry.dropped) !== JSON.stringify(report.dropped)) return "other a dry run listed something else";
    const content = await contentOf(folder);
    if (report.outcome === "whole") {
      const same = [...expected.now].join() === [...content.now].join() && expected.revision === content.revision;
      return same ? "whole" : "other it was not whole";
    }
    const problem = wrong(report, content, data);
    if (problem !== undefined) return `other ${problem}`;
    // A repaired store is whole after a write.
    const again = await repairStore(host, { folder });
    return again.outcome === "whole"
      ? `repaired ${report.dropped.length} ${report.unreadable}`
      : "other it is damaged again";
  } catch (error) {
    const { code, message, stack } = error as { code?: string; message: string; stack: string };
    return code?.startsWith("STORE_") ? `code ${code} ${message}` : `other ${stack.replaceAll("\n", " ")}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const expected = await contentOf(copy("expected", original));
for (let round = 0; round < Number(rounds); round++) {
  let { data, what } = damaged();
  // Every third file is damaged in several places.
  for (let more = round % 3 === 2 ? round % 8 : 0; more > 0; more--) {
    const next = damaged(data);
    data = next.data;
    what += `, ${next.what}`;
  }
  say(`begin ${round} ${what}`);
  say(await outcome(data, round));
}
say("end");
