/** Keeps the store from growing with the number of changes. */
import { AppError, type Host } from "#base";
import type { Store } from "#store";

/** Milliseconds between compactions. A watch resumes after a shorter interruption; after a longer one it lists again. */
const COMPACT_MS = 300_000;

/** Forgets superseded changes, one interval behind. */
export async function compactRegularly(host: Host, store: Store, signal: AbortSignal): Promise<void> {
  const size = host.metrics.gauge({
    name: "posthouse_store_bytes",
    help: "Size of the store in bytes, where it is known.",
  });
  const revision = host.metrics.gauge({ name: "posthouse_store_revision", help: "The store's revision." });
  let through = 0;
  while (!signal.aborted) {
    try {
      const status = await store.status();
      revision.labels().set(status.revision);
      if (status.sizeBytes !== undefined) size.labels().set(status.sizeBytes);
      if (through > status.compactedRevision) await store.compact(through);
      through = status.revision;
    } catch (error) {
      // Another member may have been first, or the store may be unavailable. The next round tries again.
      if (!(error instanceof AppError)) throw error;
      host.log.debug({ code: error.code }, `the store is not compacted: ${error.message}`);
    }
    await host.clock.sleep(COMPACT_MS, signal).catch(() => {});
  }
}
