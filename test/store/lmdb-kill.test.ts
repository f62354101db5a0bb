/**
 * Fifty times over one data folder: writers in a process of their own, killed without warning after a random while.
 * Every write acknowledged as durable must be there, and the store must open.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { randomInt, seededRandom } from "#base";
import { openStore } from "#store";
import { bundled, tempFolder, testHost } from "#test/kit";

const ROUNDS = 50;
const SEED = 4711;

test(`${ROUNDS} kills lose no acknowledged write, turn no revision back and corrupt nothing (seed ${SEED})`, async () => {
  await using folder = await tempFolder();
  await using writer = await bundled("test/store/kill-writer.ts");
  const random = seededRandom(SEED);
  /** The last acknowledged counter and revision of each writer. */
  const acknowledged = new Map<string, { counter: number; revision: number }>();
  let lastRevision = 0;
  let acks = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const child = spawn(process.execPath, [writer.file, folder.path], { stdio: ["ignore", "pipe", "inherit"] });
    let printed = "";
    // By what it has done, and not by time alone: a slow machine writes little in that.
    const linesMin = 1 + randomInt(random, 60);
    const written = Promise.withResolvers<void>();
    child.stdout.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
      if (printed.split("\n").length > linesMin) written.resolve();
    });
    child.once("exit", () => written.resolve());
    await written.promise;
    await new Promise((resolve) => setTimeout(resolve, randomInt(random, 60)));
    const closed = once(child, "close");
    child.kill("SIGKILL");
    await closed;
    // The last line may be torn: it was not printed whole.
    for (const line of printed.slice(0, printed.lastIndexOf("\n")).split("\n")) {
      const [word, key = "", revision, counter] = line.split(" ");
      if (word === "open") {
        expect(Number(key), `round ${round}: the revision went back`).toBeGreaterThanOrEqual(lastRevision);
      } else {
        expect(word, line).toBe("ack");
        acknowledged.set(key, { counter: Number(counter), revision: Number(revision) });
        lastRevision = Math.max(lastRevision, Number(revision));
        acks++;
      }
    }
    if (round % 5 < 4) continue;
    await using store = await openStore(testHost(), { engine: "lmdb", folder: folder.path });
    const { revision, entries } = await store.range({ prefix: "w" });
    expect(revision).toBeGreaterThanOrEqual(lastRevision);
    const found = new Map(entries.map((entry) => [entry.key, entry]));
    for (const [key, told] of acknowledged) {
      const entry = found.get(key);
      const counter = Number(Buffer.from(entry?.value ?? []).toString());
      expect(counter, `round ${round}: ${key}`).toBeGreaterThanOrEqual(told.counter);
      // The counter is the number of puts: none was lost and none was done twice.
      expect(entry?.version).toBe(counter);
      // The other half of the same transaction.
      const half = found.get(`${key}/log/${counter % 50}`);
      expect(half?.modRevision).toBe(entry?.modRevision);
    }
  }
  expect(acks).toBeGreaterThan(ROUNDS * 10);
}, 300_000);
