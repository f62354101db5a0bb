/** Locks keep their contract over the reference model. */
import { openMemoryStore } from "#store";
import { locksContract } from "./locks.contract.ts";

locksContract("the memory engine", async () => ({
  open: async (host) => openMemoryStore(host),
  ttlSecondsMin: 1,
}));
