/** The reference model keeps the contract. */
import { openMemoryStore } from "#store";
import { storeContract } from "./store.contract.ts";

storeContract("the memory engine", async () => ({
  open: async (host, options) => openMemoryStore(host, options),
  ttlSecondsMin: 1,
}));
