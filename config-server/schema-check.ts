/** Asks the validating thread, and ends it when it takes too long. */
import { Worker } from "node:worker_threads";
import type { Host } from "#base";
import { ConfigErrors } from "./api.ts";
import type { SchemaTask } from "./schema.ts";
import type { SchemaAnswer } from "./schema-worker.ts";

/** Milliseconds for all schemas of one release: thousands of values, or one bad pattern. */
const SCHEMA_MS_MAX = 5_000;
const WORKER = new URL(`./schema-worker${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);

/** @throws CONFIG_SCHEMA_TIMEOUT */
export async function checkSchemas(host: Host, tasks: readonly SchemaTask[]): Promise<SchemaAnswer> {
  if (tasks.length === 0) return [];
  const worker = new Worker(WORKER, { workerData: tasks });
  const { promise, resolve, reject } = Promise.withResolvers<SchemaAnswer>();
  worker.once("message", resolve);
  worker.once("error", reject);
  const cancel = host.clock.after(SCHEMA_MS_MAX, () =>
    reject(
      ConfigErrors.SCHEMA_TIMEOUT(
        `Checking ${[...new Set(tasks.map(({ key }) => key))].join(", ")} against its schema took more than ${SCHEMA_MS_MAX / 1000} s. Look for a pattern that backtracks. Nothing was released.`,
      ),
    ),
  );
  try {
    return await promise;
  } finally {
    cancel();
    await worker.terminate();
  }
}
