/**
 * Writes to a data folder as fast as it can and prints each acknowledged write, until it is killed. Each writer puts its
 * own key, under a comparison with what it put before: `ack <key> <revision> <counter>`. When the store is full it prints
 * `refusing <code>` and `refused <code>`, and exits with 3. Run by lmdb-kill.test.ts and lmdb.test.ts.
 */
import { writeSync } from "node:fs";
import { openStore, type StoreEntry } from "#store";
import { testHost } from "../kit/host.ts";

const WRITERS = 16;
const [folder = "", bytes = "200"] = process.argv.slice(2);

const say = (line: string): void => void writeSync(1, `${line}\n`);
const codeOf = (error: unknown): string => String((error as { code?: unknown }).code);

const store = await openStore(testHost(), {
  engine: "lmdb",
  folder,
  onRefusing: (error) => say(`refusing ${codeOf(error)}`),
});
say(`open ${(await store.status()).revision}`);

async function write(key: string, before: StoreEntry | undefined): Promise<void> {
  let modRevision = before?.modRevision ?? 0;
  let counter = before ? Number(Buffer.from(before.value).toString("utf8").trim()) : 0;
  for (;;) {
    counter++;
    const value = Buffer.from(String(counter).padEnd(Number(bytes)));
    const { succeeded, revision } = await store.txn({
      when: [{ key, target: "modRevision", is: "equal", value: modRevision }],
      then: [
        { type: "put", key, value },
        { type: "put", key: `${key}/log/${counter % 50}`, value },
      ],
    });
    if (!succeeded) throw new Error(`${key} was changed by another`);
    modRevision = revision;
    say(`ack ${key} ${revision} ${counter}`);
    // Compaction is a part of what may be interrupted.
    if (counter % 500 === 0) await store.compact(revision).catch(() => {});
  }
}

const known = new Map((await store.range({ prefix: "w" })).entries.map((entry) => [entry.key, entry]));
await Promise.all(
  Array.from({ length: WRITERS }, async (_, index) => {
    const key = `w${String(index).padStart(2, "0")}`;
    await write(key, known.get(key)).catch((error: unknown) => say(`refused ${codeOf(error)}`));
  }),
);
process.exit(3);
