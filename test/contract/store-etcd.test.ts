/** The engine over a real etcd keeps the contract. The stores share one etcd, each in a namespace of its own. */
import { openStore } from "#store";
import { withEtcd } from "#test/kit";
import { storeContract } from "./store.contract.ts";

storeContract("the etcd engine", async () => {
  const etcd = await withEtcd();
  let stores = 0;
  return {
    open: (host, options) =>
      openStore(host, { engine: "etcd", endpoints: [etcd.endpoint], namespace: `test-${stores++}/`, ...options }),
    // etcd grants no less than one and a half elections.
    ttlSecondsMin: 2,
    close: () => etcd[Symbol.asyncDispose](),
  };
});
