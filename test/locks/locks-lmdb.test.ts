/** Locks keep their contract over LMDB, each store in a folder of its own. */
import { join } from "node:path";
import { openStore } from "#store";
import { tempFolder } from "#test/kit";
import { locksContract } from "./locks.contract.ts";

locksContract("the LMDB engine", async () => {
  const folder = await tempFolder();
  let stores = 0;
  return {
    open: (host) => openStore(host, { engine: "lmdb", folder: join(folder.path, String(stores++)) }),
    ttlSecondsMin: 1,
    close: () => folder[Symbol.asyncDispose](),
  };
});
