/** A store of format 1, whose records have no checksums, opens with the same values and is of this format then. */
import { open as openLmdb } from "lmdb";
import { expect, test } from "vitest";
import { openStore, type Store } from "#store";
import { tempFolder, testHost } from "#test/kit";
import { decodeMeta, decodeRow } from "../../kernel/store/lmdb/layout.ts";

const RAW = { pageSize: 8192, overlappingSync: false, keyEncoding: "binary", encoding: "binary" } as const;

/** Writes all records as format 1 had them: without the two sums behind the mark, and numbers of eight bytes. */
async function downgrade(folder: string, { half = false } = {}): Promise<void> {
  const root = openLmdb<Buffer, Buffer>({ path: folder, ...RAW });
  const table = (name: string) => root.openDB<Buffer, Buffer>({ name, keyEncoding: "binary", encoding: "binary" });
  const [rev, idx, meta] = [table("rev"), table("idx"), table("meta")];
  const older = (row: Buffer) => Buffer.concat([Buffer.from([0xa5]), row.subarray(9)]);
  let count = 0;
  const rows = Array.from(rev.getRange({}));
  for (const { key, value } of rows) {
    if (half && count++ % 2 === 0) continue;
    const { head } = decodeRow(key, value);
    await Promise.all([rev.put(key, older(value)), idx.put(key, older(head))]);
  }
  const numbers = Array.from(meta.getRange({}));
  for (const { key, value } of numbers) {
    const number = key.toString() === "format" ? 1 : decodeMeta(key, value);
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(number));
    await meta.put(key, bytes);
  }
  await root.flushed;
  await root.close();
}

async function contentOf(store: Store): Promise<unknown> {
  const { revision, compactedRevision } = await store.status();
  const past = await store.range({ prefix: "", revision: compactedRevision });
  return { revision, compactedRevision, now: await store.range({ prefix: "" }), past };
}

test.each([
  ["a store of format 1", {}],
  ["one whose upgrade was cut off", { half: true }],
])("%s opens with the same values, leases and past, and takes writes", async (_name, options) => {
  await using folder = await tempFolder();
  const open = () => openStore(testHost(), { engine: "lmdb", folder: folder.path });
  const before = await (async () => {
    await using store = await open();
    const { id } = await store.grant(1000);
    for (let round = 0; round < 30; round++) {
      const put = (key: string, size: number, lease?: string) =>
        ({ type: "put", key, value: Buffer.alloc(size, key), ...(lease === undefined ? {} : { lease }) }) as const;
      await store.txn({
        then: Array.from({ length: 40 }, (_, key) => put(`k${key}`, key * 300, key === 3 ? id : undefined)),
      });
      await store.txn({ then: [{ type: "delete", key: `k${round}` }] });
    }
    await store.compact((await store.status()).revision - 5);
    return { content: await contentOf(store), lease: id };
  })();
  await downgrade(folder.path, options);
  for (let round = 0; round < 2; round++) {
    await using store = await open();
    expect(await contentOf(store)).toEqual(before.content);
    await store.keepAlive(before.lease);
  }
  {
    await using store = await open();
    expect((await store.txn({ then: [{ type: "put", key: "new", value: Buffer.alloc(10) }] })).succeeded).toBe(true);
  }
  await using store = await open();
  expect((await store.range({ key: "new" })).count).toBe(1);
});
