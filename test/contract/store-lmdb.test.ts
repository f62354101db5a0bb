/** The engine over LMDB keeps the contract, each store in a folder of its own. */
import { join } from "node:path";
import { openStore } from "#store";
import { tempFolder } from "#test/kit";
import { storeContract } from "./store.contract.ts";

storeContract("the LMDB engine", async () => {
  const folder = await tempFolder();
  let stores = 0;
  return {
    open: (host, options) =>
      openStore(host, { engine: "lmdb", folder: join(folder.path, String(stores++)), ...options }),
    ttlSecondsMin: 1,
    close: () => folder[Symbol.asyncDispose](),
  };
});
