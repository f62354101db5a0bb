/** Locks keep their contract over a real etcd. The stores share it, each in a namespace of its own. */
import { openStore } from "#store";
import { withEtcd } from "#test/kit";
import { locksContract } from "./locks.contract.ts";

locksContract("the etcd engine", async () => {
  const etcd = await withEtcd();
  let stores = 0;
  return {
    open: (host) => openStore(host, { engine: "etcd", endpoints: [etcd.endpoint], namespace: `test-${stores++}/` }),
    // etcd grants no less than one and a half elections.
    ttlSecondsMin: 2,
    close: () => etcd[Symbol.asyncDispose](),
  };
});
